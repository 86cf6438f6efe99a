package message

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// Why lines can't be shortened.
var (
	errLongHeader   = &LineError{Header: true, Why: "a header line is too long and has no place to fold it at"}
	errTooManyFolds = &LineError{Header: true, Why: "too many header lines are too long"}
	errOutside      = &LineError{Why: "a line outside of its parts is too long"}
	errTooManyParts = &LineError{Why: "a line is too long, and it has too many parts to be encoded anew"}
)

// walker goes through a message once, and notes what has to change for it to reach
// a goal. A part is known by where it begins and ends; none is kept.
type walker struct {
	goal  goal
	lines *lineReader
	stack []enclosing // the message first
	part  entity
	parts int
	folds int
	drops int
	edits []edit
}

// plan returns the changes.
func (w *walker) plan() ([]edit, error) {
	w.begin()
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
	return w.edits, nil
}

func (w *walker) insert(from, to int64, text string) {
	w.edits = append(w.edits, edit{from: from, to: to, do: insertText, text: text})
}

// line takes the next line.
func (w *walker) line(l *textLine) error {
	if level, last := w.boundary(l); level >= 0 {
		switch {
		case l.long():
			return errOutside // white space behind the boundary
		case w.goal.lines && (!l.afterEnd || l.bare):
			return errHalfBoundary
		}
		return w.delimiter(l, level, last)
	}
	switch w.part.place {
	case inHeader:
		return w.headerLine(l)
	case outside:
		return w.outsideLine(l)
	}
	return w.bodyLine(l)
}

// outsideLine takes a line outside of the parts of a multipart, which nobody reads
// (RFC 2046 §5.1.1). One that is not allowed is left out of a conversion.
func (w *walker) outsideLine(l *textLine) error {
	switch {
	case !w.goal.refuses(l):
		return nil
	case !w.goal.lines:
		return errOutside
	}
	if n := len(w.edits) - 1; n >= 0 && w.edits[n].do == dropLine && w.edits[n].to == l.from {
		w.edits[n].to = l.to
		return nil
	}
	if w.drops++; w.drops > maxDrops {
		return errTooManyDrops
	}
	w.edits = append(w.edits, edit{from: l.from, to: l.to, do: dropLine})
	return nil
}

// boundary returns the level of the multipart whose delimiter a line is, the
// inner ones first, or -1 (RFC 2046 §5.1.1). Last: it is the closing one.
func (w *walker) boundary(l *textLine) (level int, last bool) {
	if len(w.stack) == 1 || !bytes.HasPrefix(l.head, []byte("--")) {
		return -1, false
	}
	text := string(bytes.TrimRight(l.head[2:], " \t"))
	for i, m := range slices.Backward(w.stack) {
		rest, ok := strings.CutPrefix(text, m.boundary)
		if ok && m.boundary != "" && (rest == "" || rest == "--") {
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
	if err := w.goal.refusesHeader(l); err != nil {
		return err
	}
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
	if l.long() {
		return w.foldLine(l)
	}
	h.line.follow(l.head)
	return nil
}

// beginField notes a field that says something about the body.
func (w *walker) beginField(l *textLine, name []byte) {
	h := &w.part.header
	h.field, h.begun = nil, true
	h.line = addressLine{is: slices.ContainsFunc(addressFields, Field{Name: name}.Is)}
	switch {
	case bytes.EqualFold(name, []byte("Content-Type")):
		h.field = &h.kind
	case bytes.EqualFold(name, []byte("Content-Transfer-Encoding")):
		h.field = &h.coding
	case bytes.EqualFold(name, []byte("MIME-Version")) && w.part.whole:
		w.stack[len(w.stack)-1].versioned = true
	}
	if h.field == nil {
		return
	}
	h.field.count++
	h.field.from, h.field.body = l.from, nil
	h.add(l, l.head[bytes.IndexByte(l.head, ':')+1:])
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
	h := &w.part.header
	if _, ok := h.line.fold(line); !ok {
		return errLongHeader
	}
	w.edits = append(w.edits, edit{from: l.from, to: l.to, do: foldLine, line: h.line})
	h.line.follow(bytes.TrimSuffix(line, []byte("\r\n")))
	return nil
}

// endHeader decides what the body is, at the blank line before it.
func (w *walker) endHeader(l *textLine) {
	p := &w.part
	p.place, p.body = inBody, l.to
	if p.whole {
		w.stack[len(w.stack)-1].top = l.from
	}
	kind, boundary := p.mediaType(w.defaultType())
	encodable := strings.HasPrefix(kind, "message/global-") // RFC 6533 §4.4
	if !encodable && (strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/")) {
		w.relabel()
	}
	switch {
	case kind == "":
		p.opaque = whyMalformed
	case kind == "multipart/signed", kind == "multipart/encrypted":
		p.opaque = whySealed
	case kind == "message/rfc822", kind == "message/global":
		w.enterMessage()
	case encodable:
		p.text, p.opaque = true, p.sealedBy()
	case strings.HasPrefix(kind, "message/"):
		p.opaque = whyMessage
	case strings.HasPrefix(kind, "multipart/"):
		w.enter(kind, boundary)
	default:
		p.text = strings.HasPrefix(kind, "text/")
		p.opaque = p.sealedBy()
	}
	if p.place == inBody && p.coding.to == 0 {
		p.coding.from, p.coding.to = l.from, l.from // where one would be put in
	}
}

// bodyLine takes a line of a body.
func (w *walker) bodyLine(l *textLine) error {
	p := &w.part
	p.escaped += l.escaped
	if !w.goal.refuses(l) {
		return nil
	}
	p.refused, p.nul, p.bare = true, p.nul || l.nul, p.bare || l.bare
	if p.opaque != "" {
		return &LineError{Why: p.opaque}
	}
	if coding, _ := p.encoding(); coding == codingBase64 && (!l.plain || w.goal.lines && l.bare) {
		return &LineError{Why: whyMalformed}
	}
	return nil
}

// endPart notes the changes of the part that ends before an offset: at a
// delimiter, to which the line end before it belongs, or with the message.
func (w *walker) endPart(at int64, delimited bool) {
	p := &w.part
	switch {
	case p.place != inBody:
		return
	case !p.refused:
		if p.opaque == "" {
			w.relabel()
		}
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
	case p.text && p.escaped <= (end-p.body)/escapedShare:
		body.do, name = encodeQuoted, codingQuoted
	}
	body.normal = w.goal.lines && p.text && p.bare && !p.nul
	w.insert(p.coding.from, p.coding.to, "Content-Transfer-Encoding: "+name+"\r\n")
	w.edits = append(w.edits, body)
	if body.do == encodeBase64 && !delimited {
		w.insert(end, end, "\r\n")
	}
	w.version()
}
