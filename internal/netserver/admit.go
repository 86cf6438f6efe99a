package netserver

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// gate counts the connections that a limit is about and knows which of them
// may be shed. Server.mu guards it.
type gate struct {
	max    int // zero or less: no limit
	active int // connections that count
	// victims are those of the last scan, the one that has waited longest last.
	victims []victim
	// noneBefore is the time until which another scan would find nobody.
	noneBefore int64
}

// victim is a connection that waited for its peer since a time.
type victim struct {
	c     *conn
	since int64
}

// maxVictims is how many victims one scan looks for, so that a wave of
// newcomers does not cost a scan each.
const maxVictims = 32

// addrKey is what the limit of connections of one address is about.
type addrKey struct {
	l    *listener
	addr netip.Addr
}

// site masks an IPv6 address to its /64, which is what one customer commonly
// has.
func site(addr netip.Addr) netip.Addr {
	if p, err := addr.WithZone("").Prefix(64); addr.Is6() && err == nil {
		return p.Addr()
	}
	return addr
}

// receive takes a new connection in, or refuses it.
func (s *Server) receive(nc net.Conn, l *listener) {
	c := newConn(s, l, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		nc.Close()
		return
	}
	if !s.makeRoom(l) {
		l.metrics.refused[tooMany].Inc()
		if s.leaving >= maxLeaving {
			nc.Close()
			return
		}
		c.refused = tooMany
		s.leave(c)
	} else {
		s.count(c, 1)
	}
	s.conns[c] = struct{}{}
	l.metrics.total.Inc()
	l.metrics.open.Inc()
	go c.serve()
}

// makeRoom reports whether there is room for one more, perhaps because another
// was told to leave.
func (s *Server) makeRoom(l *listener) bool {
	return s.makeRoomAt(&s.gate, nil) && s.makeRoomAt(&l.gate, l)
}

func (s *Server) makeRoomAt(g *gate, l *listener) bool {
	if g.max <= 0 || g.active < g.max {
		return true
	}
	if s.leaving >= maxLeaving {
		return false
	}
	c := g.shed(s.conns, l, s.stamp(time.Now()))
	if c == nil {
		return false
	}
	s.leave(c)
	c.l.metrics.shed.Inc()
	return true
}

// leave lets a connection that was told to go count no longer.
func (s *Server) leave(c *conn) {
	s.count(c, -1)
	c.leaving = true
	s.leaving++
}

// count makes a connection count against the limits of its listener and the
// server (1), or no longer (-1).
func (s *Server) count(c *conn, by int) {
	if c.counted == (by > 0) {
		return
	}
	c.counted = by > 0
	s.gate.active += by
	c.l.gate.active += by
}

// shed tells the connection to leave that has waited longest for its peer, of
// one listener or (nil) of all, and returns it; nil if none has waited for long.
func (g *gate) shed(conns map[*conn]struct{}, l *listener, now int64) *conn {
	for range 2 {
		for len(g.victims) > 0 {
			last := len(g.victims) - 1
			v := g.victims[last]
			g.victims[last] = victim{}
			g.victims = g.victims[:last]
			if v.c.counted && v.c.shed(v.since) {
				return v.c
			}
		}
		if now < g.noneBefore {
			return nil
		}
		g.scan(conns, l, now)
	}
	return nil
}

// scan looks for victims.
func (g *gate) scan(conns map[*conn]struct{}, l *listener, now int64) {
	oldest := now
	for c := range conns {
		since := c.since.Load()
		if since == 0 || !c.counted || l != nil && c.l != l {
			continue
		}
		oldest = min(oldest, since)
		if now-since >= int64(shedAge) {
			g.propose(victim{c, since})
		}
	}
	g.noneBefore = 0
	if len(g.victims) == 0 {
		g.noneBefore = oldest + int64(shedAge)
	}
}

// propose puts v among the victims if it has waited longer than they have.
func (g *gate) propose(v victim) {
	at, _ := slices.BinarySearchFunc(g.victims, v, func(a, b victim) int {
		return int(min(max(b.since-a.since, -1), 1))
	})
	if len(g.victims) == maxVictims {
		if at == 0 {
			return
		}
		copy(g.victims, g.victims[1:at])
		g.victims[at-1] = v
		return
	}
	g.victims = slices.Insert(g.victims, at, v)
}

// admitAddr counts a connection against the limit of its address, or has it
// refused. It fails if too many are being refused already.
func (s *Server) admitAddr(c *conn) error {
	addr := c.info.Remote.Addr()
	if c.l.perAddr < 0 || !addr.IsValid() {
		return nil
	}
	key := addrKey{c.l, site(addr)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAddr[key] < c.l.perAddr {
		s.perAddr[key]++
		c.addr = key.addr
		return nil
	}
	c.l.metrics.refused[tooManyOfAddr].Inc()
	if s.leaving >= maxLeaving {
		return errCrowded
	}
	if !c.leaving {
		s.leave(c)
	}
	c.refused = tooManyOfAddr
	return nil
}

// uncount lets a connection that only waits for its peer to close make room.
func (s *Server) uncount(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(c, -1)
}

// remove forgets a connection that is closed.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(c, -1)
	delete(s.conns, c)
	if c.leaving {
		s.leaving--
	}
	c.l.metrics.open.Dec()
	if c.addr.IsValid() {
		key := addrKey{c.l, c.addr}
		if s.perAddr[key]--; s.perAddr[key] == 0 {
			delete(s.perAddr, key)
		}
	}
	s.checkEmpty()
}
