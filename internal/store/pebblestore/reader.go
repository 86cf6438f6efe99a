package pebblestore

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// maxWhole is how long a record may be to be read in one go, in octets; of a
// longer one (a message for many, with their prefixes) only the parts are read.
const maxWhole = 256 << 10

// reader reads one copy of a message: its prefix, then its body, which is in
// memory and verified, or in a file and verified as it is read.
type reader struct {
	s        *Store
	name     string // for errors
	prefix   []byte
	body     []byte
	large    *blockReader
	size     int64
	off      int64
	blob     blob
	id       uint64 // of blob
	envelope []byte // nil: not read
	buf      *[]byte
	pin      pin
	closed   bool
}

var _ store.Reader = (*reader)(nil)

// copyName names a copy of a message, in a mailbox or in the queue.
type copyName struct {
	box    mailboxKey
	uid    mail.UID
	queued mail.ID
}

// String is made for errors only: opening a message is quick.
func (n *copyName) String() string {
	if n.queued.IsZero() {
		return where(n.box, n.uid)
	}
	return whereQueued(n.queued)
}

// openMessage opens a message that from knows. The pin must be held since before
// from was taken; the reader has its own of that time if it needs more than it
// has read.
func (s *Store) openMessage(from getter, m mailboxKey, uid mail.UID, since *pin) (store.Reader, error) {
	msg, err := findMessage(from, m, uid)
	if err != nil {
		return nil, fault.Wrap("open "+where(m, uid), err)
	}
	return s.openCopy(from, &copyName{box: m, uid: uid}, &msg, since)
}

// openCopy is openMessage of a copy that has been found.
func (s *Store) openCopy(from getter, name *copyName, msg *message, since *pin) (store.Reader, error) {
	o, err := findBlob(from, msg.blob)
	if err != nil {
		return nil, fault.Wrap("open "+name.String(), err)
	}
	r := &reader{s: s, size: msg.size, blob: o, id: msg.blob}
	if err := r.load(msg, o); err != nil {
		r.Close()
		return nil, s.readFault(name.String(), o, err)
	}
	if r.large != nil || r.envelope == nil {
		r.name = name.String()
		s.pins.share(&r.pin, since)
	}
	return r, nil
}

// readFault gives the error of a content's reading its kind, and tells the
// operator of what is damaged.
func (s *Store) readFault(name string, o blob, err error) error {
	place := s.log.path(o.segment)
	if o.file != 0 {
		place += " and " + s.files.path(o.file)
	}
	s.health.log.Error("store: a message can't be read", "message", name, "file", place, "offset", o.offset,
		"error", err.Error(), "do", "run: postrider store check")
	kind := fault.Internal
	if isDamage(err) {
		kind = fault.Corrupt
	}
	return fault.New(kind, "open "+name, err)
}

// isDamage reports whether err says that octets are wrong or missing, rather
// than that they could not be read this time.
func isDamage(err error) bool {
	return errors.Is(err, errChecksum) || errors.Is(err, errRecord) || errors.Is(err, errValue) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isNotExist(err) || fault.Is(err, fault.Corrupt)
}

// load reads and verifies the record of o as far as the copy msg needs it.
func (r *reader) load(msg *message, o blob) error {
	if msg.size != int64(msg.prefixLen)+o.body {
		return errRecord
	}
	f, err := r.s.log.acquire(o.segment)
	if err != nil {
		return err
	}
	defer r.s.log.release(f)
	var h recordHeader
	if o.length <= maxWhole {
		h, err = r.loadWhole(f, msg, o)
	} else {
		h, err = r.loadParts(f, msg, o)
	}
	if err != nil {
		return err
	}
	if h.file == 0 {
		return nil
	}
	return r.openLarge(h)
}

// loadWhole reads a record at once.
func (r *reader) loadWhole(f vfs.File, msg *message, o blob) (recordHeader, error) {
	r.buf = r.s.buffers.get(int(o.length))
	b := (*r.buf)[:o.length]
	if err := readFull(f, b, o.offset); err != nil {
		return recordHeader{}, err
	}
	h, err := parseBlob(b, msg.blob, o)
	if err != nil {
		return h, err
	}
	b = b[recordHeaderSize:]
	envelope, b := b[:h.envelope], b[h.envelope:]
	prefixes, body := b[:h.prefixes], b[h.prefixes:]
	if checksum(envelope) != h.envelopeCRC || (h.file == 0 && checksum(body) != h.bodyCRC) {
		return h, errChecksum
	}
	r.envelope = envelope
	if h.file == 0 {
		r.body = body
	}
	if msg.prefixLen == 0 {
		return h, nil
	}
	end := uint64(msg.prefixOff) + prefixCRCSize + uint64(msg.prefixLen)
	if end > uint64(len(prefixes)) {
		return h, errRecord
	}
	r.prefix, err = checkPrefix(prefixes[msg.prefixOff:end])
	return h, err
}

// loadParts reads header, prefix and body one by one.
func (r *reader) loadParts(f vfs.File, msg *message, o blob) (recordHeader, error) {
	var hb [recordHeaderSize]byte
	if err := readFull(f, hb[:], o.offset); err != nil {
		return recordHeader{}, err
	}
	h, err := parseBlob(hb[:], msg.blob, o)
	if err != nil {
		return h, err
	}
	prefix, body := 0, 0
	if msg.prefixLen > 0 {
		prefix = prefixCRCSize + int(msg.prefixLen)
	}
	if int64(msg.prefixOff)+int64(prefix) > int64(h.prefixes) {
		return h, errRecord
	}
	if h.file == 0 {
		body = int(h.body)
	}
	r.buf = r.s.buffers.get(prefix + body)
	b := (*r.buf)[:prefix+body]
	at := o.offset + recordHeaderSize + int64(h.envelope)
	if prefix > 0 {
		if err := readFull(f, b[:prefix], at+int64(msg.prefixOff)); err != nil {
			return h, err
		}
		if r.prefix, err = checkPrefix(b[:prefix]); err != nil {
			return h, err
		}
	}
	if body > 0 {
		r.body = b[prefix:]
		if err := readFull(f, r.body, at+int64(h.prefixes)); err != nil {
			return h, err
		}
	}
	if h.file == 0 && checksum(r.body) != h.bodyCRC {
		return h, errChecksum
	}
	return h, nil
}

// parseBlob reads a record's header and holds it against the index.
func parseBlob(b []byte, id uint64, o blob) (recordHeader, error) {
	h, err := parseRecord(b)
	if err == nil && (h.blob != id || h.length() != o.length || h.body != o.body || h.file != o.file) {
		err = errRecord
	}
	return h, err
}

// openLarge opens the body's file and verifies its beginning.
func (r *reader) openLarge(h recordHeader) error {
	f, err := r.s.fs.Open(r.s.files.path(h.file))
	if err != nil {
		return err
	}
	buf := r.s.transfers.Get().(*[]byte)
	r.large = &blockReader{file: f, num: h.file, size: h.body, buf: *buf}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != blocksLength(h.body) {
		return io.ErrUnexpectedEOF
	}
	if h.body > 0 {
		_, err = r.large.at(0)
	}
	return err
}

// readFull reads len(b) octets; fewer are io.ErrUnexpectedEOF.
func readFull(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Size implements store.Reader.
func (r *reader) Size() int64 { return r.size }

// at returns verified octets from off on, or io.EOF at the end.
func (r *reader) at(off int64) ([]byte, error) {
	if off < int64(len(r.prefix)) {
		return r.prefix[off:], nil
	}
	off -= int64(len(r.prefix))
	if r.large == nil {
		if off >= int64(len(r.body)) {
			return nil, io.EOF
		}
		return r.body[off:], nil
	}
	b, err := r.large.at(off)
	if err != nil && err != io.EOF {
		kind := fault.Internal
		if isDamage(err) {
			kind = fault.Corrupt
		}
		err = fault.New(kind, "read "+r.name, err)
		r.s.health.log.Error("store: a message can't be read", "file", r.s.files.path(r.large.num), "error", err.Error(), "do", "run: postrider store check")
	}
	return b, err
}

var errReaderClosed = fault.Newf(fault.Invalid, "read message", "the reader is closed")

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, errReaderClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	b, err := r.at(r.off)
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	r.off += int64(n)
	return n, nil
}

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if r.closed {
		return 0, errReaderClosed
	}
	if off < 0 {
		return 0, fault.Newf(fault.Invalid, "read message", "negative offset")
	}
	n := 0
	for n < len(p) {
		b, err := r.at(off + int64(n))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b)
	}
	return n, nil
}

// WriteTo implements io.WriterTo.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	if r.closed {
		return 0, errReaderClosed
	}
	var sum int64
	for {
		b, err := r.at(r.off)
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		n, err := w.Write(b)
		sum += int64(n)
		r.off += int64(n)
		if err != nil {
			return sum, err
		}
	}
}

// Envelope implements store.Reader.
func (r *reader) Envelope() (mail.Envelope, error) {
	const op = "read envelope"
	if r.closed {
		return mail.Envelope{}, errReaderClosed
	}
	if r.envelope == nil {
		if err := r.loadEnvelope(); err != nil {
			kind := fault.Internal
			if isDamage(err) {
				kind = fault.Corrupt
			}
			return mail.Envelope{}, fault.New(kind, op, err)
		}
	}
	e, err := decodeEnvelope(r.envelope)
	if err != nil {
		return e, fault.New(fault.Corrupt, op, err)
	}
	return e, nil
}

// loadEnvelope reads the envelope of a record that was too long to be read whole.
func (r *reader) loadEnvelope() error {
	f, err := r.s.log.acquire(r.blob.segment)
	if err != nil {
		return err
	}
	defer r.s.log.release(f)
	var hb [recordHeaderSize]byte
	if err := readFull(f, hb[:], r.blob.offset); err != nil {
		return err
	}
	h, err := parseBlob(hb[:], r.id, r.blob)
	if err != nil {
		return err
	}
	b := make([]byte, h.envelope)
	if err := readFull(f, b, r.blob.offset+recordHeaderSize); err != nil {
		return err
	}
	if checksum(b) != h.envelopeCRC {
		return errChecksum
	}
	r.envelope = b
	return nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.s.buffers.put(r.buf)
	r.buf, r.prefix, r.body, r.envelope = nil, nil, nil, nil
	defer r.s.pins.release(&r.pin)
	if r.large == nil {
		return nil
	}
	buf := r.large.buf
	r.s.transfers.Put(&buf)
	return r.large.file.Close()
}
