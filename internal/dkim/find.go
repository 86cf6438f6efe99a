package dkim

import (
	"context"
	"sync"
	"time"

	"github.com/emersion/go-msgauth/authres"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// maxLookups is how long the looking up of keys for one message may take in all. Who
// has written the message says how many they are, maxSignatures and one a set of the
// chain at most, and their hosts how slow: the next host's connection waits
// meanwhile, and other mail for it. What has not been found by then nobody knows.
const maxLookups = 20 * time.Second

// within returns find that has so much time for all that is looked up, and asks for
// each name once. It is for one goroutine.
func (find TXT) within(d time.Duration) TXT {
	type answer struct {
		records []string
		err     error
	}
	known := map[string]answer{}
	until := time.Now().Add(d)
	return func(ctx context.Context, name string) ([]string, error) {
		if a, ok := known[name]; ok {
			return a.records, a.err
		}
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records, err := find(ctx, name)
		known[name] = answer{records, err}
		return records, err
	}
}

// finding is what was found out about a message.
type finding struct {
	chain      Chain
	signatures []Verification
}

// results are those of the methods dkim and arc (RFC 8601 §2.7.1, RFC 8617 §10.2).
func (f *finding) results() []authres.Result {
	return append(Results(f.signatures), &authres.GenericResult{Method: "arc", Value: authres.ResultValue(f.chain.Status)})
}

// find finds out about a message as it came, unless that is known: below the fields
// of ours, and not in the form that the next host gets, of which no signature is.
func (s *Sealer) find(ctx context.Context, m *Forward, h *header, b *bodies) (finding, error) {
	return s.lately.get(ctx, m.ID, s.settings.now(), func() (f finding, err error) {
		v := Verifier{TXT: s.verifier.TXT.within(maxLookups), Now: s.verifier.Now}
		if !m.Came.IsZero() {
			v.Now = func() time.Time { return m.Came }
		}
		h := h.below(m.ID)
		if f.chain, err = v.chain(ctx, h, b); err != nil || !f.chain.open() {
			return f, err // nothing is told of it
		}
		f.signatures, err = v.verify(ctx, h, b)
		return f, err
	})
}

const (
	// maxFindings is how many are kept; each has 1 KiB or so.
	maxFindings = 256
	// findingLife is how long they are: what nobody knew may be known later. It is kept
	// as well, since asking anew for each host could hold up each for maxLookups.
	findingLife = 5 * time.Minute
)

// findings are what was found out lately: a message that goes to several hosts, in
// several forms or by several aliases, is verified once. The zero value is empty.
type findings struct {
	mu    sync.Mutex
	known map[mail.ID]*keptFinding
}

type keptFinding struct {
	busy chan struct{} // of one place, taken while it is found out or read
	made time.Time     // zero: it has yet to be
	finding
}

// get returns what is known of a message, or what find returns. Its error is the
// caller's alone, and so is what is found when ctx ends meanwhile: keys were not
// looked up to the end, and nobody else is told so. Nothing is known of the zero ID.
func (s *findings) get(ctx context.Context, id mail.ID, now time.Time, find func() (finding, error)) (finding, error) {
	if id.IsZero() {
		return find()
	}
	kept := s.of(id)
	select {
	case kept.busy <- struct{}{}:
		defer func() { <-kept.busy }()
	case <-ctx.Done():
		return finding{}, givenUp(ctx)
	}
	if !kept.made.IsZero() && now.Sub(kept.made) < findingLife {
		return kept.finding, nil
	}
	found, err := find()
	if err == nil && ctx.Err() != nil {
		err = givenUp(ctx)
	}
	if err == nil {
		kept.made, kept.finding = now, found
	}
	return found, err
}

func givenUp(ctx context.Context) error {
	return fault.New(fault.Transient, "verify what came", ctx.Err())
}

func (s *findings) of(id mail.ID) *keptFinding {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.known[id]; kept != nil {
		return kept
	}
	if s.known == nil || len(s.known) >= maxFindings {
		s.known = map[mail.ID]*keptFinding{}
	}
	kept := &keptFinding{busy: make(chan struct{}, 1)}
	s.known[id] = kept
	return kept
}
