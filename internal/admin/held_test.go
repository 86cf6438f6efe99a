package admin

import (
	"context"
	"slices"
	"testing"
	"time"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// onward is a message to a recipient at another host.
func onward(t *testing.T, to string) store.Onward {
	t.Helper()
	return store.Onward{ID: mail.NewID(time.Now()), Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: address(t, to)}}}}
}

// heldWithOnward is a site where a message is held for alice and for two others
// elsewhere, and another waits in the queue.
func heldWithOnward(t *testing.T) (m *storetest.Model, s *sender, c *Client, id mail.ID, parts []mail.ID, other mail.ID) {
	t.Helper()
	m, s, c = withSender()
	must(t, c.AddDomain(t.Context(), "example.org"))
	must(t, c.AddAccount(t.Context(), NewAccount{Address: "alice@example.org"}))
	a, err := c.Account(t.Context(), "alice@example.org")
	must(t, err)
	other = enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
	one, two := onward(t, "b@example.net"), onward(t, "c@example.com")
	return m, s, c, hold(t, m, a.ID, one, two), []mail.ID{one.ID, two.ID}, other
}

func due(t *testing.T, m *storetest.Model, id mail.ID) bool {
	t.Helper()
	q, err := m.QueuedMessage(t.Context(), id)
	must(t, err)
	return !q.Rows[0].Due.After(time.Now())
}

func TestWhatIsReleasedGoesToOtherHostsToo(t *testing.T) {
	m, s, c, id, parts, other := heldWithOnward(t)
	done, err := c.ReleaseHeld(t.Context(), id.String())
	if err != nil || done != (HeldDone{Mailboxes: 1, Rows: 2}) {
		t.Errorf("got %+v %v, want a mailbox and two rows", done, err)
	}
	if !due(t, m, parts[0]) || !due(t, m, parts[1]) || due(t, m, other) {
		t.Error("what is due is not just what was released")
	}
	slices.Sort(s.revived)
	if want := []string{"example.com", "example.net"}; !slices.Equal(s.revived, want) {
		t.Errorf("revived %v, want %v", s.revived, want)
	}
}

// The server tells who wanted to know of it.
func TestARunningServerReleasesItself(t *testing.T) {
	m, _, _, id, _, _ := heldWithOnward(t)
	var released []store.Held
	c := InProcess(Handler(Options{Directory: directory.New(m, directory.Options{}), Store: m, Release: func(_ context.Context, h store.Held) (store.Accepted, error) {
		released = append(released, h)
		return store.Accepted{Placed: make([]store.Placed, 3)}, nil
	}}))
	done, err := c.ReleaseHeld(t.Context(), id.String())
	if err != nil || done.Mailboxes != 3 || len(released) != 1 || released[0].ID != id || released[0].Size == 0 {
		t.Errorf("got %+v %v, released %+v", done, err, released)
	}
}

func TestWhatIsRemovedGoesToNoOtherHost(t *testing.T) {
	m, _, c, id, parts, other := heldWithOnward(t)
	l := lease(t, m, parts[1], 0)
	if _, err := c.DropHeld(t.Context(), id.String()); !fault.Is(err, fault.Busy) {
		t.Errorf("got %v while a row is being sent, want busy", err)
	}
	if held := collect(t, c.Held(t.Context())); len(held) != 1 {
		t.Fatalf("held are %v, want it still", held)
	}
	m.Unlease(t.Context(), []store.RowLease{{Row: store.RowID{Message: parts[1]}, Fence: l.Fences[0]}})
	if done, err := c.DropHeld(t.Context(), id.String()); err != nil || done.Mailboxes != 0 {
		t.Errorf("got %+v %v", done, err)
	}
	for _, part := range parts {
		if _, err := m.QueuedMessage(t.Context(), part); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want it gone from the queue", err)
		}
	}
	if _, err := m.QueuedMessage(t.Context(), other); err != nil {
		t.Errorf("another message: %v", err)
	}
}

func TestWhatIsOnlyQueuedIsNotHeld(t *testing.T) {
	m, _, c, _, _, other := heldWithOnward(t)
	q, err := m.QueuedMessage(t.Context(), other)
	must(t, err)
	for _, id := range []mail.ID{q.ID, q.AcceptID} {
		if _, err := c.DropHeld(t.Context(), id.String()); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want that it is not held", err)
		}
	}
	if _, err := m.QueuedMessage(t.Context(), other); err != nil {
		t.Error(err)
	}
}
