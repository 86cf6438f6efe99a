package storetest

import (
	"context"
	"fmt"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// Health implements store.Keeper.
func (m *Model) Health() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed("health")
	}
	return m.health
}

// Check implements store.Keeper: what is kept is compared with what is summed.
func (m *Model) Check(ctx context.Context, _ bool, report func(store.Finding)) (store.CheckResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, "check"); err != nil {
		return store.CheckResult{}, err
	}
	r := store.CheckResult{Held: int64(len(m.held)), Queued: int64(len(m.queue))}
	held := make(map[mail.AccountID]int64)
	for _, h := range m.held {
		for _, d := range h.deliveries {
			held[d.Account] += h.octets(d)
		}
	}
	for _, a := range m.accounts {
		r.Accounts++
		var messages, octets int64
		for _, b := range a.boxes {
			r.Mailboxes++
			n, o := b.sum()
			messages, octets = messages+n, octets+o
			if n != b.Messages || o != b.Octets {
				r.Findings++
				report(store.Finding{
					Where:   fmt.Sprintf("account %d, mailbox %d", a.ID, b.ID),
					Problem: fmt.Sprintf("kept %d messages of %d octets, there are %d of %d", b.Messages, b.Octets, n, o),
				})
			}
		}
		if messages != a.Messages || octets != a.Octets {
			r.Findings++
			report(store.Finding{
				Where:   fmt.Sprintf("account %d", a.ID),
				Problem: fmt.Sprintf("kept %d messages of %d octets, there are %d of %d", a.Messages, a.Octets, messages, octets),
			})
		}
		if held[a.ID] != a.HeldOctets {
			r.Findings++
			report(store.Finding{
				Where:   fmt.Sprintf("account %d", a.ID),
				Problem: fmt.Sprintf("kept %d octets held for it, there are %d", a.HeldOctets, held[a.ID]),
			})
		}
		r.Messages += messages
		r.Octets += octets
	}
	return r, nil
}

// sum counts a mailbox's messages and their octets.
func (b *mailbox) sum() (messages, octets int64) {
	for _, msg := range b.messages {
		octets += msg.Size
	}
	return int64(len(b.messages)), octets
}

// Usage implements store.Keeper.
func (m *Model) Usage(ctx context.Context) (store.Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, "usage"); err != nil {
		return store.Usage{}, err
	}
	contents := map[*content]bool{}
	for _, a := range m.accounts {
		for _, b := range a.boxes {
			for _, msg := range b.messages {
				contents[msg.content] = true
			}
		}
	}
	for _, h := range m.held {
		contents[h.content] = true
	}
	for _, q := range m.queue {
		contents[q.content] = true
	}
	u := store.Usage{Engine: "model", Format: 1}
	for c := range contents {
		u.Messages++
		u.Octets += int64(len(c.octets))
	}
	u.OnDisk = u.Octets
	return u, nil
}

// Close implements store.Keeper. Those who have a maildrop open lose it.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, a := range m.accounts {
		a.endLeases()
	}
	return nil
}

// Reopen makes a closed Model usable again, as opening an engine's folder again
// would: leases have ended.
func (m *Model) Reopen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = false
	clear(m.leases)
}
