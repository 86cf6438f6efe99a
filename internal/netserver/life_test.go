package netserver

import (
	"testing"

	"postrider/internal/session"
)

// life is what one session has heard, of what comes once.
type life struct {
	heir           bool // another has become it
	starts, closes int
	late           string // what it heard after the end
}

// hear writes down what a session hears.
func (r *record) hear(s session.Session, e string) {
	name := e
	if _, ok := s.(*other); ok {
		name = "other " + e
	}
	r.add(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.life(s)
	if l.closes > 0 {
		l.late = e
	}
	switch e {
	case "start":
		l.starts++
	case "closed":
		l.closes++
	}
}

// inherits writes down that a session is to go on with another's connection.
func (r *record) inherits(s session.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.life(s).heir = true
}

// life returns a session's. The caller holds mu.
func (r *record) life(s session.Session) *life {
	if r.lives == nil {
		r.lives = map[session.Session]*life{}
	}
	if r.lives[s] == nil {
		r.lives[s] = new(life)
	}
	return r.lives[s]
}

// checkLives checks, when all connections have ended, that each session was started
// once and then heard Closed once and nothing more. Only one that goes on with
// another's connection may not have been started. It returns how many were, and were
// not.
func (r *record) checkLives(t testing.TB) (started, unstarted int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, l := range r.lives {
		if l.starts > 1 || l.starts == 0 && !l.heir || l.closes != 1 || l.late != "" {
			t.Errorf("a session (%T): %+v, want it started and closed once", s, *l)
		}
		if l.starts > 0 {
			started++
		} else {
			unstarted++
		}
	}
	return started, unstarted
}
