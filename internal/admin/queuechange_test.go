package admin

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/login"
	"postrider/internal/mail"
	"postrider/internal/outbound"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// change changes rows of the queue, and returns also what could not be done.
func change(t *testing.T, c *Client, do string, q QueueChange) (QueueChanged, []QueueProblem) {
	t.Helper()
	var problems []QueueProblem
	done, err := c.ChangeQueue(t.Context(), do, q, note(&problems))
	must(t, err)
	return done, problems
}

// states returns the states of a message's rows.
func states(t *testing.T, c *Client, id mail.ID) (all []string) {
	t.Helper()
	m, err := c.QueuedMessage(t.Context(), id.String())
	must(t, err)
	for _, r := range m.Rows {
		all = append(all, r.State)
	}
	return all
}

func TestRowsAreHeldReleasedRetriedAndDropped(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		id := enqueue(t, m, queueing{from: "alice@example.org", to: []string{"b@example.net", "c@example.com", "d@example.com"}})
		other := enqueue(t, m, queueing{from: "bob@example.org", to: []string{"e@example.net"}})

		done, _ := change(t, c, "hold", QueueChange{ID: id.String(), Rows: []int{1}})
		if want := []string{"waiting", "held", "waiting"}; done.Changed != 1 || !slices.Equal(states(t, c, id), want) {
			t.Errorf("hold of row 1: got %+v and %v, want %v", done, states(t, c, id), want)
		}
		done, _ = change(t, c, "hold", QueueChange{Filter: QueueFilter{Sender: "@example.org"}, DryRun: true})
		if want := (QueueChanged{Messages: 2, Rows: 4, Octets: done.Octets, DryRun: true}); done != want || done.Octets == 0 {
			t.Errorf("dry run: got %+v, want %+v", done, want)
		}
		done, _ = change(t, c, "hold", QueueChange{All: true})
		if done.Rows != 4 || done.Changed != 3 || done.NotDone != 0 {
			t.Errorf("hold of all: got %+v, want 3 of 4 changed", done)
		}
		done, _ = change(t, c, "release", QueueChange{Filter: QueueFilter{Domain: "example.net"}})
		if want := []string{"waiting", "held", "held"}; done.Changed != 2 || !slices.Equal(states(t, c, id), want) {
			t.Errorf("release by domain: got %+v and %v, want %v", done, states(t, c, id), want)
		}
		done, _ = change(t, c, "release", QueueChange{ID: id.String()})
		if done.Changed != 2 {
			t.Errorf("release of a message: got %+v, want 2 changed", done)
		}
		third := enqueue(t, m, queueing{from: "carol@example.org", to: []string{"f@example.net"}})
		done, _ = change(t, c, "retry", QueueChange{Filter: QueueFilter{Recipient: "f@example.net"}})
		if now, _ := c.QueuedMessage(t.Context(), third.String()); done.Changed != 1 || now.Rows[0].Next.After(time.Now()) {
			t.Errorf("retry: got %+v and %+v, want it due", done, now.Rows)
		}
		done, _ = change(t, c, "drop", QueueChange{Filter: QueueFilter{Sender: "alice@example.org", Domain: "example.com"}})
		if want := []string{"b@example.net", "e@example.net", "f@example.net"}; done.Changed != 2 || !slices.Equal(recipients(t, c, QueueFilter{}), want) {
			t.Errorf("drop: got %+v and %v, want %v left", done, recipients(t, c, QueueFilter{}), want)
		}
		done, _ = change(t, c, "drop", QueueChange{ID: other.String()})
		if done.Changed != 1 || len(recipients(t, c, QueueFilter{})) != 2 {
			t.Errorf("drop of a message: got %+v", done)
		}
	})
}

// RFC 4865: what a sender has set a time for goes then, unless somebody wants just that
// message to go sooner.
func TestNoChangeOfManySendsWhatASenderHoldsBack(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		until := time.Now().Add(24 * time.Hour).Truncate(time.Second)
		id := enqueue(t, m, queueing{from: "alice@example.org", to: []string{"b@example.net"}, hold: until})
		enqueue(t, m, queueing{from: "alice@example.org", to: []string{"c@example.net"}})
		due := func() time.Time {
			q, err := m.QueuedMessage(t.Context(), id)
			must(t, err)
			return q.Rows[0].Due
		}
		if done, _ := change(t, c, "retry", QueueChange{All: true}); done.Changed != 1 || !due().Equal(until) {
			t.Errorf("retry of all: got %+v, due %v", done, due())
		}
		change(t, c, "hold", QueueChange{All: true})
		if done, _ := change(t, c, "release", QueueChange{All: true}); done.Changed != 2 || !due().Equal(until) {
			t.Errorf("release of all: got %+v, due %v, want %v", done, due(), until)
		}
		if done, _ := change(t, c, "retry", QueueChange{ID: id.String()}); done.Changed != 1 || !due().Before(until) {
			t.Errorf("retry by name: got %+v, due %v", done, due())
		}
	})
}

func TestChangeNeedsToKnowWhichRows(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		id := enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
		for _, test := range []struct {
			name string
			q    QueueChange
			kind fault.Kind
		}{
			{"nothing", QueueChange{}, fault.Invalid},
			{"rows of no message", QueueChange{Rows: []int{0}, All: true}, fault.Invalid},
			{"bad filter", QueueChange{Filter: QueueFilter{State: "lost"}}, fault.Invalid},
			{"bad id", QueueChange{ID: "x"}, fault.Invalid},
			{"unknown id", QueueChange{ID: mail.NewID(time.Now()).String()}, fault.NotFound},
			{"unknown row", QueueChange{ID: id.String(), Rows: []int{0, 7}}, fault.NotFound},
		} {
			_, err := c.ChangeQueue(t.Context(), "drop", test.q, note(new([]QueueProblem)))
			if !fault.Is(err, test.kind) {
				t.Errorf("%s: got %v, want the kind %v", test.name, err, test.kind)
			}
		}
		if left := recipients(t, c, QueueFilter{}); len(left) != 1 {
			t.Errorf("left are %v, want the row", left)
		}
	})
}

func TestLeasedRowsAreLeftAndTheOthersChanged(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		first := enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net", "c@example.net", "d@example.net"}})
		second := enqueue(t, m, queueing{from: "a@example.org", to: []string{"e@example.net"}})
		lease(t, m, first, 1)
		done, problems := change(t, c, "hold", QueueChange{Filter: QueueFilter{Domain: "example.net"}})
		if done.Rows != 4 || done.Changed != 3 || done.NotDone != 1 {
			t.Errorf("got %+v, want 3 of 4 changed", done)
		}
		want := []QueueProblem{{ID: first.String(), Row: 1, To: "c@example.net", Problem: busy}}
		if !slices.Equal(problems, want) {
			t.Errorf("got problems %+v, want %+v", problems, want)
		}
		if got := append(states(t, c, first), states(t, c, second)...); !slices.Equal(got, []string{"held", "leased", "held", "held"}) {
			t.Errorf("got states %v", got)
		}
		done, problems = change(t, c, "drop", QueueChange{ID: first.String(), Rows: []int{1}})
		if done.Changed != 0 || done.NotDone != 1 || len(problems) != 1 {
			t.Errorf("drop of the leased row alone: got %+v and %+v", done, problems)
		}
	})
}

func TestFailureOfTheStoreEndsAChange(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		for range 100 {
			enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
		}
		m.FailNext(storetest.OpChangeRows, fault.New(fault.ReadOnly, "commit", nil))
		done, err := c.ChangeQueue(t.Context(), "hold", QueueChange{All: true}, note(new([]QueueProblem)))
		if !fault.Is(err, fault.ReadOnly) || done.Changed == 100 {
			t.Errorf("got %+v and %v, want that it ended read-only", done, err)
		}
	})
}

func TestManyMessagesAreChangedInOneWalk(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		const n = 2000
		for range n {
			enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net", "c@example.com"}})
		}
		done, problems := change(t, c, "drop", QueueChange{Filter: QueueFilter{Domain: "example.net"}})
		if done.Messages != n || done.Changed != n || len(problems) > 0 {
			t.Errorf("got %+v, want %d changed", done, n)
		}
		if got := len(recipients(t, c, QueueFilter{})); got != n {
			t.Errorf("left are %d rows, want %d", got, n)
		}
	})
}

// sender notes what a Deliverer is asked.
type sender struct {
	mu      sync.Mutex
	revived []string
	bounced map[mail.ID][]int
	why     string
	busy    bool // the first Bounce answers so
}

func (s *sender) Revive(destinations ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revived = append(s.revived, destinations...)
}

func (s *sender) Bounce(_ context.Context, id mail.ID, rows []int, why string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		s.busy = false
		return 0, fault.New(fault.Busy, "lease", nil)
	}
	s.bounced[id], s.why = rows, why
	return len(rows), nil
}

func (s *sender) Running() bool { return true }

func (s *sender) Hops() []outbound.HopStatus {
	return []outbound.HopStatus{{Hop: "example.com", Connections: 1, Limit: 3}, {Hop: "route relay", Failing: "no route to host"}}
}

func (s *sender) HopOf(destination string) string {
	if destination == "example.net" {
		return "route relay"
	}
	return ""
}

// withSender returns a client of a server that sends.
func withSender() (*storetest.Model, *sender, *Client) {
	m, s := storetest.NewModel(), &sender{bounced: map[mail.ID][]int{}}
	d := directory.New(m, directory.Options{})
	return m, s, InProcess(Handler(Options{Directory: d, Store: m, Deliverer: s}))
}

func TestChangesThatMakeRowsDueTellTheDeliverer(t *testing.T) {
	for _, test := range []struct {
		do   string
		want []string
	}{
		{"hold", nil},
		{"release", []string{"example.com", "example.net"}},
		{"retry", []string{"example.com", "example.net"}},
		{"drop", nil},
	} {
		m, s, c := withSender()
		enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net", "c@example.com", "d@example.net"}})
		change(t, c, test.do, QueueChange{All: true, DryRun: true})
		if len(s.revived) > 0 {
			t.Errorf("dry run of %s: revived %v", test.do, s.revived)
		}
		change(t, c, test.do, QueueChange{All: true})
		if !slices.Equal(s.revived, test.want) {
			t.Errorf("%s: revived %v, want %v", test.do, s.revived, test.want)
		}
	}
	_, s, c := withSender()
	_, err := c.Freeze(t.Context(), "example.net", "")
	must(t, err)
	_, err = c.Thaw(t.Context(), "example.net")
	must(t, err)
	if !slices.Equal(s.revived, []string{"example.net"}) {
		t.Errorf("thaw: revived %v, want example.net", s.revived)
	}
}

func TestBounceIsTheDeliverers(t *testing.T) {
	m, s, c := withSender()
	s.busy = true
	id := enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net", "c@example.com"}})
	done, problems := change(t, c, "bounce", QueueChange{Filter: QueueFilter{Domain: "example.com"}, Why: "no such domain"})
	if done.Changed != 1 || len(problems) > 0 || !slices.Equal(s.bounced[id], []int{1}) || s.why != "no such domain" {
		t.Errorf("got %+v, %+v, %v because %q, want row 1 alone", done, problems, s.bounced, s.why)
	}
	_, err := c.ChangeQueue(t.Context(), "bounce", QueueChange{All: true, Why: strings.Repeat("y", maxWhy+1)}, nil)
	if !fault.Is(err, fault.TooLarge) {
		t.Errorf("long reason: got %v", err)
	}
}

func TestBounceNeedsAServerThatSends(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
		_, err := c.ChangeQueue(t.Context(), "bounce", QueueChange{All: true}, nil)
		if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no server runs") {
			t.Errorf("got %v, want that no server runs", err)
		}
	})
	m := storetest.NewModel()
	d := directory.New(m, directory.Options{})
	c := InProcess(Handler(Options{Directory: d, Store: m, Logins: login.New(login.Options{Directory: d})}))
	_, err := c.ChangeQueue(t.Context(), "bounce", QueueChange{All: true}, nil)
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "sends no mail") {
		t.Errorf("got %v, want that the server sends no mail", err)
	}
}

func TestStatsSayWhatGoesOnWithAHop(t *testing.T) {
	m, _, c := withSender()
	enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net", "c@example.com"}})
	hops := map[string]*outbound.HopStatus{}
	_, err := c.QueueStats(t.Context(), QueueFilter{}, func(d QueueDestination) error {
		hops[d.Destination] = d.Hop
		return nil
	})
	must(t, err)
	if h := hops["example.net"]; h == nil || h.Failing != "no route to host" || hops["example.com"] != nil {
		t.Errorf("got %+v, want the route's for example.net alone", hops)
	}
}

// gone settles a row between the listing of it and its change.
type gone struct {
	store.Store
	once sync.Once
	do   func()
}

func (g *gone) ChangeRows(ctx context.Context, id mail.ID, rows []int, do store.RowChange, now time.Time) (int, error) {
	g.once.Do(g.do)
	return g.Store.ChangeRows(ctx, id, rows, do, now)
}

func TestWhatHasGoneMeanwhileIsNoProblem(t *testing.T) {
	m := storetest.NewModel()
	id := enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
	g := &gone{Store: m, do: func() {
		if _, err := m.ChangeRows(t.Context(), id, nil, store.DropRows, time.Now()); err != nil {
			t.Error(err)
		}
	}}
	c := InProcess(Handler(Options{Directory: directory.New(m, directory.Options{}), Store: g}))
	done, problems := change(t, c, "hold", QueueChange{All: true})
	if done.Rows != 1 || done.Changed != 0 || done.NotDone != 0 || len(problems) > 0 {
		t.Errorf("got %+v and %+v, want neither changes nor problems", done, problems)
	}
}
