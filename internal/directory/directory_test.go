package directory

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// cheap is argon2id that costs nearly nothing.
var cheap = Argon2Params{Memory: 64, Time: 1, Threads: 1}

// house is a directory over a model, with its log.
type house struct {
	*Directory
	t   testing.TB
	ctx context.Context
	st  *storetest.Model
	log *bytes.Buffer
	now time.Time
}

func newHouse(t testing.TB, o Options) *house {
	t.Helper()
	h := &house{t: t, ctx: t.Context(), st: storetest.NewModel(), log: &bytes.Buffer{}, now: time.Unix(1_770_000_000, 0)}
	o.Argon2, o.Records = cheap, h.st
	if o.SCRAMIterations == 0 {
		o.SCRAMIterations = MinSCRAMIterations
	}
	o.Logger = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Now = func() time.Time { return h.now }
	h.Directory = New(h.st, o)
	for _, domain := range []string{"a.test", "b.test"} {
		h.ok(h.AddDomain(h.ctx, domain))
	}
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("unexpected error of kind %q: %v", fault.KindOf(err), err)
	}
}

func (h *house) fails(what string, err error, kind fault.Kind) {
	h.t.Helper()
	if !fault.Is(err, kind) {
		h.t.Errorf("%s: got error %v of kind %q, want kind %q", what, err, fault.KindOf(err), kind)
	}
}

// accounts makes accounts with the password "secret".
func (h *house) accounts(addresses ...string) {
	h.t.Helper()
	for _, a := range addresses {
		_, err := h.AddAccount(h.ctx, NewAccount{Address: a, Password: "secret"})
		h.ok(err)
	}
}

// put writes a verifier past the directory, as an older program may have.
func (h *house) put(address, verifier string) {
	h.t.Helper()
	account, err := h.account(h.ctx, address)
	h.ok(err)
	account.Password = verifier
	_, err = h.st.Change(h.ctx, store.PutAccount{Account: account})
	h.ok(err)
}

func (h *house) verifier(address string) string {
	h.t.Helper()
	account, err := h.account(h.ctx, address)
	h.ok(err)
	return account.Password
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	if s == "postmaster" {
		return mail.Address{Local: "Postmaster"}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

// lead asks where an address leads, as "address" or "address detail", and for an
// address elsewhere "alias → address".
func (h *house) lead(to string, want ...string) {
	h.t.Helper()
	route, err := h.Resolve(h.ctx, address(h.t, to))
	h.ok(err)
	var got []string
	for _, target := range route.Targets {
		s := target.Address.String()
		if target.Detail != "" {
			s += " " + target.Detail
		}
		got = append(got, s)
	}
	for _, r := range route.Remote {
		got = append(got, r.Via.String()+" → "+r.Address.String())
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("%s leads to %q, want %q", to, got, want)
	}
}

func (h *house) leadFails(to string, kind fault.Kind) {
	h.t.Helper()
	route, err := h.Resolve(h.ctx, address(h.t, to))
	if route.Targets != nil || route.Remote != nil {
		h.t.Errorf("%s leads to %+v", to, route)
	}
	h.fails("resolve "+to, err, kind)
}

// refusing is a store in which one address can't be made.
type refusing struct{ store.Directory }

func (r refusing) Change(ctx context.Context, changes ...store.Change) ([]mail.AccountID, error) {
	for i, c := range changes {
		if p, ok := c.(store.PutAccount); ok && p.Account.Address == "refused@a.test" {
			return nil, &store.ChangeError{Index: i, Err: fault.New(fault.Exists, "test", nil)}
		}
	}
	return r.Directory.Change(ctx, changes...)
}
