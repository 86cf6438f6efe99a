package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// collect reads a list whole.
func collect[T any](t *testing.T, items iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for item, err := range items {
		must(t, err)
		all = append(all, item)
	}
	return all
}

func TestDomainsComeAndGo(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *storetest.Model, c *Client) {
		must(t, c.AddDomain(t.Context(), "Example.ORG"))
		must(t, c.AddDomain(t.Context(), "example.com"))
		var names []string
		for _, d := range collect(t, c.Domains(t.Context())) {
			names = append(names, d.Name)
		}
		if want := []string{"example.com", "example.org"}; !slices.Equal(names, want) {
			t.Errorf("got %v, want %v", names, want)
		}
		must(t, c.RemoveDomain(t.Context(), "example.com"))
		if n := len(collect(t, c.Domains(t.Context()))); n != 1 {
			t.Errorf("got %d domains after the removal, want 1", n)
		}
	})
}

func TestErrorsKeepTheirKindAndWords(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		must(t, c.AddDomain(t.Context(), "example.org"))
		must(t, c.AddAccount(t.Context(), NewAccount{Address: "a@example.org", Password: "pw"}))
		for _, test := range []struct {
			name  string
			err   error
			kind  fault.Kind
			words string
		}{
			{"domain twice", c.AddDomain(t.Context(), "example.org"), fault.Exists, "example.org"},
			{"account without a domain", c.AddAccount(t.Context(), NewAccount{Address: "a@example.net"}), fault.NotFound, "a@example.net"},
			{"account twice", c.AddAccount(t.Context(), NewAccount{Address: "a@example.org"}), fault.Exists, "already"},
			{"bad address", c.SetQuota(t.Context(), "nobody", 1), fault.Invalid, "nobody"},
			{"unknown account", c.SetDisabled(t.Context(), "b@example.org", true), fault.NotFound, "b@example.org"},
			{"domain in use", c.RemoveDomain(t.Context(), "example.org"), fault.Exists, "example.org"},
		} {
			if !fault.Is(test.err, test.kind) || !strings.Contains(test.err.Error(), test.words) {
				t.Errorf("%s: got %v (%v), want %v with %q", test.name, test.err, fault.KindOf(test.err), test.kind, test.words)
			}
		}
		m.FailNext(storetest.OpChange, fault.New(fault.ReadOnly, "commit", nil))
		if err := c.AddDomain(t.Context(), "example.com"); !fault.Is(err, fault.ReadOnly) {
			t.Errorf("got %v, want the kind read-only", err)
		}
	})
}

// hold has a message held for an account for an hour, and returns its id.
func hold(t *testing.T, m *storetest.Model, account mail.AccountID, onward ...store.Onward) mail.ID {
	t.Helper()
	var passages []store.Passage
	for _, o := range onward {
		o.Due = time.Now().Add(time.Hour)
		p, err := store.Pass(store.AccountWarrant(account, "alice@example.org"), o)
		must(t, err)
		passages = append(passages, p)
	}
	content, err := m.NewContent(t.Context(), 0)
	must(t, err)
	_, err = content.Write([]byte("Subject: later\r\n\r\n"))
	must(t, err)
	id := mail.NewID(time.Now())
	_, err = m.Accept(t.Context(), store.Accept{
		ID: id, Content: content, Received: time.Now(), Hold: time.Now().Add(time.Hour),
		Envelope:   mail.Envelope{ID: id, Recipients: []mail.Recipient{{Address: mail.Address{Local: "alice", Domain: "example.org"}}}},
		Deliveries: []store.Delivery{{Account: account, Mailbox: mail.Inbox}}, Onward: passages,
	})
	must(t, err)
	return id
}

func TestHeldMailIsListedReleasedAndDropped(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		ctx := t.Context()
		must(t, c.AddDomain(ctx, "example.org"))
		must(t, c.AddAccount(ctx, NewAccount{Address: "alice@example.org"}))
		a, err := c.Account(ctx, "alice@example.org")
		must(t, err)
		first, second := hold(t, m, a.ID), hold(t, m, a.ID)
		all := collect(t, c.Held(ctx))
		if len(all) != 2 || !slices.Equal(all[0].Recipients, []string{"alice@example.org"}) || all[0].Octets == 0 {
			t.Errorf("held are %+v, want two for alice", all)
		}
		n, err := c.ReleaseHeld(ctx, first.String())
		must(t, err)
		if a, _ := c.Account(ctx, "alice@example.org"); n != (HeldDone{Mailboxes: 1}) || a.Messages != 1 {
			t.Errorf("released into %+v, alice has %d messages, want one mailbox and 1", n, a.Messages)
		}
		_, err = c.DropHeld(ctx, second.String())
		must(t, err)
		if left := collect(t, c.Held(ctx)); len(left) > 0 {
			t.Errorf("still held: %+v", left)
		}
		_, err = c.ReleaseHeld(ctx, second.String())
		_, dropErr := c.DropHeld(ctx, first.String())
		for name, err := range map[string]error{"release": err, "drop": dropErr} {
			if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no message is held under that id") {
				t.Errorf("%s of what is not held: got %v", name, err)
			}
		}
	})
}

func TestAccountsChangeAsAsked(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		ctx := t.Context()
		must(t, c.AddDomain(ctx, "example.org"))
		must(t, c.AddAccount(ctx, NewAccount{Address: "Alice@example.org", Password: "secret-1", Quota: 1000}))
		must(t, c.AddAccount(ctx, NewAccount{Address: "bob@example.org"}))
		must(t, c.SetQuota(ctx, "alice@example.org", 2000))
		must(t, c.SetDisabled(ctx, "alice@example.org", true))
		a, err := c.Account(ctx, "alice@example.org")
		must(t, err)
		if a.Quota != 2000 || !a.Disabled || a.Password != "argon2id" || a.ID == 0 {
			t.Errorf("got %+v, want quota 2000, disabled, argon2id", a)
		}
		if b, _ := c.Account(ctx, "bob@example.org"); b.Password != "" {
			t.Errorf("bob's scheme: got %q, want none", b.Password)
		}
		hold(t, m, a.ID)
		held, err := c.RemoveAccount(ctx, "alice@example.org")
		must(t, err)
		if held != 1 {
			t.Errorf("%d held messages went with the account, want 1", held)
		}
		all := collect(t, c.Accounts(ctx, "example.org"))
		if len(all) != 1 || all[0].Address != "bob@example.org" {
			t.Errorf("got %+v, want bob alone", all)
		}
	})
}

func TestNoAnswerHoldsAPasswordOrItsVerifier(t *testing.T) {
	const password = "correct-horse\x00" // the NUL makes it refused
	m, h := newSite(t)
	c := InProcess(h)
	must(t, c.AddDomain(t.Context(), "example.org"))
	must(t, c.AddAccount(t.Context(), NewAccount{Address: "a@example.org", Password: "battery-staple"}))
	err := c.SetPassword(t.Context(), "a@example.org", password)
	if err == nil || strings.Contains(err.Error(), "correct-horse") {
		t.Errorf("got %v, want an error without the password", err)
	}
	account, err := c.Account(t.Context(), "a@example.org")
	must(t, err)
	kept, err := m.Account(t.Context(), account.ID)
	must(t, err)
	raw, err := json.Marshal(collect(t, c.Accounts(t.Context(), "")))
	must(t, err)
	if bytes.Contains(raw, []byte("battery-staple")) || bytes.Contains(raw, []byte(kept.Password)) {
		t.Errorf("the list shows a secret: %s", raw)
	}
}

func TestAliasesGrowAndShrink(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *storetest.Model, c *Client) {
		ctx := t.Context()
		must(t, c.AddDomain(ctx, "example.org"))
		must(t, c.AddAccount(ctx, NewAccount{Address: "a@example.org"}))
		must(t, c.AddAccount(ctx, NewAccount{Address: "b@example.org"}))
		now, err := c.AddAlias(ctx, "all@example.org", []string{"a@example.org"})
		must(t, err)
		if want := []string{"a@example.org"}; !slices.Equal(now, want) {
			t.Errorf("got %v, want %v", now, want)
		}
		now, err = c.AddAlias(ctx, "all@example.org", []string{"b@example.org"})
		must(t, err)
		if want := []string{"a@example.org", "b@example.org"}; !slices.Equal(now, want) {
			t.Errorf("got %v, want %v", now, want)
		}
		now, err = c.AddAlias(ctx, "@Example.org", []string{"a@example.org"})
		must(t, err)
		if len(now) != 1 {
			t.Errorf("catch-all: got %v, want one target", now)
		}
		if all := collect(t, c.Aliases(ctx, "")); len(all) != 2 {
			t.Errorf("got %+v, want two aliases", all)
		}
		left, err := c.RemoveAlias(ctx, "all@example.org", []string{"a@example.org"})
		must(t, err)
		if want := []string{"b@example.org"}; !slices.Equal(left, want) {
			t.Errorf("got %v, want %v", left, want)
		}
		left, err = c.RemoveAlias(ctx, "all@example.org", nil)
		must(t, err)
		if len(left) != 0 {
			t.Errorf("got %v, want none left", left)
		}
		if _, err := c.RemoveAlias(ctx, "all@example.org", nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want not found", err)
		}
	})
}

func TestMailboxesShowCountsAndHolders(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		ctx := t.Context()
		must(t, c.AddDomain(ctx, "example.org"))
		must(t, c.AddAccount(ctx, NewAccount{Address: "a@example.org"}))
		must(t, c.AddAccount(ctx, NewAccount{Address: "b@example.org"}))
		a, err := c.Account(ctx, "a@example.org")
		must(t, err)
		content, err := m.NewContent(ctx, 0)
		must(t, err)
		_, err = content.Write([]byte("Subject: x\r\n\r\n"))
		must(t, err)
		_, err = m.Accept(ctx, store.Accept{
			ID: mail.NewID(time.Now()), Content: content,
			Deliveries: []store.Delivery{{Account: a.ID, Mailbox: mail.Inbox}},
		})
		must(t, err)
		drop, err := m.OpenMaildrop(ctx, a.ID, store.Exclusive, "pop3 c1 192.0.2.1:7")
		must(t, err)
		defer drop.Close()

		all := collect(t, c.Mailboxes(ctx, Which{}))
		if len(all) != 2 || all[0].Account != "a@example.org" || all[0].Messages != 1 || all[0].Octets != 14 || all[1].Messages != 0 {
			t.Errorf("got %+v, want a's with one message of 14 octets, and b's", all)
		}
		state, err := c.ShowMailbox(ctx, "a@example.org")
		must(t, err)
		if len(state.Holders) != 1 || state.Holders[0].Who != "pop3 c1 192.0.2.1:7" || state.Holders[0].Mode != "exclusive" {
			t.Errorf("got holders %+v, want the one of pop3 c1", state.Holders)
		}
		n, err := c.Unlock(ctx, "a@example.org")
		must(t, err)
		if n != 1 {
			t.Errorf("got %d holds ended, want 1", n)
		}
		if err := drop.Remove(ctx, []mail.UID{1}); !fault.Is(err, fault.Denied) {
			t.Errorf("removal after the unlock: got %v, want denied", err)
		}
	})
}

func TestStoreIsCheckedAndMeasured(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		must(t, c.AddDomain(t.Context(), "example.org"))
		must(t, c.AddAccount(t.Context(), NewAccount{Address: "a@example.org"}))
		result, err := c.Check(t.Context(), false, func(f store.Finding) error {
			t.Errorf("got the finding %+v in a sound store", f)
			return nil
		})
		must(t, err)
		if result.Accounts != 1 || result.Mailboxes != 1 {
			t.Errorf("got %+v, want one account and one mailbox", result)
		}
		m.SetHealth(fault.New(fault.NoSpace, "take mail", nil))
		u, err := c.Usage(t.Context())
		must(t, err)
		if u.Engine == "" || u.Health != "take mail: no space" {
			t.Errorf("got %+v, want an engine and why it takes no mail", u)
		}
	})
}

func TestImportReadsTheFileAndCounts(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *storetest.Model, c *Client) {
		const hash = "$2b$10$abcdefghijklmnopqrstuuKxAxVxVlpZx6tKo1vhGzW0H3fAA6uRS"
		var file strings.Builder
		const n = 3000 // more than the pipes between both hold
		for i := range n {
			fmt.Fprintf(&file, "user%d@example.org:%s\n", i, hash)
		}
		file.WriteString("not an address at all\n")
		o := directory.ImportOptions{Format: directory.FormatPasswd, CreateDomains: true}
		got, err := c.Import(t.Context(), strings.NewReader(file.String()), o)
		must(t, err)
		if got.Added != n || got.Failed != 1 || len(got.Errors) != 1 || got.Errors[0].Line != n+1 {
			t.Errorf("got %+v, want %d added and line %d failed", got, n, n+1)
		}
		o.DefaultDomain = "not..a domain"
		if _, err := c.Import(t.Context(), strings.NewReader(file.String()), o); !fault.Is(err, fault.Invalid) {
			t.Errorf("got %v, want the kind invalid although the file was not read", err)
		}
	})
}

func TestAListMayBeLeftInTheMiddle(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		must(t, c.AddDomain(t.Context(), "example.org"))
		var changes []store.Change
		for i := range 20_000 {
			changes = append(changes, store.PutAccount{New: true, Account: store.Account{Address: fmt.Sprintf("u%05d@example.org", i)}})
		}
		_, err := m.Change(t.Context(), changes...)
		must(t, err)
		seen := 0
		for _, err := range c.Accounts(t.Context(), "") {
			must(t, err)
			if seen++; seen == 3 {
				break
			}
		}
		if seen != 3 {
			t.Errorf("got %d accounts, want to have stopped after 3", seen)
		}
		if n := len(collect(t, c.Accounts(t.Context(), ""))); n != 20_000 {
			t.Errorf("got %d accounts, want 20000", n)
		}
	})
}
