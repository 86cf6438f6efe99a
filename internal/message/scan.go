package message

import (
	"bytes"
	"strings"
)

// Limits of what a HeaderScanner remembers.
const (
	// MaxFieldName is the longest field name, in octets with the white space
	// before its colon. A line that begins with more than this and no colon is
	// no header field.
	MaxFieldName = 256
	// MaxDeliveredTo is how many Delivered-To fields are collected.
	MaxDeliveredTo = 64
	// MaxDeliveredValue is the longest value of a Delivered-To field that is
	// collected, in octets; no address is longer (RFC 5321 §4.5.3.1.3).
	MaxDeliveredValue = 512
)

// Header is what a HeaderScanner has seen.
type Header struct {
	// Fields counts the header fields; a message without a header has none.
	Fields int
	// Received counts the Received fields: the hosts the message went through.
	Received int
	// DeliveredTo has the values of the Delivered-To fields, unfolded and
	// without the white space around them. Those longer than MaxDeliveredValue
	// are not in it.
	DeliveredTo []string
	// DeliveredToOverflow: there were more than MaxDeliveredTo of them.
	DeliveredToOverflow bool
	// TLSOptional: there is one field TLS-Required, and it says No (RFC 8689 §3).
	TLSOptional bool
}

// Opening is how a message begins.
type Opening uint8

// The openings.
const (
	// Undecided: too little has been seen.
	Undecided Opening = iota
	// Fields: a header field, a mailbox file's "From " line, or the blank line
	// after an empty header. Fields put on top need no more.
	Fields
	// Text: something that is no header field. If fields are put on top, a blank
	// line has to follow them, or the text would be taken for a part of them.
	Text
)

// HeaderScanner watches a message's header. It is fed with content from its
// first octet on, in pieces of any size, and remembers what Header has; its
// memory is bounded by the limits above. The zero value is ready.
//
// The header ends at the first line that is neither a field nor the
// continuation of one, usually the blank line (RFC 5322 §2.1).
type HeaderScanner struct {
	header  Header
	opening Opening
	state   scanState
	seen    int64 // octets of the pieces before the one at hand
	line    int64 // where the line at hand begins
	length  int64 // of the header, when done
	lines   bool  // a line has been seen whole
	field   bool  // a field has been seen that a folded line may continue

	name    [MaxFieldName]byte // of the line at hand, while state is inName
	nameLen int
	blank   bool // white space has followed the name

	keep  kept // the value at hand is one of these
	value []byte
	long  bool // and exceeds MaxDeliveredValue

	tlsRequired int // fields TLS-Required
}

// kept are the fields whose values are looked at.
type kept uint8

const (
	keepNone kept = iota
	keepDeliveredTo
	keepTLSRequired
)

type scanState uint8

const (
	lineStart scanState = iota
	afterCR             // a CR began the line
	inName
	inValue
	inSkip // the rest of a "From " line
	done
)

// Write takes the next piece of content. It never fails.
func (s *HeaderScanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && s.state != done {
		switch s.state {
		case lineStart:
			s.line = s.seen + int64(n-len(p))
			p = s.beginLine(p)
		case afterCR:
			p = s.afterCR(p)
		case inName:
			p = s.readName(p)
		case inValue, inSkip:
			p = s.readValue(p)
		}
	}
	s.seen += int64(n)
	return n, nil
}

// End says that the content is over. A field without a line ending counts.
func (s *HeaderScanner) End() {
	switch s.state {
	case done:
	case afterCR, inName:
		s.text()
	default:
		s.finish(s.seen)
	}
}

// Done reports whether the header is over: Write has nothing to do any more.
func (s *HeaderScanner) Done() bool { return s.state == done }

// Length returns how many octets the header has, when Done or after End: up to
// and with the blank line, or up to the line that is none of it.
func (s *HeaderScanner) Length() int64 { return s.length }

// Opening returns how the message begins. It is decided after at most
// MaxFieldName+1 octets. After End it is Undecided only for empty content.
func (s *HeaderScanner) Opening() Opening { return s.opening }

// Header returns what has been seen up to now; all of it after Done or End.
func (s *HeaderScanner) Header() Header { return s.header }

// beginLine looks at a line's first octet.
func (s *HeaderScanner) beginLine(p []byte) []byte {
	switch c := p[0]; {
	case c == '\r':
		s.state = afterCR
		return p[1:]
	case c == '\n':
		s.blankLine(1)
		return nil
	case isBlank(c) && s.field:
		s.state = inValue // folded (RFC 5322 §2.2.3)
		return p
	case !isNameOctet(c):
		s.text()
		return nil
	}
	s.settle()
	s.nameLen, s.blank, s.state = 0, false, inName
	return p
}

// afterCR looks at what follows a CR that began a line.
func (s *HeaderScanner) afterCR(p []byte) []byte {
	if p[0] == '\n' {
		s.blankLine(2)
	} else {
		s.text()
	}
	return nil
}

// readName takes octets up to the colon that ends a field's name. White space
// before the colon is obsolete and allowed (RFC 5322 §4.5).
func (s *HeaderScanner) readName(p []byte) []byte {
	for i, c := range p {
		switch {
		case c == ':':
			s.startField()
			return p[i+1:]
		case isBlank(c):
			s.blank = true
		case !isNameOctet(c), s.blank:
			if !s.isFromLine(c) {
				s.text()
				return nil
			}
			s.state, s.lines, s.opening = inSkip, true, Fields
			return p[i:]
		}
		if s.nameLen == len(s.name) {
			s.text()
			return nil
		}
		s.name[s.nameLen] = c
		s.nameLen++
	}
	return nil
}

// isFromLine reports whether the line is the separator of a mailbox file,
// "From address date", which some senders leave on top of the message. It must
// not hide the header below it from the count of hops.
func (s *HeaderScanner) isFromLine(next byte) bool {
	if s.lines || next == '\r' || next == '\n' {
		return false
	}
	switch string(s.name[:s.nameLen]) {
	case "From ", ">From ":
		return true
	}
	return false
}

var (
	receivedName  = []byte("received")
	deliveredName = []byte("delivered-to")
	tlsName       = []byte("tls-required")
)

// startField counts the field whose name has been read.
func (s *HeaderScanner) startField() {
	name := bytes.TrimRight(s.name[:s.nameLen], " \t")
	s.state, s.lines, s.field, s.opening = inValue, true, true, Fields
	s.header.Fields++
	switch {
	case bytes.EqualFold(name, receivedName):
		s.header.Received++
	case bytes.EqualFold(name, deliveredName):
		if len(s.header.DeliveredTo) == MaxDeliveredTo {
			s.header.DeliveredToOverflow = true
			return
		}
		s.keep, s.long, s.value = keepDeliveredTo, false, s.value[:0]
	case bytes.EqualFold(name, tlsName):
		s.tlsRequired++
		s.keep, s.long, s.value = keepTLSRequired, false, s.value[:0]
	}
}

// readValue takes the rest of a line.
func (s *HeaderScanner) readValue(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	rest := p[len(p):]
	if i >= 0 {
		p, rest = p[:i], p[i+1:]
		s.state = lineStart
	}
	if s.keep != keepNone && !s.long {
		s.value = append(s.value, p[:min(len(p), MaxDeliveredValue+1-len(s.value))]...)
		s.long = len(s.value) > MaxDeliveredValue
	}
	return rest
}

// settle ends the field at hand: no continuation of it can come any more.
func (s *HeaderScanner) settle() {
	switch {
	case s.keep == keepTLSRequired:
		s.header.TLSOptional = s.tlsRequired == 1 && !s.long && strings.EqualFold(unfold(s.value), "no")
	case s.keep == keepDeliveredTo && !s.long:
		s.header.DeliveredTo = append(s.header.DeliveredTo, unfold(s.value))
	}
	s.keep = keepNone
}

// unfold returns a field's value on one line. The LFs are gone already; folding
// adds nothing but CRLF to the white space that it stands before (RFC 5322
// §2.2.3).
func unfold(value []byte) string {
	return string(bytes.Trim(bytes.ReplaceAll(value, []byte("\r"), nil), " \t"))
}

func (s *HeaderScanner) finish(length int64) {
	s.settle()
	s.state, s.length = done, length
}

// blankLine ends the header as it should, with a line of so many octets.
func (s *HeaderScanner) blankLine(octets int64) {
	s.finish(s.line + octets)
	if s.opening == Undecided {
		s.opening = Fields
	}
}

// text ends the header at a line that is none of it.
func (s *HeaderScanner) text() {
	s.finish(s.line)
	if s.opening == Undecided {
		s.opening = Text
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isNameOctet reports whether a field's name may have c (RFC 5322 §3.6.8).
func isNameOctet(c byte) bool { return c > ' ' && c < 0x7f && c != ':' }
