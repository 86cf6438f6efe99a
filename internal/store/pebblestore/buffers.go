package pebblestore

import "sync"

// buffers hands out octet buffers of a few sizes, to be used again and again.
type buffers struct {
	sizes []int
	pools []sync.Pool
}

// newBuffers returns buffers up to largest octets.
func newBuffers(largest int) *buffers {
	b := &buffers{}
	for n := 2 << 10; n < largest; n *= 4 {
		b.sizes = append(b.sizes, n)
	}
	b.sizes = append(b.sizes, largest)
	b.pools = make([]sync.Pool, len(b.sizes))
	return b
}

// get returns an empty buffer for n octets at least; one for more than the
// largest size is made for once.
func (b *buffers) get(n int) *[]byte {
	for i, size := range b.sizes {
		if n > size {
			continue
		}
		if p, ok := b.pools[i].Get().(*[]byte); ok {
			*p = (*p)[:0]
			return p
		}
		buf := make([]byte, 0, size)
		return &buf
	}
	buf := make([]byte, 0, n)
	return &buf
}

// put takes back what get gave.
func (b *buffers) put(p *[]byte) {
	if p == nil {
		return
	}
	for i, size := range b.sizes {
		if cap(*p) == size {
			b.pools[i].Put(p)
			return
		}
	}
}
