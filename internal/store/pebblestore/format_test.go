package pebblestore

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// formatOneAccount is an account's row as format 1 wrote it.
func formatOneAccount(a *store.Account) []byte {
	b := appendText(appendText(nil, a.Address), a.Password)
	b = append(b, boolOctet(a.Disabled))
	b = binary.AppendVarint(b, a.Quota)
	return binary.AppendVarint(b, a.Created.Unix())
}

// formatOne makes a store as format 1 left it: its accounts' rows, and its format
// in VERSION and in the index.
func formatOne(t *testing.T, mem vfs.FS) store.Account {
	t.Helper()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 1)
	fill(t, s, accounts, 3, 1000)
	a := store.Account{
		ID: accounts[0], Address: "u0@example.test", Password: "$argon2id$x", Disabled: true, Quota: 5 << 30,
		Created: time.Unix(1_700_000_000, 0).UTC(), Version: firstVersion,
	}
	var k keyBuf
	set(t, s, k.account(a.ID), formatOneAccount(&a), false)
	old := identity{1, s.id}
	set(t, s, keyStore, old.append(nil), false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replace(t, mem, "store/VERSION", []byte(old.text()))
	a.Messages, a.Octets = 3, 3*int64(1000+len(prefixFor(a.ID)))
	return a
}

// TestFormatOneIsReadAndRaised: what an older program wrote is as it was, and that
// program refuses the store from then on.
func TestFormatOneIsReadAndRaised(t *testing.T) {
	mem := vfs.NewMem()
	want := formatOne(t, mem)
	for range 2 {
		s := mustOpen(t, smallOptions(mem))
		got, err := s.Account(t.Context(), want.ID)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("account %+v, %v, want %+v", got, err, want)
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if now := string(readAll(t, mem, "store/VERSION")); now != (identity{Format, s.id}).text() {
			t.Errorf("VERSION is %q", now)
		}
		v, err := s.get(keyStore)
		if err != nil {
			t.Fatal(err)
		}
		if i, err := decodeIdentity(v.b); err != nil || i != (identity{Format, s.id}) {
			t.Errorf("the index says %+v, %v", i, err)
		}
		v.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, smallOptions(mem))
	defer s.Close()
	_, err := s.Change(t.Context(), store.PutAccount{Account: store.Account{ID: want.ID, SCRAM: "keys"}, IfVersion: want.Version})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Account(t.Context(), want.ID)
	if err != nil || got.Version != want.Version+1 || got.SCRAM != "keys" || got.Address != want.Address {
		t.Errorf("after a change: %+v, %v", got, err)
	}
}

// TestRaisingTheFormatMayBeCutOff between VERSION and the index.
func TestRaisingTheFormatMayBeCutOff(t *testing.T) {
	for _, half := range []string{"VERSION only", "index only", "VERSION is lost"} {
		t.Run(half, func(t *testing.T) {
			mem := vfs.NewMem()
			want := formatOne(t, mem)
			id, _, err := readIdentity(mem, "store")
			if err != nil {
				t.Fatal(err)
			}
			switch half {
			case "VERSION only":
				replace(t, mem, "store/VERSION", []byte(identity{Format, id.id}.text()))
			case "index only":
				s := mustOpen(t, smallOptions(mem))
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				replace(t, mem, "store/VERSION", []byte(id.text()))
			default:
				if err := mem.Remove("store/VERSION"); err != nil {
					t.Fatal(err)
				}
			}
			s := mustOpen(t, smallOptions(mem))
			defer s.Close()
			if a, err := s.Account(t.Context(), want.ID); err != nil || a.Messages != 3 {
				t.Errorf("account %+v, %v", a, err)
			}
			if now, _, err := readIdentity(mem, "store"); err != nil || now.format != Format {
				t.Errorf("VERSION says %+v, %v", now, err)
			}
		})
	}
}

// formatTwoUsage is the row of an account's counters as formats 1 and 2 wrote it.
func formatTwoUsage(u *usage) []byte {
	b := u.append(nil)
	return b[:len(b)-len(binary.AppendVarint(nil, u.held))]
}

// oldUsages is a commit that puts the accounts' counters as format 2 wrote them.
type oldUsages struct{ accounts []mail.AccountID }

func (oldUsages) alone() bool { return true }

func (o oldUsages) prepare(t *tx) error {
	for _, id := range o.accounts {
		u, err := findUsage(t.s.db, id)
		if err != nil {
			return err
		}
		t.val = formatTwoUsage(&u)
		_ = t.set(t.key.usage(id))
	}
	t.c.cache = newCache()
	return nil
}

// TestFormatTwoIsCountedAtOpening: what is held by a store of format 2 is counted
// whether it is in the index, or in the log only, and after a crash as well.
func TestFormatTwoIsCountedAtOpening(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 3)
	old := identity{2, s.id}
	set(t, s, keyStore, old.append(nil), false)
	hold := func(id byte, to []mail.AccountID) {
		t.Helper()
		holdOne(t, s, id, make([]byte, 100*int(id)), to)
	}
	hold(1, accounts[:2])
	if err := s.do(oldUsages{accounts}); err != nil {
		t.Fatal(err)
	}
	if err := s.flushIndex(); err != nil {
		t.Fatal(err)
	}
	hold(2, accounts[1:2]) // of which the flushed index knows nothing
	if err := s.do(oldUsages{accounts}); err != nil {
		t.Fatal(err)
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replace(t, crashed, "store/VERSION", []byte(old.text()))
	prefix := int64(len(prefixFor(accounts[0])))
	want := []int64{100 + prefix, 100 + 200 + 2*prefix, 0}
	for round := range 3 {
		s = mustOpen(t, smallOptions(crashed))
		for i, id := range accounts {
			if a, err := s.Account(t.Context(), id); err != nil || a.HeldOctets != want[i] {
				t.Errorf("opening %d: %d octets are held for account %d, %v, want %d", round, a.HeldOctets, id, err, want[i])
			}
		}
		if err := checkClean(s); err != nil {
			t.Errorf("opening %d: %v", round, err)
		}
		if now, _, err := readIdentity(crashed, "store"); err != nil || now.format != Format {
			t.Errorf("opening %d: VERSION says %+v, %v", round, now, err)
		}
		hold(byte(10+round), accounts[2:]) // counted by this format, in the log only
		want[2] += 100*int64(10+round) + prefix
		next := crashed.CrashClone(vfs.CrashCloneCfg{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		crashed = next
	}
}

// envelopeFormOneOf encodes an envelope as formats 1 to 3 did: without extras.
func envelopeFormOneOf(e *mail.Envelope) []byte {
	plain := *e
	plain.RequireTLS, plain.DeliverBy, plain.Priority = false, mail.DeliverBy{}, 0
	b := appendEnvelope(nil, &plain)
	at := 1 + len(e.ID) // then the reverse-path, four octets and a text
	r := valueReader{b: b[at:]}
	r.address()
	r.take(3)
	r.int()
	r.text()
	extras := len(b) - len(r.b)
	b[0] = envelopeFormOne
	return append(b[:extras:extras], b[extras+1:]...)
}

// TestEnvelopesOfBothFormsAreRead: mail of older formats keeps its own.
func TestEnvelopesOfBothFormsAreRead(t *testing.T) {
	e := mail.Envelope{
		ID: mail.ID{1}, From: mail.Address{Local: "a", Domain: "a.test"}, Body: mail.Body8BitMIME, Size: 1 << 40, EnvID: "x",
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "b", Domain: "b.test"}, Notify: mail.NotifyDelay, ORcpt: "rfc822;c@c.test"}},
	}
	got, err := decodeEnvelope(envelopeFormOneOf(&e))
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("the first form is read as %+v, %v, want %+v", got, err, e)
	}
	e.RequireTLS, e.Priority = true, -9
	e.DeliverBy = mail.DeliverBy{Deadline: time.Unix(1_800_000_000, 5).UTC(), Mode: mail.ByNotify, Trace: true}
	got, err = decodeEnvelope(appendEnvelope(nil, &e))
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("it is read as %+v, %v, want %+v", got, err, e)
	}
}

// TestFormatThreeIsRaised: a store without a queue gets one, and mail that was held
// before keeps its envelope.
func TestFormatThreeIsRaised(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 1)
	holdOne(t, s, 1, []byte("held"), accounts)
	h, err := findHeld(s.db, mail.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	h.envelope = envelopeFormOneOf(&mail.Envelope{ID: mail.ID{1}, EnvID: "old"})
	var k keyBuf
	set(t, s, k.held(h.id), h.append(nil), false)
	old := identity{3, s.id}
	set(t, s, keyStore, old.append(nil), false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replace(t, mem, "store/VERSION", []byte(old.text()))
	for round := range 2 {
		s = mustOpen(t, smallOptions(mem))
		if now, _, err := readIdentity(mem, "store"); err != nil || now.format != Format {
			t.Errorf("opening %d: VERSION says %+v, %v", round, now, err)
		}
		for held, err := range s.Held(t.Context()) {
			if err != nil || held.Envelope.EnvID != "old" {
				t.Errorf("opening %d: held is %+v, %v", round, held, err)
			}
		}
		if u, err := s.QueueUsage(t.Context()); err != nil || u.Messages != int64(round) {
			t.Errorf("opening %d: the queue has %+v, %v", round, u, err)
		}
		if err := checkClean(s); err != nil {
			t.Errorf("opening %d: %v", round, err)
		}
		if round == 0 {
			sendOne(t, s, 7, []byte("sent"), "far.test")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnotherStoresVersionIsRefused whatever the formats.
func TestAnotherStoresVersionIsRefused(t *testing.T) {
	for format := 1; format <= Format; format++ {
		mem := vfs.NewMem()
		formatOne(t, mem)
		replace(t, mem, "store/VERSION", []byte(identity{format, storeID{1}}.text()))
		if s, err := Open(smallOptions(mem)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "not of the same store") {
			t.Errorf("format %d: open: %v, want kind invalid", format, err)
			if err == nil {
				s.Close()
			}
		}
	}
}

// TestAccountFromTheLogHasNoLogin of any kind: it may have been removed, or its
// passwords revoked.
func TestAccountFromTheLogHasNoLogin(t *testing.T) {
	a := store.Account{
		ID: 1, Address: "u0@example.test", Password: "x", SCRAM: "x", LegacySecret: []byte("x"), Grants: []string{"x"},
		AppPasswords: []store.AppPassword{{Name: "x", Hash: []byte("x")}}, Quota: 7, Created: time.Unix(5, 0).UTC(), Version: 9,
	}
	var k keyBuf
	got, err := decodeAccount(1, fromLog(k.account(1), appendAccount(nil, &a)))
	want := store.Account{ID: 1, Address: a.Address, Disabled: true, Quota: 7, Created: a.Created, Version: 9}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v, %v, want %+v", got, err, want)
	}
}

// FuzzRows decodes rows that may be damaged: none panics or takes memory that it
// does not have octets for, and what is read is written the same.
func FuzzRows(f *testing.F) {
	a := store.Account{
		Address: "a@example.test", SCRAM: "x", LegacySecret: []byte{0}, Grants: []string{"", "@b.test"},
		AppPasswords: []store.AppPassword{{Name: "x", Scope: []string{"smtp"}, Hash: []byte("x")}}, Version: 9,
	}
	f.Add(appendAccount(nil, &a))
	f.Add(formatOneAccount(&a))
	f.Add(heldOf(mail.ID{1}, 7, 1))
	f.Add((&usage{modSeq: 300, messages: 2, octets: 5, lastMailbox: 1, held: 1 << 40}).append(nil))
	f.Add(formatTwoUsage(&usage{lastMailbox: 1}))
	f.Add(appendRecord(nil, &store.Record{Value: []byte("x")}))
	f.Add((&queued{rows: 1, warrant: store.AccountWarrant(7, "a@a.test"), envelope: appendEnvelope(nil, &mail.Envelope{Priority: 3})}).append(nil))
	row := queueRow{due: -1, recipient: mail.Recipient{Address: mail.Address{Local: "x", Domain: "far.test"}}, progress: store.RowProgress{Attempts: 1, Last: time.Unix(5, 0)}}
	f.Add(row.append(nil))
	f.Add(row.appendPlan(nil))
	f.Add(envelopeFormOneOf(&mail.Envelope{EnvID: "x"}))
	f.Add([]byte{0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, v []byte) {
		if a, err := decodeAccount(1, v); err == nil {
			again, err := decodeAccount(1, appendAccount(nil, &a))
			if err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("account %+v is read again as %+v, %v", a, again, err)
			}
		}
		if h, err := decodeHeld(mail.ID{1}, v); err == nil {
			again, err := decodeHeld(mail.ID{1}, h.append(nil))
			if err != nil || !reflect.DeepEqual(again, h) {
				t.Errorf("held message %+v is read again as %+v, %v", h, again, err)
			}
			_, _ = h.held() // any envelope
		}
		fuzzQueueRows(t, v)
		if u, err := decodeUsage(1, v); err == nil {
			if again, err := decodeUsage(1, u.append(nil)); err != nil || again != u {
				t.Errorf("usage %+v is read again as %+v, %v", u, again, err)
			}
		}
		if r, err := decodeRecord("k", v); err == nil {
			again, err := decodeRecord("k", appendRecord(nil, &r))
			if err != nil || again.Changed != r.Changed || string(again.Value) != string(r.Value) {
				t.Errorf("record %+v is read again as %+v, %v", r, again, err)
			}
		}
	})
}

// fuzzQueueRows decodes rows of the queue, also with a checksum that is right.
func fuzzQueueRows(t *testing.T, v []byte) {
	for _, v := range [][]byte{v, appendSum(slices.Clone(v), 0)} {
		if q, err := decodeQueued(mail.ID{1}, v); err == nil {
			again, err := decodeQueued(mail.ID{1}, q.append(nil))
			if err != nil || !reflect.DeepEqual(again, q) {
				t.Errorf("queued message %+v is read again as %+v, %v", q, again, err)
			}
			_, _ = q.message() // any envelope
		}
		if r, err := decodeRow(store.RowID{}, v); err == nil {
			again, err := decodeRow(store.RowID{}, r.append(nil))
			if err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("row %+v is read again as %+v, %v", r, again, err)
			}
			p, ok := keyPlan(r.appendPlan(nil))
			if !ok || string(p.name) != r.recipient.Address.Domain || p.class != r.class() || p.due != r.due || p.row != r.id {
				t.Errorf("the place of %+v is read as %+v", r, p)
			}
		}
	}
	if e, err := decodeEnvelope(v); err == nil {
		again, err := decodeEnvelope(appendEnvelope(nil, &e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("envelope %+v is read again as %+v, %v", e, again, err)
		}
	}
	_, _ = keyPlan(v)
	_, _ = decodeTotals(v)
	_, _ = decodeFrozen("x", v)
}
