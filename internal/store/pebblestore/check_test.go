package pebblestore

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// TestBadRowsAreFoundAndRepaired: each row of the index that says nothing, or
// belongs to nothing, is found, and a repair leaves a store that is clean and has
// its mail.
func TestBadRowsAreFoundAndRepaired(t *testing.T) {
	var k keyBuf
	key := func(b []byte) []byte { return slices.Clone(b) }
	box := mailboxKey{1, 5}
	bad := []byte{0xff}
	rows := []struct {
		name       string
		key, value []byte
		kept       bool // its octets are in damaged/ after the repair
	}{
		{"address in a list that is not there", inKey("example.test", "ghost@example.test"), nil, false},
		{"list of a domain that is not there", inKey("gone.test", "a@gone.test"), nil, false},
		{"malformed list", []byte("iexample.test"), nil, false},
		{"file of no content", key(k.file(99)), make([]byte, 8), false},
		{"malformed file", key(k.file(99)), bad, false},
		{"malformed accept", key(k.accept(mail.ID{9})), nil, false},
		{"unknown table before all", []byte("\x00x"), []byte("v"), true},
		{"unknown table", []byte("?junk"), []byte("v"), true},
		{"unknown table after all", []byte("~z"), []byte("v"), true},
		{"unknown meta", []byte("!junk"), []byte("v"), true},
		{"short key", []byte("m123"), []byte("v"), true},
		{"malformed alias", entryKey("zz@example.test"), bad, true},
		{"malformed address of an account", entryKey("u0@example.test"), bad, true},
		{"malformed domain", domainKey("example.test"), bad, true},
		{"malformed account", key(k.account(1)), bad, true},
		{"malformed mailbox", key(k.mailbox(box)), bad, true},
		{"malformed counters", key(k.usage(1)), bad, false},
		{"cut off counters", key(k.usage(1)), append((&usage{lastMailbox: 1}).append(nil)[:4], 0xff), false},
		{"malformed message", key(k.message(mailboxKey{1, mail.Inbox}, 99)), bad, true},
		{"malformed content", key(k.blob(7)), bad, true},
		{"malformed held message", key(k.held(mail.ID{9})), bad, true},
		{"held message for nobody", key(k.held(mail.ID{9})), (&held{}).append(nil), true},
		{"held message without an envelope", key(k.held(mail.ID{9})), (&held{copies: make([]heldCopy, 1)}).append(nil), true},
		{"held message without content", key(k.held(mail.ID{9})), heldOf(mail.ID{9}, 77, 1), false},
		{"held message that is in a mailbox", key(k.held(mail.ID{9})), nil, false}, // of the first message's content
		{"place in time of no held message", key(k.due(5, mail.ID{9})), nil, false},
		{"short place in time", []byte("t12345678"), nil, true},
		{"malformed record", recordKey("cert/x"), nil, true},
		{"record of a malformed key", recordKey("line\nend"), appendRecord(nil, &store.Record{}), true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			mem := vfs.NewMem()
			s := mustOpen(t, smallOptions(mem))
			defer s.Close()
			accounts := addAccounts(t, s, 1)
			fill(t, s, accounts, 3, 100)
			if row.key[0] == tableHeld && row.value == nil {
				m, err := findMessage(s.db, mailboxKey{accounts[0], mail.Inbox}, 1)
				if err != nil {
					t.Fatal(err)
				}
				row.value = heldOf(mail.ID{9}, m.blob, accounts[0])
			}
			if err := s.db.Set(row.key, row.value, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			if len(findingsOf(t, s, false)) == 0 {
				t.Error("check found nothing")
			}
			for _, f := range findingsOf(t, s, true) {
				if f.Repaired == "" {
					t.Errorf("found %+v, want it repaired", f)
				}
			}
			if err := checkClean(s); err != nil {
				t.Errorf("after the repair: %v", err)
			}
			if n := messagesIn(t, s, accounts[0]); n != 3 {
				t.Errorf("%d messages after the repair, want 3", n)
			}
			if _, err := s.Entry(t.Context(), "u0@example.test"); err != nil {
				t.Error(err)
			}
			if _, err := s.Domain(t.Context(), "example.test"); err != nil {
				t.Error(err)
			}
			want := fmt.Appendf(nil, "%x %x\n", row.key, row.value)
			if row.kept && !slices.ContainsFunc(files(t, mem, "store"), func(path string) bool {
				return strings.Contains(path, "/damaged/") && bytes.Equal(readAll(t, mem, path), want)
			}) {
				t.Error("the row's octets are not in damaged/")
			}
		})
	}
}

// heldOf returns the row of a held message of 100 octets, as acceptAs makes it.
func heldOf(id mail.ID, blob uint64, to mail.AccountID) []byte {
	h := held{
		id: id, blob: blob, body: 100, envelope: appendEnvelope(nil, &mail.Envelope{ID: id}),
		copies: []heldCopy{{box: mailboxKey{to, mail.Inbox}, prefixLen: uint32(len(prefixFor(to)))}},
	}
	return h.append(nil)
}

// TestEmptiedDomainCanBeRemoved once repair has taken a stray address from its
// list.
func TestEmptiedDomainCanBeRemoved(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	if _, err := s.Change(t.Context(), store.PutDomain{Domain: store.Domain{Name: "example.test"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set(inKey("example.test", "ghost@example.test"), nil, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	findingsOf(t, s, true)
	if _, err := s.Change(t.Context(), store.RemoveDomain{Name: "example.test"}); err != nil {
		t.Error(err)
	}
}
