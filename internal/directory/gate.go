package directory

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"postrider/internal/fault"
)

// Limits of the attempts that wait for their password to be hashed.
const (
	MaxWaiting           = 4096 // in all
	MaxWaitingPerAddress = 256  // of one IPv4 address or IPv6 /48
)

// gate lets a number of hashes run at one time. Who waits stands in the line of
// the address that it comes from, and places are given to the lines in turn, to
// one whose hash has just run last: however many wait at one address, who comes
// from another waits for no more than the hashes that run now. Where many
// addresses wait, it is one hash of each.
type gate struct {
	mu      sync.Mutex
	free    int
	waiting int
	lines   []*line // those with waiters, the next first
}

type line struct {
	from    netip.Prefix
	waiters []chan error // each gets nil for a place, or why there is none
}

func newGate(places int) *gate { return &gate{free: places} }

// origin is what shares a line: an IPv4 address, or the /48 that a site of IPv6
// has at most (RFC 6177 §2). One of them has 65,536 networks: if each had a line,
// everybody else would wait for as many hashes.
func origin(from netip.Addr) netip.Prefix {
	from = from.Unmap()
	bits := from.BitLen()
	if from.Is6() {
		bits = 48
	}
	p, err := from.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// enter waits for a place, which leave gives back. Busy: too many wait already.
// Transient: ctx ended before.
func (g *gate) enter(ctx context.Context, from netip.Addr) error {
	place, err := g.queue(origin(from))
	if place == nil {
		return err
	}
	select {
	case err := <-place:
		return err
	case <-ctx.Done():
		g.abandon(origin(from), place)
		return fault.New(fault.Transient, "wait for a place to hash a password", ctx.Err())
	}
}

// queue takes a place, and returns nil, or stands in line for it.
func (g *gate) queue(from netip.Prefix) (chan error, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return nil, nil
	}
	i := g.find(from)
	if g.refuses(i) {
		return nil, errBusy()
	}
	if g.waiting >= MaxWaiting {
		g.sendAway()
	}
	if i < 0 {
		i = len(g.lines)
		g.lines = append(g.lines, &line{from: from})
	}
	place := make(chan error, 1)
	g.lines[i].waiters = append(g.lines[i].waiters, place)
	g.waiting++
	return place, nil
}

func errBusy() error {
	return fault.Newf(fault.Busy, "wait for a place to hash a password", "too many wait already")
}

// full reports whether who comes from the address would be sent away now.
func (g *gate) full(from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting > 0 && g.refuses(g.find(origin(from)))
}

// refuses reports whether there is no room in the line i, -1 for a new one: it is
// too long, or all are together and none is longer than it would become.
func (g *gate) refuses(i int) bool {
	length := 0
	if i >= 0 {
		length = len(g.lines[i].waiters)
	}
	return length >= MaxWaitingPerAddress || g.waiting >= MaxWaiting && len(g.longest().waiters)-1 <= length
}

func (g *gate) longest() *line {
	return slices.MaxFunc(g.lines, func(a, b *line) int { return len(a.waiters) - len(b.waiters) })
}

// sendAway makes room by sending away the last of the longest line.
func (g *gate) sendAway() {
	l := g.longest()
	last := len(l.waiters) - 1
	l.waiters[last] <- errBusy()
	l.waiters = l.waiters[:last]
	g.waiting--
}

// abandon leaves the line, or gives back the place that came meanwhile.
func (g *gate) abandon(from netip.Prefix, place chan error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.find(from)
	if i >= 0 {
		if at := slices.Index(g.lines[i].waiters, place); at >= 0 {
			g.lines[i].waiters = slices.Delete(g.lines[i].waiters, at, at+1)
			g.waiting--
			if len(g.lines[i].waiters) == 0 {
				g.lines = slices.Delete(g.lines, i, i+1)
			}
			return
		}
	}
	if err := <-place; err == nil {
		g.next()
	}
}

// leave gives back the place of one who came from the address.
func (g *gate) leave(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.find(origin(from)); i >= 0 {
		g.moveLast(i)
	}
	g.next()
}

// next gives a place to the first of the first line, which becomes the last.
func (g *gate) next() {
	if len(g.lines) == 0 {
		g.free++
		return
	}
	l := g.lines[0]
	l.waiters[0] <- nil
	l.waiters = slices.Delete(l.waiters, 0, 1)
	g.waiting--
	if len(l.waiters) > 0 {
		g.moveLast(0)
		return
	}
	g.lines = slices.Delete(g.lines, 0, 1)
}

func (g *gate) moveLast(i int) {
	l := g.lines[i]
	g.lines = append(slices.Delete(g.lines, i, i+1), l)
}

// find returns where the line of an origin is, -1 if nobody stands in it.
func (g *gate) find(from netip.Prefix) int {
	return slices.IndexFunc(g.lines, func(l *line) bool { return l.from == from })
}
