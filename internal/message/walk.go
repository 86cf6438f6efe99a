package message

import (
	"bytes"
	"io"
	"mime"
	"slices"
	"strings"
)

// Why lines can't be shortened.
var (
	errLongHeader   = &LineError{Header: true, Why: "a header line is too long and has no white space to fold it at"}
	errTooManyFolds = &LineError{Header: true, Why: "too many header lines are too long"}
	errOutside      = &LineError{Why: "a line outside of its parts is too long"}
	errTooManyParts = &LineError{Why: "a line is too long, and it has too many parts to be encoded anew"}
)

// Why an entity may not be encoded anew.
const (
	whySealed    = "a line is too long in a part that is signed or encrypted"
	whyMessage   = "a line is too long in a message within the message"
	whyEncoded   = "a line is too long in a part that is encoded already"
	whyMalformed = "a line is too long in a part whose structure can't be told"
	whyDeep      = "a line is too long in a part that is nested too deep"
)

// walker goes through a message once, and notes what has to change for no line
// to be too long. A part is known by where it begins and ends; none is kept.
type walker struct {
	lines *lineReader
	stack []enclosing
	part  entity
	parts int
	folds int
	edits []edit
	// versioned says that the message has a MIME-Version field; top is where its
	// header ends, and one is put in if a part is encoded.
	versioned bool
	top       int64
	encoded   bool
}

// enclosing is a multipart whose parts are being gone through.
type enclosing struct {
	boundary string
	digest   bool // its parts are messages, if they don't say otherwise
}

// entity is the message or a part of it: a header and a body.
type entity struct {
	place place
	header
	body int64 // where the body begins
	// opaque says why the body may not be touched; empty: it may.
	opaque string
	text   bool
	long   bool // a line of the body is too long
}

// place is where in an entity the walker is.
type place uint8

const (
	inHeader place = iota
	inBody
	outside // of the parts of a multipart: its preamble or epilogue
)

// header is what is noted of an entity's header.
type header struct {
	kind, coding mimeField
	field        *mimeField // the one that a folded line continues
	begun        bool       // there has been a field
}

// mimeField is a field of a header that says something about the body.
type mimeField struct {
	from, to int64
	body     []byte
	count    int
	cut      bool // it has more than maxMIMEField octets
}

// plan returns the changes.
func (w *walker) plan() ([]edit, error) {
	for {
		l, err := w.lines.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = w.line(&l)
		}
		if err != nil {
			return nil, err
		}
	}
	w.endPart(w.lines.at, false)
	if w.encoded && !w.versioned {
		w.insert(w.top, w.top, "MIME-Version: 1.0\r\n")
	}
	return w.edits, nil
}

func (w *walker) insert(from, to int64, text string) {
	w.edits = append(w.edits, edit{from: from, to: to, do: insertText, text: text})
}

// line takes the next line.
func (w *walker) line(l *textLine) error {
	if level, last := w.boundary(l); level >= 0 {
		if l.long() {
			return errOutside // white space behind the boundary
		}
		return w.delimiter(l, level, last)
	}
	switch w.part.place {
	case inHeader:
		return w.headerLine(l)
	case outside:
		if l.long() {
			return errOutside
		}
		return nil
	}
	return w.bodyLine(l)
}

// boundary returns the level of the multipart whose delimiter a line is, the
// inner ones first, or -1 (RFC 2046 §5.1.1). Last: it is the closing one.
func (w *walker) boundary(l *textLine) (level int, last bool) {
	if len(w.stack) == 0 || !bytes.HasPrefix(l.head, []byte("--")) {
		return -1, false
	}
	text := string(bytes.TrimRight(l.head[2:], " \t"))
	for i, m := range slices.Backward(w.stack) {
		rest, ok := strings.CutPrefix(text, m.boundary)
		if ok && (rest == "" || rest == "--") {
			return i, rest != ""
		}
	}
	return -1, false
}

// delimiter ends the part at hand, and begins the next one.
func (w *walker) delimiter(l *textLine, level int, last bool) error {
	w.endPart(l.from, true)
	if last {
		w.stack = w.stack[:level]
		w.part = entity{place: outside}
		return nil
	}
	w.stack = w.stack[:level+1]
	if w.parts++; w.parts > MaxParts {
		return errTooManyParts
	}
	w.part = entity{}
	return nil
}

// headerLine takes a line of a header.
func (w *walker) headerLine(l *textLine) error {
	h := &w.part.header
	if l.length == 0 {
		w.endHeader(l)
		return nil
	}
	name, _, ok := bytes.Cut(l.head, []byte{':'})
	name = bytes.TrimRight(name, " \t")
	switch {
	case isBlank(l.head[0]) && h.begun:
		h.add(l, l.head)
	case ok && isFieldName(name):
		w.beginField(l, name)
	default: // no field: what the rest of it is, readers disagree about
		w.part.place, w.part.opaque = inBody, whyMalformed
		return w.bodyLine(l)
	}
	if !l.long() {
		return nil
	}
	return w.foldLine(l)
}

// beginField notes a field that says something about the body.
func (w *walker) beginField(l *textLine, name []byte) {
	h := &w.part.header
	h.field, h.begun = nil, true
	switch {
	case bytes.EqualFold(name, []byte("Content-Type")):
		h.field = &h.kind
	case bytes.EqualFold(name, []byte("Content-Transfer-Encoding")):
		h.field = &h.coding
	case bytes.EqualFold(name, []byte("MIME-Version")) && w.parts == 0:
		w.versioned = true
	}
	if h.field == nil {
		return
	}
	h.field.count++
	h.field.from, h.field.body = l.from, nil
	h.add(l, l.head[bytes.IndexByte(l.head, ':')+1:])
}

// add adds a line to the field at hand.
func (h *header) add(l *textLine, text []byte) {
	f := h.field
	if f == nil {
		return
	}
	f.to = l.to
	if len(f.body)+len(text) > maxMIMEField || l.long() {
		f.cut = true
		return
	}
	f.body = append(f.body, text...)
}

// foldLine notes that a header line has to be folded.
func (w *walker) foldLine(l *textLine) error {
	if w.folds++; w.folds > maxFolds {
		return errTooManyFolds
	}
	line, err := w.lines.again(l)
	if err != nil {
		return err
	}
	if _, ok := fold(line); !ok {
		return errLongHeader
	}
	w.edits = append(w.edits, edit{from: l.from, to: l.to, do: foldLine})
	return nil
}

// endHeader decides what the body is, at the blank line before it.
func (w *walker) endHeader(l *textLine) {
	p := &w.part
	p.place, p.body = inBody, l.to
	if w.parts == 0 && len(w.stack) == 0 {
		w.top = l.from
	}
	kind, params := p.mediaType(w.defaultType())
	switch {
	case kind == "":
		p.opaque = whyMalformed
	case kind == "multipart/signed", kind == "multipart/encrypted":
		p.opaque = whySealed
	case strings.HasPrefix(kind, "message/"):
		p.opaque = whyMessage
	case strings.HasPrefix(kind, "multipart/"):
		w.enter(kind, params["boundary"])
	default:
		p.text = strings.HasPrefix(kind, "text/")
		p.opaque = p.sealedBy()
	}
	if p.place == inBody && p.coding.to == 0 {
		p.coding.from, p.coding.to = l.from, l.from // where one would be put in
	}
}

// defaultType is what a part is that does not say it (RFC 2045 §5.2, RFC 2046
// §5.1.5).
func (w *walker) defaultType() string {
	if n := len(w.stack); n > 0 && w.stack[n-1].digest {
		return "message/rfc822"
	}
	return "text/plain"
}

// mediaType returns an entity's type and its parameters, or "" if it can't be
// told.
func (h *header) mediaType(standard string) (kind string, params map[string]string) {
	switch {
	case h.kind.count == 0:
		return standard, nil
	case h.kind.count > 1 || h.kind.cut:
		return "", nil
	}
	// An error about the parameters only leaves the type, without them.
	kind, params, _ = mime.ParseMediaType(string(h.kind.body))
	if !strings.Contains(kind, "/") {
		return "", nil
	}
	return kind, params
}

// The encodings of RFC 2045 §6 that leave octets as they are, and base64.
const (
	codingBase64 = "base64"
	codingQuoted = "quoted-printable"
)

var identities = []string{"", "7bit", "8bit", "binary"}

// encoding returns the entity's Content-Transfer-Encoding in lower case. Ok is
// false if it can't be told.
func (h *header) encoding() (coding string, ok bool) {
	if h.coding.count > 1 || h.coding.cut {
		return "", false
	}
	return strings.ToLower(strings.Trim(string(h.coding.body), " \t")), true
}

// sealedBy returns why a leaf may not be encoded, or "".
func (e *entity) sealedBy() string {
	coding, ok := e.encoding()
	switch {
	case !ok:
		return whyMalformed
	case coding == codingBase64, slices.Contains(identities, coding):
		return ""
	}
	return whyEncoded
}

// enter begins a multipart's preamble.
func (w *walker) enter(kind, boundary string) {
	coding, ok := w.part.encoding()
	same := func(m enclosing) bool { return m.boundary == boundary }
	switch {
	case len(w.stack) == MaxPartDepth:
		w.part.opaque = whyDeep
	case boundary == "" || len(boundary) > MaxBoundary || strings.HasSuffix(boundary, " "):
		w.part.opaque = whyMalformed
	case !ok || !slices.Contains(identities, coding), slices.ContainsFunc(w.stack, same):
		w.part.opaque = whyMalformed
	default:
		w.stack = append(w.stack, enclosing{boundary: boundary, digest: kind == "multipart/digest"})
		w.part.place = outside
	}
}

// bodyLine takes a line of a body.
func (w *walker) bodyLine(l *textLine) error {
	p := &w.part
	if !l.long() {
		return nil
	}
	p.long = true
	if p.opaque != "" {
		return &LineError{Why: p.opaque}
	}
	if coding, _ := p.encoding(); coding == codingBase64 && !l.plain {
		return &LineError{Why: whyMalformed}
	}
	return nil
}

// endPart notes the changes of the part that ends before an offset: at a
// delimiter, to which the line end before it belongs, or with the message.
func (w *walker) endPart(at int64, delimited bool) {
	p := &w.part
	if p.place != inBody || !p.long {
		return
	}
	end := at
	if delimited {
		end = max(p.body, at-2)
	}
	body, name := edit{from: p.body, to: end, do: encodeBase64}, codingBase64
	coding, _ := p.encoding()
	switch {
	case coding == codingBase64:
		body.do = breakLines
		w.edits = append(w.edits, body)
		return
	case p.text:
		body.do, name = encodeQuoted, codingQuoted
	}
	w.insert(p.coding.from, p.coding.to, "Content-Transfer-Encoding: "+name+"\r\n")
	w.edits = append(w.edits, body)
	if !p.text && !delimited {
		w.insert(end, end, "\r\n")
	}
	w.encoded = true
}
