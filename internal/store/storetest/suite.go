package storetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Place is where an engine keeps the mail of one store, a folder for example.
// Each call opens it: the first finds it empty, and one after Close what was
// left in it. It fails the test if it can't.
type Place func() store.Store

// rule is one rule of the contract and its test.
type rule struct {
	name string
	test func(*env)
}

// Run holds an engine to package store's contract. Open makes a new, empty
// store; Run closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, rules := range [][]rule{
		messageRules, contentRules, mailboxRules, flagRules, maildropRules, watchRules, holdRules, releaseRules, recordRules,
		queueRules, leaseRules, settleRules, queueCareRules,
		directoryRules, accountRules, listingRules, keeperRules, concurrencyRules,
	} {
		for _, r := range rules {
			t.Run(r.name, func(t *testing.T) {
				st := open(t)
				e := &env{T: t, st: st, ctx: t.Context()}
				t.Cleanup(func() { st.Close() }) // a rule may have closed it
				r.test(e)
			})
		}
	}
}

// RunPersistent holds an engine to keeping what it has said is durable. Place
// returns a new, empty place at each call.
func RunPersistent(t *testing.T, place func(t testing.TB) Place) {
	for _, r := range persistenceRules {
		t.Run(r.name, func(t *testing.T) {
			open := place(t)
			e := &env{T: t, st: open(), ctx: t.Context(), open: open}
			t.Cleanup(func() { e.st.Close() })
			r.test(e)
		})
	}
}

// env is a rule's test with its store.
type env struct {
	*testing.T
	st   store.Store
	ctx  context.Context
	open Place // of RunPersistent
}

// reopen closes the store and opens it again.
func (e *env) reopen() {
	e.Helper()
	e.ok(e.st.Close())
	e.st = e.open()
}

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error of kind %q: %v", fault.KindOf(err), err)
	}
}

// fails asks for an error of one of the kinds.
func (e *env) fails(what string, err error, kinds ...fault.Kind) {
	e.Helper()
	if err == nil || !slices.Contains(kinds, fault.KindOf(err)) {
		e.Fatalf("%s: got error %v of kind %q, want kind %q", what, err, fault.KindOf(err), kinds)
	}
}

// domain makes a domain that may be there.
func (e *env) domain(name string) {
	e.Helper()
	_, err := e.st.Change(e.ctx, store.PutDomain{Domain: store.Domain{Name: name, Created: day}})
	if err != nil && !fault.Is(err, fault.Exists) {
		e.ok(err)
	}
}

// account makes an account, and its domain if it has to.
func (e *env) account(address string) mail.AccountID {
	e.Helper()
	e.domain(domainOf(address))
	ids, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: store.Account{Address: address, Created: day}})
	e.ok(err)
	if len(ids) != 1 || ids[0] == 0 {
		e.Fatalf("making one account gave the ids %v", ids)
	}
	return ids[0]
}

// day is a time without parts of a second.
var day = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func inbox(id mail.AccountID) store.Delivery {
	return store.Delivery{Account: id, Mailbox: mail.Inbox}
}

// content writes octets in pieces of different lengths.
func (e *env) content(octets []byte) store.Content {
	e.Helper()
	c, err := e.st.NewContent(e.ctx, 0)
	e.ok(err)
	for piece := 1; len(octets) > 0; piece = piece*3 + 1 {
		n := min(piece, len(octets))
		written, err := c.Write(octets[:n])
		e.ok(err)
		if written != n {
			e.Fatalf("Write took %d of %d octets without an error", written, n)
		}
		octets = octets[n:]
	}
	return c
}

// accept builds an Accept of the octets.
func (e *env) accept(octets string, to ...store.Delivery) store.Accept {
	e.Helper()
	id := mail.NewID(time.Now())
	return store.Accept{ID: id, Content: e.content([]byte(octets)), Received: day, Envelope: envelope(id), Deliveries: to}
}

func envelope(id mail.ID) mail.Envelope {
	return mail.Envelope{
		ID:   id,
		From: mail.Address{Local: "Sender", Domain: "far.example"},
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "quoted local", Domain: "near.example"}, Notify: mail.NotifyFailure, ORcpt: "rfc822;x@y.example"},
			{Address: mail.Address{Local: "jürgen", Domain: "near.example"}},
		},
		Body: mail.Body8BitMIME, SMTPUTF8: true, Size: 1234, Ret: mail.RetHeaders, EnvID: "QQ314159",
		RequireTLS: true, TLSOptional: true, Priority: -3,
		DeliverBy: mail.DeliverBy{Deadline: day.Add(time.Hour + 5*time.Nanosecond), Mode: mail.ByNotify, Trace: true},
	}
}

// deliver puts octets into mailboxes.
func (e *env) deliver(octets string, to ...store.Delivery) []store.Placed {
	e.Helper()
	done, err := e.st.Accept(e.ctx, e.accept(octets, to...))
	e.ok(err)
	if done.Repeated {
		e.Fatal("the first Accept says that it is repeated")
	}
	return done.Placed
}

// fill delivers bodies to an account's Inbox and returns their UIDs.
func (e *env) fill(id mail.AccountID, bodies ...string) []mail.UID {
	e.Helper()
	var uids []mail.UID
	for _, b := range bodies {
		uids = append(uids, e.deliver(b, inbox(id))[0].UID)
	}
	return uids
}

func (e *env) list(id mail.AccountID, box mail.MailboxID) []store.Message {
	e.Helper()
	return collect(e, e.st.List(e.ctx, id, box, 0))
}

func (e *env) box(id mail.AccountID, box mail.MailboxID) store.Mailbox {
	e.Helper()
	b, err := e.st.Mailbox(e.ctx, id, box)
	e.ok(err)
	return b
}

// collect returns all of a list, which must have no error.
func collect[T any](e *env, list func(func(T, error) bool)) []T {
	e.Helper()
	var all []T
	for v, err := range list {
		e.ok(err)
		all = append(all, v)
	}
	return all
}

// listError returns the error that a list ends with.
func listError[T any](list func(func(T, error) bool)) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// octets returns what a message's reader gives, and holds the reader to its
// contract.
func (e *env) octets(r store.Reader, err error) string {
	e.Helper()
	e.ok(err)
	defer func() { e.ok(r.Close()) }()
	b, err := io.ReadAll(r)
	e.ok(err)
	if int64(len(b)) != r.Size() {
		e.Fatalf("the reader gave %d octets, Size says %d", len(b), r.Size())
	}
	return string(b)
}

func (e *env) read(id mail.AccountID, box mail.MailboxID, uid mail.UID) string {
	e.Helper()
	return e.octets(e.st.Open(e.ctx, id, box, uid))
}

func (e *env) same(what string, got, want string) {
	e.Helper()
	if got == want {
		return
	}
	e.Fatalf("%s: got %d octets %s, want %d octets %s", what, len(got), brief(got), len(want), brief(want))
}

// brief quotes the beginning of a text.
func brief(s string) string {
	const most = 60
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:most]) + "…"
}

// counts asks for what is kept about an Inbox and its account.
func (e *env) counts(id mail.AccountID, messages, octets int64) {
	e.Helper()
	b := e.box(id, mail.Inbox)
	if b.Messages != messages || b.Octets != octets {
		e.Fatalf("the Inbox has %d messages of %d octets, want %d of %d", b.Messages, b.Octets, messages, octets)
	}
	a, err := e.st.Account(e.ctx, id)
	e.ok(err)
	if a.Messages != messages || a.Octets != octets {
		e.Fatalf("the account has %d messages of %d octets, want %d of %d", a.Messages, a.Octets, messages, octets)
	}
}

func uidsOf(all []store.Message) []mail.UID {
	var uids []mail.UID
	for _, m := range all {
		uids = append(uids, m.UID)
	}
	return uids
}

// pattern is n octets that differ from place to place, NULs and bare line ends
// among them.
func pattern(n int) string {
	var b strings.Builder
	b.Grow(n)
	for i := range n {
		b.WriteByte(byte(i ^ i>>8 ^ i>>16))
	}
	return b.String()
}

// changeIndex asks for a ChangeError of a kind, about the change at index.
func (e *env) changeIndex(err error, index int, kind fault.Kind) {
	e.Helper()
	e.fails("Change", err, kind)
	var refused *store.ChangeError
	if !errors.As(err, &refused) {
		e.Fatalf("got %T %v, want a *store.ChangeError in it", err, err)
	}
	if refused.Index != index {
		e.Fatalf("the change refused is %d (%v), want %d", refused.Index, err, index)
	}
}
