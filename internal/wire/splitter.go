package wire

import "bytes"

// Splitter finds lines in the octets a driver has read. It owns no buffer: it
// looks at the driver's, and its lines are parts of that.
//
// A strict splitter ends a line at CRLF and at nothing else. The first thing
// that is wrong with a line is reported the moment it is certain, with the part
// of the line before it, so that a peer which never sends a CRLF hears of its
// mistake; what follows up to the next CRLF is swallowed without another
// report. A CRLF-terminated line is therefore reported exactly once, whatever
// it holds and however it was cut into packets.
//
// With Teach, a LF alone ends a line too, and so does CR NUL, which is what a
// telnet in character mode sends for the return key (RFC 854, "The NVT
// printer"); any other CR is dropped.
type Splitter struct {
	// Limit is the longest line in octets, its ending included; zero means
	// MaxLine. The driver's buffer must have room for that many.
	Limit int
	// Teach makes the splitter kind to people who type.
	Teach bool

	skipping  bool // a flaw was reported; its line's end has not come yet
	cr        bool // while skipping: the last octet swallowed was a CR
	scanned   int  // octets of the unfinished line that hold no CR and no LF
	swallowed int  // octets dropped since the flaw
}

// Progress says what a call of Next has found.
type Progress uint8

// The answers of Next.
const (
	NeedMore Progress = iota // no line yet
	HaveLine                 // a line, perhaps with flaws
	Flooded                  // more than MaxSkip octets without an end of line: give up
)

// Next looks for a line at the start of p. The caller drops the first n octets
// of p when it is done with the line, and calls again with the rest, and with
// what has come since behind it. With Teach, Next may change p[:n].
func (s *Splitter) Next(p []byte) (line Line, n int, got Progress) {
	if s.skipping {
		n = s.swallow(p)
		if s.swallowed > MaxSkip {
			return Line{}, n, Flooded
		}
		if s.skipping {
			return Line{}, n, NeedMore
		}
	}
	var size int
	if s.Teach {
		line, size, got = s.teach(p[n:])
	} else {
		line, size, got = s.strict(p[n:])
	}
	return line, n + size, got
}

// limit returns the limit in force.
func (s *Splitter) limit() int {
	if s.Limit == 0 {
		return MaxLine
	}
	return s.Limit
}

// strict looks for CRLF, or for the first flaw.
func (s *Splitter) strict(p []byte) (Line, int, Progress) {
	limit := s.limit()
	window := p[:min(len(p), limit)]
	end := len(window)
	lf := bytes.IndexByte(window[s.scanned:], '\n')
	if lf >= 0 {
		end = s.scanned + lf
	}
	cr := bytes.IndexByte(window[s.scanned:end], '\r')
	at := s.scanned + cr
	switch {
	case cr >= 0 && at+1 == end && lf >= 0:
		s.scanned = 0
		return Line{Bytes: p[:at]}, end + 1, HaveLine
	case cr >= 0 && at+1 < len(window):
		return s.flawed(p[:at], BareCR, at+1)
	case cr < 0 && lf >= 0:
		return s.flawed(p[:end], BareLF, end+1)
	case len(window) == limit:
		return s.flawed(window, TooLong, limit)
	case cr >= 0:
		s.scanned = at
	default:
		s.scanned = len(window)
	}
	return Line{}, 0, NeedMore
}

// flawed reports a line whose end has not been seen, and begins to skip.
func (s *Splitter) flawed(b []byte, f Flaw, n int) (Line, int, Progress) {
	s.scanned, s.swallowed = 0, 0
	s.skipping = true
	s.cr = f == TooLong && b[len(b)-1] == '\r'
	return Line{Bytes: b, Flaws: f}, n, HaveLine
}

// teach looks for LF, CRLF or CR NUL. It looks from the line's start each time,
// since what came before may have been erased (see Telnet).
func (s *Splitter) teach(p []byte) (Line, int, Progress) {
	limit := s.limit()
	window := p[:min(len(p), limit)]
	end, after := lenientEnd(window)
	if end < 0 {
		if len(window) == limit {
			return s.flawed(window, TooLong, limit)
		}
		return Line{}, 0, NeedMore
	}
	line := Line{Bytes: p[:end]}
	switch {
	case p[after-1] == 0:
		line.Flaws |= BareCR
	case end+1 == after:
		line.Flaws |= BareLF
	}
	if bytes.IndexByte(line.Bytes, '\r') >= 0 {
		line.Bytes = dropCR(line.Bytes)
		line.Flaws |= BareCR
	}
	return line, after, HaveLine
}

// lenientEnd returns where the first line of p ends and where the next begins;
// -1 if no end is there.
func lenientEnd(p []byte) (end, after int) {
	end = -1
	if lf := bytes.IndexByte(p, '\n'); lf >= 0 {
		end, after = lf, lf+1
		if lf > 0 && p[lf-1] == '\r' {
			end--
		}
		p = p[:lf]
	}
	if cr := bytes.Index(p, crNUL); cr >= 0 {
		end, after = cr, cr+2
	}
	return end, after
}

var crNUL = []byte{'\r', 0}

// dropCR removes every CR from p, in place.
func dropCR(p []byte) []byte {
	kept := p[:0]
	for _, c := range p {
		if c != '\r' {
			kept = append(kept, c)
		}
	}
	return kept
}

// swallow drops octets up to the end of the flawed line and returns how many.
func (s *Splitter) swallow(p []byte) (n int) {
	for n < len(p) {
		i := bytes.IndexByte(p[n:], '\n')
		if s.Teach {
			i = s.lenientSkip(p[n:])
		}
		if i < 0 {
			n = len(p)
			s.cr = p[n-1] == '\r'
			break
		}
		afterCR := s.cr && i == 0 || i > 0 && p[n+i-1] == '\r'
		n += i + 1
		s.cr = false
		if afterCR || s.Teach {
			s.skipping = false
			break
		}
	}
	s.swallowed += n
	return n
}

// lenientSkip returns the place of the last octet of the first line ending in
// p, -1 if there is none.
func (s *Splitter) lenientSkip(p []byte) int {
	if s.cr && p[0] == 0 {
		return 0
	}
	end, after := lenientEnd(p)
	if end < 0 {
		return -1
	}
	return after - 1
}
