package netclient

import (
	"sync"

	"postrider/internal/wire"
)

// Sizes of read buffers, in octets.
const (
	smallSize = 512     // what a conversation has of its own
	bigSize   = 4 << 10 // for a long line; wire.MaxLine fits in
)

var bigBuffers = sync.Pool{New: func() any { return new([bigSize]byte) }}

// input is what has been read and not used: b[r:w]. The zero value is ready.
type input struct {
	b     []byte
	r, w  int
	big   *[bigSize]byte // borrowed, or nil
	small [smallSize]byte
}

// buffered is how many octets wait to be used.
func (in *input) buffered() int { return in.w - in.r }

// line looks for a line in what is buffered.
func (in *input) line(s *wire.Splitter) (wire.Line, wire.Progress) {
	line, n, got := s.Next(in.b[in.r:in.w])
	in.r += n
	return line, got
}

// ready makes room to read into: in the small buffer, or in a borrowed one if
// what is buffered fills that. A line is never longer than that one.
func (in *input) ready() []byte {
	n := in.buffered()
	switch {
	case n < smallSize && (in.big != nil || in.b == nil):
		old := in.b[in.r:in.w]
		copy(in.small[:], old)
		in.giveBack()
		in.b = in.small[:]
	case n >= smallSize && in.big == nil:
		in.big = bigBuffers.Get().(*[bigSize]byte)
		copy(in.big[:], in.b[in.r:in.w])
		clear(in.small[:])
		in.b = in.big[:]
	case in.r > 0:
		copy(in.b, in.b[in.r:in.w])
	}
	in.r, in.w = 0, n
	return in.b[n:]
}

// giveBack returns the borrowed buffer, without a trace of the conversation.
func (in *input) giveBack() {
	if in.big != nil {
		clear(in.big[:])
		bigBuffers.Put(in.big)
		in.big = nil
	}
}

// wipe leaves nothing in the buffer but what is still to be used.
func (in *input) wipe() {
	clear(in.b[:in.r])
	clear(in.b[in.w:])
}

// release drops everything.
func (in *input) release() {
	in.giveBack()
	in.b, in.r, in.w = nil, 0, 0
	clear(in.small[:])
}
