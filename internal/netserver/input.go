package netserver

import (
	"sync"

	"postrider/internal/wire"
)

// Sizes of read buffers, in octets.
const (
	smallSize = 512     // what a connection has of its own
	midSize   = 4 << 10 // for a long line, and to begin content with
	bulkSize  = 32 << 10
)

var (
	midBuffers  = sync.Pool{New: func() any { return new([midSize]byte) }}
	bulkBuffers = sync.Pool{New: func() any { return new([bulkSize]byte) }}
)

// input is what has been read and not used: b[r:w]. The zero value is ready.
type input struct {
	b    []byte
	r, w int
	// seen is, on a teach listener, how far the telnet filter has been:
	// b[r:seen] has passed it.
	seen  int
	mid   *[midSize]byte // borrowed, or nil
	bulk  *[bulkSize]byte
	small [smallSize]byte
}

// buffered is how many octets wait to be used.
func (in *input) buffered() int { return in.w - in.r }

// use drops n octets.
func (in *input) use(n int) {
	in.r += n
	in.seen = max(in.seen, in.r)
}

// reset drops everything.
func (in *input) reset() { in.r, in.w, in.seen = 0, 0, 0 }

// discard drops everything, leaves no trace of it, and returns how much it was.
func (in *input) discard() int {
	n := in.buffered()
	in.reset()
	in.wipe()
	return n
}

// wipe leaves nothing in the buffer but what is still to be used.
func (in *input) wipe() {
	clear(in.b[:in.r])
	clear(in.b[in.w:])
}

// ready makes room to read into, in a buffer of size; a larger one if what is
// buffered fills that.
func (in *input) ready(size int) []byte {
	n := in.buffered()
	for size <= n {
		size = larger(size)
	}
	if len(in.b) != size || in.w == len(in.b) || n == 0 {
		copy(in.b, in.b[in.r:in.w])
		in.seen -= in.r
		in.r, in.w = 0, n
	}
	if len(in.b) != size {
		in.change(size)
	}
	return in.b[in.w:]
}

// larger returns the next size of buffer. A line is never longer than the
// largest.
func larger(size int) int {
	if size < midSize {
		return midSize
	}
	return bulkSize
}

// change moves what is buffered, from the buffer's start, to a buffer of size.
func (in *input) change(size int) {
	old, mid, bulk := in.b[:in.w], in.mid, in.bulk
	in.mid, in.bulk = nil, nil
	switch size {
	case smallSize:
		in.b = in.small[:]
	case midSize:
		in.mid = midBuffers.Get().(*[midSize]byte)
		in.b = in.mid[:]
	default:
		in.bulk = bulkBuffers.Get().(*[bulkSize]byte)
		in.b = in.bulk[:]
	}
	copy(in.b, old)
	if len(old) > 0 {
		clear(old[:cap(old)]) // it may be a part of a secret
	}
	if mid != nil {
		midBuffers.Put(mid)
	}
	if bulk != nil {
		bulkBuffers.Put(bulk)
	}
}

// release gives borrowed buffers back, with what they hold.
func (in *input) release() {
	in.reset()
	in.change(smallSize)
}

// line looks for a line in what is buffered.
func (in *input) line(s *wire.Splitter) (wire.Line, wire.Progress) {
	line, n, got := s.Next(in.b[in.r:in.w])
	in.use(n)
	return line, got
}

// typedLine is line for a teach listener. The filter gets no more than one line
// ahead, since content may follow, which it must not touch. Answer is for the
// peer.
func (in *input) typedLine(s *wire.Splitter, t *wire.Telnet) (line wire.Line, got wire.Progress, answer []byte) {
	for {
		var n int
		line, n, got = s.Next(in.b[in.r:in.seen])
		in.use(n)
		if got != wire.NeedMore || in.seen == in.w {
			return line, got, answer
		}
		end := in.seen + lineSize(in.b[in.seen:in.w])
		typed, no := t.Filter(in.b[in.r:in.seen], in.b[in.seen:end])
		answer = append(answer, no...)
		in.r = end - len(typed)
		copy(in.b[in.r:end], typed)
		in.seen = end
	}
}

// lineSize returns how many octets of p there are up to one that may end a line
// on a teach listener.
func lineSize(p []byte) int {
	for i, c := range p {
		if c == '\n' || c == 0 {
			return i + 1
		}
	}
	return len(p)
}
