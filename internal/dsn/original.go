package dsn

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"unicode/utf8"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// MaxHeader is how many octets of an original's header are returned and looked at;
// of a longer one, the fields that are within them.
const MaxHeader = 64 << 10

// copyBuffer is how many octets are copied at once.
const copyBuffer = 32 << 10

// returned is the part that returns the original, or nothing if kind is empty.
type returned struct {
	kind   string // its media type
	coding string // its Content-Transfer-Encoding
	full   bool
	header []byte // of the original, without the blank line
	// why says to people why it is not all there; empty: it is, or was not asked for.
	why string
	// sum is over all that is returned, and the notice's ID.
	sum hash.Hash
}

// The codings.
const (
	coding7Bit   = "7bit"
	coding8Bit   = "8bit"
	codingQuoted = "quoted-printable"
	codingBase64 = "base64"
)

// survey reads the original and decides what is returned of it, and how.
func (n *Notice) survey() (*returned, error) {
	o := &returned{sum: sha256.New()}
	o.sum.Write(n.ID[:])
	if n.Original == nil || n.bare() {
		return o, nil
	}
	var err error
	if o.header, err = Header(n.Original, n.OriginalSize); err != nil {
		return nil, err
	}
	switch {
	case !n.fails() || n.Envelope.Ret == mail.RetHeaders || n.Envelope.RequireTLS: // RFC 8689 §5
	case n.MaxReturn == 0:
	case n.OriginalSize > n.MaxReturn:
		o.why = "it is too large to be sent back whole"
	default:
		done, err := o.surveyWhole(n)
		if done || err != nil {
			return o, err
		}
	}
	o.asHeader(n)
	return o, nil
}

// Header returns the header of a message of size octets: its fields, without the
// blank line; of one with more than MaxHeader octets, those that are whole.
func Header(original io.ReaderAt, size int64) ([]byte, error) {
	buf := make([]byte, min(size, MaxHeader))
	if _, err := io.ReadFull(io.NewSectionReader(original, 0, size), buf); err != nil {
		return nil, err
	}
	var s message.HeaderScanner
	s.Write(buf)
	if !s.Done() && int64(len(buf)) == size {
		s.End()
	}
	whole := s.Done()
	if whole {
		buf = buf[:s.Length()]
	}
	from, end := 0, 0
	for f := range message.SplitFields(buf) {
		next := end + len(f.Raw)
		if !whole && next == len(buf) {
			break // it may go on
		}
		if f.Name == nil && from == end {
			from = next // a mailbox file's "From " line
		}
		end = next
	}
	return buf[from:end], nil
}

// surveyWhole decides how the original is returned whole. Done is false if it can't
// be: its lines are not such as every reader takes.
func (o *returned) surveyWhole(n *Notice) (done bool, err error) {
	var s message.NeedsScanner
	r := io.NewSectionReader(n.Original, 0, n.OriginalSize)
	copied, err := io.CopyBuffer(onlyWriter{io.MultiWriter(&s, o.sum)}, onlyReader{r}, make([]byte, copyBuffer))
	if err == nil && copied < n.OriginalSize {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return false, err
	}
	needs := s.Needs()
	if needs.Binary() {
		o.why = "it has lines that can't be sent back as they are"
		return false, nil
	}
	o.full, o.kind, o.coding = true, "message/rfc822", coding7Bit
	switch {
	case needs.HeaderEightBit && n.Envelope.SMTPUTF8 && !n.UTF8():
		o.kind, o.coding = "message/global", codingBase64 // RFC 6533 §4.5
	case needs.HeaderEightBit && n.Envelope.SMTPUTF8:
		o.kind, o.coding = "message/global", coding8Bit
	case needs.EightBit || needs.HeaderEightBit:
		o.coding = coding8Bit
	}
	return true, nil
}

// asHeader decides how the original's header is returned.
func (o *returned) asHeader(n *Notice) {
	var s message.NeedsScanner
	s.Write(o.header)
	o.sum.Write(o.header)
	needs := s.Needs()
	o.kind, o.coding = "text/rfc822-headers", coding7Bit
	eightBit := needs.HeaderEightBit || needs.EightBit
	if eightBit && n.Envelope.SMTPUTF8 && utf8.Valid(o.header) {
		o.kind, o.coding = "message/global-headers", coding8Bit
	}
	if needs.Binary() || needs.OpenEnd || eightBit && (o.coding == coding7Bit || !n.UTF8()) {
		o.coding = codingQuoted // RFC 6522 §4, RFC 6533 §6.3
	}
}

// boundary returns one that does not occur in what is returned: it depends on it.
func (o *returned) boundary() string {
	return "=_" + hex.EncodeToString(o.sum.Sum(nil))[:40]
}

// writeTo writes the original, encoded.
func (o *returned) writeTo(w io.Writer, n *Notice) error {
	encoder := io.WriteCloser(nopCloser{w})
	if o.coding == codingQuoted || o.coding == codingBase64 {
		encoder = message.NewEncoder(w, o.coding == codingBase64)
	}
	if !o.full {
		if _, err := encoder.Write(o.header); err != nil {
			return err
		}
		return encoder.Close()
	}
	r := io.NewSectionReader(n.Original, 0, n.OriginalSize)
	if _, err := io.CopyBuffer(onlyWriter{encoder}, onlyReader{r}, make([]byte, copyBuffer)); err != nil {
		return err
	}
	return encoder.Close()
}

// onlyWriter and onlyReader make io.CopyBuffer use the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
	nopCloser  struct{ io.Writer }
)

// Close does nothing.
func (nopCloser) Close() error { return nil }
