package message

import "bytes"

// MaxLine is the longest line a message may have, in octets without its CRLF
// (RFC 5322 §2.1.1).
const MaxLine = 998

// LineWatcher notes whether content that streams by has a line of more than
// MaxLine octets. The zero value is ready.
type LineWatcher struct {
	length int // of the line at hand, up to MaxLine+2
	cr     bool
	long   bool
}

// Write takes the next piece of content. It never fails.
func (w *LineWatcher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !w.long {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		w.length = min(w.length+len(line), MaxLine+2)
		if len(line) > 0 {
			w.cr = line[len(line)-1] == '\r'
		}
		if w.long = w.over(); ended {
			w.length, w.cr = 0, false
		}
		p = rest
	}
	return n, nil
}

// over reports whether the line at hand is too long, also if it ends now.
func (w *LineWatcher) over() bool {
	return w.length > MaxLine+1 || w.length == MaxLine+1 && !w.cr
}

// Long reports whether a line was too long.
func (w *LineWatcher) Long() bool { return w.long }
