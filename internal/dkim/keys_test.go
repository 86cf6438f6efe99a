package dkim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// states returns "selector state" for the keys of a domain.
func (s *site) states(domain string) []string {
	s.t.Helper()
	var all []string
	for k, err := range s.keys.List(s.t.Context(), domain) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, k.Selector+" "+string(k.State))
	}
	return all
}

func (s *site) wantStates(want ...string) {
	s.t.Helper()
	if got := s.states("example.org"); !slices.Equal(got, want) {
		s.t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestKeysAreMadePendingAndNamedByTheMonth(t *testing.T) {
	s := newSite(t)
	made, err := s.keys.Generate(t.Context(), "Example.ORG", "")
	if err != nil {
		t.Fatal(err)
	}
	s.wantStates("pr-2026-11-ed25519 pending", "pr-2026-11-rsa pending")
	if made[0].Name != "pr-2026-11-rsa._domainkey.example.org" || !strings.HasPrefix(made[0].Record, "v=DKIM1; k=rsa; p=MIIB") {
		t.Errorf("the RSA key: %+v", made[0])
	}
	if _, err := s.keys.Generate(t.Context(), "example.org", ""); err != nil {
		t.Fatal(err)
	}
	s.wantStates("pr-2026-11-2-ed25519 pending", "pr-2026-11-2-rsa pending", "pr-2026-11-ed25519 pending", "pr-2026-11-rsa pending")
}

func TestNamesOfKeysAreChecked(t *testing.T) {
	s := newSite(t)
	for _, c := range [][2]string{
		{"", ""},
		{"[192.0.2.1]", ""},
		{"exa mple.org", ""},
		{"example.org", "a/b"},
		{"example.org", strings.Repeat("a", 64)},
		{"example.org", "a b"},
		{strings.Repeat("a.", 120) + "org", "pr"},
	} {
		if _, err := s.keys.Generate(t.Context(), c[0], c[1]); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q, %q: %v", c[0], c[1], err)
		}
	}
}

func TestActivatingRetiresTheFormerKeys(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	s.pair("example.org", "k2")
	s.wantStates("k1-ed25519 active", "k1-rsa active", "k2-ed25519 pending", "k2-rsa pending")
	if _, err := s.keys.Activate(t.Context(), "example.org", "k2-rsa"); err != nil {
		t.Fatal(err)
	}
	s.wantStates("k1-ed25519 active", "k1-rsa retired", "k2-ed25519 pending", "k2-rsa active")
	if _, err := s.keys.Activate(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	s.wantStates("k1-ed25519 retired", "k1-rsa retired", "k2-ed25519 active", "k2-rsa active")
	if _, err := s.keys.Activate(t.Context(), "example.org"); !fault.Is(err, fault.NotFound) {
		t.Errorf("nothing to activate: %v", err)
	}
	if _, err := s.keys.Activate(t.Context(), "example.org", "k9"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such key: %v", err)
	}
}

func TestAnActiveKeyIsNotRemoved(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	if err := s.keys.Remove(t.Context(), "example.org", "k1-rsa"); !fault.Is(err, fault.Busy) {
		t.Errorf("got %v", err)
	}
	if err := s.keys.Retire(t.Context(), "example.org", "k1-rsa"); err != nil {
		t.Fatal(err)
	}
	if err := s.keys.Remove(t.Context(), "example.org", "k1-rsa"); err != nil {
		t.Fatal(err)
	}
	s.wantStates("k1-ed25519 active")
	if err := s.keys.Remove(t.Context(), "example.org", "k1-rsa"); !fault.Is(err, fault.NotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestFirstKeysSignWhenTheyAreSeen and do not wait: nobody has asked for them before.
func TestFirstKeysSignWhenTheyAreSeen(t *testing.T) {
	s := newSite(t)
	s.pair("example.org", "k1")
	s.tend()
	s.wantStates("k1-ed25519 pending", "k1-rsa pending")
	s.publishAll()
	s.tend()
	s.wantStates("k1-ed25519 active", "k1-rsa active")
}

// TestRotationWaitsForTheDNS switches only when the DNS has shown the new keys for
// the time of settling without a break.
func TestRotationWaitsForTheDNS(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	s.pair("example.org", "k2")
	before := []string{"k1-ed25519 active", "k1-rsa active", "k2-ed25519 pending", "k2-rsa pending"}
	s.tend()
	s.wantStates(before...)
	s.publishAll()
	s.tend() // seen
	s.now = s.now.Add(settling - time.Hour)
	s.tend()
	s.wantStates(before...)

	record := s.dns["k2-rsa._domainkey.example.org"]
	s.dns["k2-rsa._domainkey.example.org"] = []string{}
	s.tend() // gone: the RSA key waits anew
	s.dns["k2-rsa._domainkey.example.org"] = nil
	s.dns["k2-ed25519._domainkey.example.org"] = nil
	s.now = s.now.Add(time.Hour)
	s.tend() // nobody knows: what was seen counts
	s.wantStates("k1-ed25519 retired", "k1-rsa active", "k2-ed25519 active", "k2-rsa pending")

	s.dns["k2-rsa._domainkey.example.org"] = record
	s.tend()
	s.now = s.now.Add(settling)
	s.tend()
	s.wantStates("k1-ed25519 retired", "k1-rsa retired", "k2-ed25519 active", "k2-rsa active")
}

const settling = 24 * time.Hour

func (s *site) tend() {
	s.t.Helper()
	if err := s.keys.tendAll(s.t.Context(), s.dns.txt, settling); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) publishAll() {
	for k, err := range s.keys.List(s.t.Context(), "") {
		if err != nil {
			s.t.Fatal(err)
		}
		s.publish(k)
	}
}

// TestRunLooksOnceAnHour lets days pass in a bubble.
func TestRunLooksOnceAnHour(t *testing.T) {
	secrets() // made outside: the bubble waits for no key
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.keys.now = time.Now
		s.signing("example.org")
		s.pair("example.org", "k2")
		s.publishAll()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.keys.Run(ctx, s.dns.txt, settling) }()
		time.Sleep(settling - time.Minute)
		synctest.Wait()
		s.wantStates("k1-ed25519 active", "k1-rsa active", "k2-ed25519 pending", "k2-rsa pending")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.wantStates("k1-ed25519 retired", "k1-rsa retired", "k2-ed25519 active", "k2-rsa active")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestRotate(t *testing.T) {
	s := newSite(t)
	if _, err := s.keys.Rotate(t.Context(), "example.org"); !fault.Is(err, fault.NotFound) {
		t.Errorf("without keys: %v", err)
	}
	s.signing("example.org")
	if _, err := s.keys.Rotate(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	s.wantStates("k1-ed25519 active", "k1-rsa active", "pr-2026-11-ed25519 pending", "pr-2026-11-rsa pending")
	if _, err := s.keys.Rotate(t.Context(), "example.org"); !fault.Is(err, fault.Exists) {
		t.Errorf("twice: %v", err)
	}
}

// TestABrokenKeyStopsNoOther flips octets of one record.
func TestABrokenKeyStopsNoOther(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	for _, value := range []string{"", "{}", `{"state":"active","pkcs8":"AAAA"}`, "\x00\xff"} {
		if err := s.model.PutRecord(t.Context(), store.Record{Key: "dkim/example.org/broken", Value: []byte(value), Changed: testTime}); err != nil {
			t.Fatal(err)
		}
		s.keys.forget()
		if signed := s.sign("example.org", letter); strings.Count(signed, fieldDKIM) != 2 {
			t.Errorf("%q: %s", value, signed)
		}
		s.tend()
	}
	if err := s.keys.Remove(t.Context(), "example.org", "broken"); err != nil {
		t.Errorf("a broken key can't be removed: %v", err)
	}
}

// TestASecretIsNeverShown looks for it wherever a key is printed.
func TestASecretIsNeverShown(t *testing.T) {
	s := newSite(t)
	var log bytes.Buffer
	s.keys = NewKeys(s.model, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), s.clock())
	s.signing("example.org")
	s.pair("example.org", "k2")
	s.publishAll()
	s.now = s.now.Add(settling)
	s.tend()
	if err := s.keys.Retire(t.Context(), "example.org", "k1-rsa"); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	for k := range s.keys.List(t.Context(), "") {
		fmt.Fprintf(&shown, "%v %+v %#v\n", k, k, k)
		if err := json.NewEncoder(&shown).Encode(k); err != nil {
			t.Fatal(err)
		}
	}
	shown.Write(log.Bytes())
	for _, secret := range secrets() {
		text := base64.StdEncoding.EncodeToString(secret.pkcs8)
		if strings.Contains(shown.String(), text[len(text)/2:]) {
			t.Errorf("the secret of %s is shown", secret.Algorithm)
		}
	}
}

func TestSameKey(t *testing.T) {
	ours := secrets()[0].Record
	folded := strings.Replace(ours, "p=", "t=s; n=note; p= ", 1)
	for _, c := range []struct {
		name, other string
		want        bool
	}{
		{"itself", ours, true},
		{"written in another way", folded, true},
		{"without v and k", strings.Replace(ours, "v=DKIM1; k=rsa; ", "", 1), true},
		{"another", otherKey, false},
		{"another algorithm", secrets()[1].Record, false},
		{"revoked", "v=DKIM1; p=", false},
		{"nonsense", "hello", false},
	} {
		if got := SameKey(c.other, ours); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
