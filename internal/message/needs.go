package message

import "bytes"

// Needs is what a message asks of those that carry it. The zero value is lines of
// ASCII, which everybody takes.
type Needs struct {
	// EightBit: there are octets beyond ASCII after the header (RFC 6152).
	EightBit bool
	// HeaderEightBit: there are some in the header; if they are UTF-8, that is
	// SMTPUTF8's (RFC 6531). Headers of parts count as body.
	HeaderEightBit bool
	// LongLine: a line has more than MaxLine octets.
	LongLine bool
	// NUL, BareCR, BareLF: what only BINARYMIME may have (RFC 3030 §3).
	NUL, BareCR, BareLF bool
	// OpenEnd: the last line does not end.
	OpenEnd bool
}

// Binary reports whether the message can be sent in chunks only, BINARYMIME being
// declared.
func (n Needs) Binary() bool { return n.NUL || n.BareCR || n.BareLF || n.LongLine }

// NeedsScanner finds out what a message needs while it streams by, in one pass. The
// zero value is ready.
type NeedsScanner struct {
	needs  Needs
	header HeaderScanner
	lines  LineWatcher
	seen   int64
	last   byte
}

// Write takes the next piece of content. It never fails.
func (s *NeedsScanner) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.eightBit(p)
	s.ends(p)
	s.needs.NUL = s.needs.NUL || bytes.IndexByte(p, 0) >= 0
	s.lines.Write(p)
	s.seen += int64(len(p))
	s.last = p[len(p)-1]
	return len(p), nil
}

// Needs returns what has been seen; call it when all of the message has.
func (s *NeedsScanner) Needs() Needs {
	n := s.needs
	n.LongLine = s.lines.Long()
	n.BareCR = n.BareCR || s.last == '\r'
	n.OpenEnd = s.seen > 0 && s.last != '\n'
	return n
}

// eightBit looks for octets beyond ASCII. A line that is no field ends the header
// before it; it has none before the octet that shows this.
func (s *NeedsScanner) eightBit(p []byte) {
	if !s.header.Done() {
		s.header.Write(p)
		n := len(p)
		if s.header.Done() {
			n = int(max(s.header.Length()-s.seen, 0))
		}
		s.needs.HeaderEightBit = s.needs.HeaderEightBit || beyondASCII(p[:n])
		p = p[n:]
	}
	s.needs.EightBit = s.needs.EightBit || beyondASCII(p)
}

// ends looks for CR and LF that are no line end.
func (s *NeedsScanner) ends(p []byte) {
	if s.last == '\r' && p[0] != '\n' {
		s.needs.BareCR = true
	}
	for i := 0; i < len(p) && !s.needs.BareLF; i++ {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			break
		}
		i += n
		before := s.last
		if i > 0 {
			before = p[i-1]
		}
		s.needs.BareLF = before != '\r'
	}
	for i := 0; i+1 < len(p) && !s.needs.BareCR; i++ {
		n := bytes.IndexByte(p[i:len(p)-1], '\r')
		if n < 0 {
			break
		}
		i += n
		s.needs.BareCR = p[i+1] != '\n'
	}
}

func beyondASCII(p []byte) bool {
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
