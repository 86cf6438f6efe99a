package netconn

import "sync"

// BlockSize is the most that one write has, in octets.
const BlockSize = 64 << 10

var blocks = sync.Pool{New: func() any { return new([BlockSize]byte) }}

// Output is what is to be sent and was not. With Send it is ready, and it holds no
// memory when it has been flushed. It is what a session.Step.Body writes to.
type Output struct {
	// Send sends p, BlockSize octets at most, now.
	Send func(p []byte) error

	b *[BlockSize]byte
	n int // of b
}

// Empty reports whether nothing waits.
func (o *Output) Empty() bool { return o.n == 0 }

// Write keeps p; what does not fit is sent in blocks.
func (o *Output) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if o.b == nil {
			o.b = blocks.Get().(*[BlockSize]byte)
		}
		k := copy(o.b[o.n:], p[n:])
		o.n += k
		n += k
		if o.n < BlockSize {
			break
		}
		if err := o.send(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Flush sends what waits, and gives the memory back.
func (o *Output) Flush() error {
	err := o.send()
	o.Release()
	return err
}

func (o *Output) send() error {
	n := o.n
	o.n = 0
	if n == 0 {
		return nil
	}
	return o.Send(o.b[:n])
}

// Release gives the memory back, and drops what waits.
func (o *Output) Release() {
	if o.b != nil {
		blocks.Put(o.b)
	}
	o.b, o.n = nil, 0
}
