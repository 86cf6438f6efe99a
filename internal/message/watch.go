package message

import "bytes"

// maxWatched is the longest name that a NameWatcher knows, in octets.
const maxWatched = 32

// NameWatcher watches lines go by that belong to no header but stand where one
// had to be, up to the first blank line, and notes whether one of them reads like
// a field of a name. Use NewNameWatcher.
type NameWatcher struct {
	names []string
	left  int64 // octets that are still to be watched
	name  [maxWatched]byte
	n     int // octets of the name
	state watchState
	found bool
}

type watchState uint8

const (
	watchName  watchState = iota
	watchBlank            // white space has followed the name
	watchRest             // the line is none
	watchOver
)

// NewNameWatcher returns a watcher of at most limit octets. Names have at most 32
// octets; upper and lower case are the same.
func NewNameWatcher(limit int64, names ...string) *NameWatcher {
	return &NameWatcher{names: names, left: limit}
}

// Write takes the next piece, the first of them at the beginning of a line. It
// never fails.
func (w *NameWatcher) Write(p []byte) (int, error) {
	for _, c := range p[:min(int64(len(p)), w.left)] {
		if w.state == watchOver {
			break
		}
		w.next(c)
	}
	w.left -= min(int64(len(p)), w.left)
	return len(p), nil
}

// Found reports whether there was such a line.
func (w *NameWatcher) Found() bool { return w.found }

func (w *NameWatcher) next(c byte) {
	switch {
	case c == '\n' && w.state == watchName && len(bytes.Trim(w.name[:w.n], "\r")) == 0:
		w.state = watchOver // a blank line
	case c == '\n':
		w.state, w.n = watchName, 0
	case w.state == watchRest:
	case c == ':':
		w.found = w.found || w.isWatched()
		w.state = watchRest
	case isBlank(c) && w.n > 0:
		w.state = watchBlank
	case w.state == watchBlank, w.n == maxWatched:
		w.state = watchRest
	default:
		w.name[w.n] = c
		w.n++
	}
}

// isWatched reports whether the line at hand has one of the names.
func (w *NameWatcher) isWatched() bool {
	for _, name := range w.names {
		if bytes.EqualFold(w.name[:w.n], []byte(name)) {
			return true
		}
	}
	return false
}
