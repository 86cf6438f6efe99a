package outbound

import (
	"sync"
	"time"

	"postrider/internal/mail"
)

const (
	// maxSignatures is how many messages' fields are kept; each has 2 KiB or so.
	maxSignatures = 256
	// signatureLife is how long they are used: a signature says when it was made, and
	// keys change.
	signatureLife = 5 * time.Minute
)

// signedForm is a message in the form in which it is sent. Conversions of a message to
// one form are the same, octet by octet.
type signedForm struct {
	message mail.ID
	body    mail.BodyType
}

// signatures keeps what was made lately to go on top of messages: one that goes to many
// destinations is signed once. The zero value is empty.
type signatures struct {
	mu    sync.Mutex
	known map[signedForm]*signature
	order []signedForm // those known, by age; a ring when it is full
	next  int          // the oldest in the ring
}

type signature struct {
	mu     sync.Mutex // held while it is made
	made   time.Time  // zero: it has yet to be
	fields []byte
}

// get returns the fields for a form of a message: those that there are, or what sign
// returns. Its error is the caller's alone.
func (s *signatures) get(form signedForm, now time.Time, sign func() ([]byte, error)) ([]byte, error) {
	known := s.of(form)
	known.mu.Lock()
	defer known.mu.Unlock()
	if !known.made.IsZero() && now.Sub(known.made) < signatureLife {
		return known.fields, nil
	}
	fields, err := sign()
	if err != nil {
		return nil, err
	}
	known.made, known.fields = now, fields
	return fields, nil
}

func (s *signatures) of(form signedForm) *signature {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.known[form]; known != nil {
		return known
	}
	if s.known == nil {
		s.known = map[signedForm]*signature{}
	}
	if len(s.order) < maxSignatures {
		s.order = append(s.order, form)
	} else {
		delete(s.known, s.order[s.next])
		s.order[s.next] = form
		s.next = (s.next + 1) % maxSignatures
	}
	made := new(signature)
	s.known[form] = made
	return made
}
