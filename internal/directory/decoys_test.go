package directory

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

func TestNamesWithoutKeysGetDecoysThatStay(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	h := newHouse(t, Options{KeyFile: keyFile})
	h.accounts("alice@a.test", "disabled@a.test", "legacy@a.test")
	_, err := h.AddAccount(h.ctx, NewAccount{Address: "nologin@a.test"})
	h.ok(err)
	_, err = h.SetLegacySecret(h.ctx, "legacy@a.test", "") // makes the key file
	h.ok(err)
	enabled := h.scram("disabled@a.test", "smtp", true)
	h.ok(h.SetDisabled(h.ctx, "disabled@a.test", true))
	if s := h.scram("disabled@a.test", "smtp", false); !bytes.Equal(s.Salt, enabled.Salt) || s.fits(t, "secret") != "" {
		t.Error("an account that is disabled answers with another salt, or with its keys")
	}
	start := func() *Directory {
		d := New(h.st, h.o)
		t.Cleanup(func() { d.giveBack.Stop() })
		return d
	}
	seen := map[string]string{}
	for _, spellings := range [][]string{
		{"nobody@a.test", "NOBODY@A.TEST", " nobody@a.test", "ｎobody@a.test"},
		{"nologin@a.test", "NoLogin@a.test"},
		{"nobody@far.example"},
		{"nobody"},
		{"*)(uid=*"},
		{"a' OR '1'='1"},
		{"x\x00\r\n"},
		{""},
	} {
		var first string
		for _, d := range []*Directory{h.Directory, start(), start()} {
			for _, name := range spellings {
				s, err := d.SCRAM(h.ctx, name, "smtp")
				h.ok(err)
				got := fmt.Sprintf("%x %d %x", s.Salt, s.Iterations, s.Keys)
				if s.Usable || s.Account.ID != 0 || len(s.Keys) != 1 || len(s.Keys[0].Stored) != sha256.Size || s.Iterations != MinSCRAMIterations {
					t.Errorf("%q gets %+v", name, s)
				}
				if first == "" {
					first = got
				}
				if got != first {
					t.Errorf("%q gets %s, before it was %s", name, got, first)
				}
			}
		}
		if other, ok := seen[first]; ok {
			t.Errorf("%q and %q get the same salt", other, spellings[0])
		}
		seen[first] = spellings[0]
	}
}

func TestDecoysDifferBetweenServers(t *testing.T) {
	one, two := newHouse(t, Options{}), newHouse(t, Options{})
	a, b := one.scram("nobody@a.test", "smtp", false), two.scram("nobody@a.test", "smtp", false)
	if bytes.Equal(a.Salt, b.Salt) || bytes.Equal(a.Keys[0].Stored, b.Keys[0].Stored) {
		t.Error("two servers have the same decoys")
	}
}

func TestSecretOfDecoysThatCantBeKept(t *testing.T) {
	for name, row := range map[string]struct {
		fail   func(h *house)
		unsure bool // the first answer is an error
		stays  bool // at the next start
		logged bool
	}{
		"the disk is full": {fail: func(h *house) {
			h.st.FailNext(storetest.OpPutRecord, fault.New(fault.NoSpace, "test", nil))
		}, logged: true},
		"damaged": {fail: func(h *house) {
			h.st.FailNext(storetest.OpRecord, fault.New(fault.Corrupt, "test", nil))
		}, stays: true},
		"too short": {fail: func(h *house) {
			h.ok(h.st.PutRecord(h.ctx, store.Record{Key: decoyRecord, Value: []byte("short")}))
		}, stays: true},
		"can't be read": {fail: func(h *house) {
			h.st.FailNext(storetest.OpRecord, fault.New(fault.Denied, "test", nil))
		}, unsure: true, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{})
			h.accounts("alice@a.test")
			row.fail(h)
			_, err := h.SCRAM(h.ctx, "alice@a.test", "smtp")
			if (err != nil) != row.unsure || fault.Is(err, fault.Denied) {
				t.Errorf("got error %v", err)
			}
			first := h.scram("nobody@a.test", "smtp", false)
			if again := h.scram("nobody@a.test", "smtp", false); !bytes.Equal(again.Salt, first.Salt) {
				t.Error("the answer has changed")
			}
			next := New(h.st, h.o)
			t.Cleanup(func() { next.giveBack.Stop() })
			s, err := next.SCRAM(h.ctx, "nobody@a.test", "smtp")
			h.ok(err)
			if stays := bytes.Equal(s.Salt, first.Salt); stays != row.stays {
				t.Errorf("the same at the next start: %v, want %v", stays, row.stays)
			}
			if logged := strings.Contains(h.log.String(), "nobody has will change"); logged != row.logged {
				t.Errorf("logged: %v, want %v", logged, row.logged)
			}
		})
	}
}

func TestWithoutIterationsThereIsNoSCRAM(t *testing.T) {
	h := newHouse(t, Options{SCRAMIterations: -1})
	h.accounts("alice@a.test")
	phone, err := h.AddAppPassword(h.ctx, "alice@a.test", "phone", nil)
	h.ok(err)
	h.ok(h.login("alice@a.test", "secret"))
	h.ok(h.login("alice@a.test", phone))
	account, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	if account.SCRAM != "" || account.AppPasswords[0].SCRAM != "" {
		t.Errorf("keys were made: %q and %q", account.SCRAM, account.AppPasswords[0].SCRAM)
	}
	h.scram("alice@a.test", "smtp", false)
	if h.SCRAMPossible() {
		t.Error("SCRAM is called possible")
	}
	h.o.SCRAMIterations = MinSCRAMIterations // later it is turned on
	h.ok(h.login("alice@a.test", phone))
	h.now = h.now.Add(DefaultCacheTTL)
	h.ok(h.login("alice@a.test", "secret"))
	s := h.scram("alice@a.test", "smtp", true)
	if s.fits(t, phone) != "ownphone" || s.fits(t, "secret") != "own" {
		t.Errorf("after logins there are %d keys", len(s.Keys))
	}
}
