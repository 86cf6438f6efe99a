package directory

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"postrider/internal/store"
)

// successes remembers logins that were right, for a while, without keeping
// anything from which a password could be guessed outside of this process.
//
// A login's mark is made of account, verifiers and password: when the password
// is changed its old mark fits nothing any more.
type successes struct {
	secret [32]byte // of this process
	ttl    time.Duration
	half   int // marks in a generation
	now    func() time.Time

	mu sync.Mutex
	// Marks go into young; when it is full it becomes old, and what was old is
	// forgotten.
	young, old map[mark]time.Time // until when
}

type mark [sha256.Size]byte

// newSuccesses returns nil, which remembers nothing, for a negative ttl.
func newSuccesses(ttl time.Duration, size int, now func() time.Time) *successes {
	if ttl < 0 {
		return nil
	}
	s := &successes{ttl: ttl, half: max(size/2, 1), now: now, young: map[mark]time.Time{}}
	rand.Read(s.secret[:]) // never fails (crypto/rand)
	return s
}

func (s *successes) mark(a store.Account, password string) (m mark) {
	if s == nil {
		return m
	}
	h := hmac.New(sha256.New, s.secret[:])
	var head [24]byte
	binary.BigEndian.PutUint64(head[:8], uint64(a.ID))
	binary.BigEndian.PutUint64(head[8:16], uint64(len(a.Password)))
	binary.BigEndian.PutUint64(head[16:], uint64(len(a.SCRAM)))
	h.Write(head[:])
	h.Write([]byte(a.Password))
	h.Write([]byte(a.SCRAM))
	h.Write([]byte(password))
	h.Sum(m[:0])
	return m
}

func (s *successes) has(m mark) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.young[m]
	if !ok {
		until, ok = s.old[m]
	}
	return ok && s.now().Before(until)
}

func (s *successes) add(m mark) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= s.half {
		s.old, s.young = s.young, make(map[mark]time.Time, s.half)
	}
	s.young[m] = s.now().Add(s.ttl)
}
