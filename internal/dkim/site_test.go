package dkim

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store/storetest"
)

var testTime = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// site is a store with keys, and a DNS.
type site struct {
	t     testing.TB
	model *storetest.Model
	keys  *Keys
	dns   dnsTable
	now   time.Time
}

// dnsTable has the records of names; a nil list is a name that can't be looked up.
type dnsTable map[string][]string

func (d dnsTable) txt(_ context.Context, name string) ([]string, error) {
	records, ok := d[name]
	switch {
	case !ok:
		return nil, fault.Newf(fault.NotFound, "look up", "no such name")
	case records == nil:
		return nil, fault.New(fault.Transient, "look up", errors.New("timeout"))
	}
	return records, nil
}

func newSite(t testing.TB) *site {
	s := &site{t: t, model: storetest.NewModel(), dns: dnsTable{}, now: testTime}
	s.keys = NewKeys(s.model, slog.New(slog.DiscardHandler), func() time.Time { return s.now })
	return s
}

// pair makes keys for a domain without the time that RSA keys take to make: the same
// secret serves all tests.
func (s *site) pair(domain, name string) {
	s.t.Helper()
	for _, secret := range secrets() {
		k := &secretKey{Key: Key{Domain: domain, Selector: name + "-" + string(secret.Algorithm), State: Pending, Created: s.now}}
		k.signer, k.pkcs8 = secret.signer, secret.pkcs8
		if err := k.describe(); err != nil {
			s.t.Fatal(err)
		}
		if err := s.keys.put(s.t.Context(), k); err != nil {
			s.t.Fatal(err)
		}
	}
}

// signing makes keys for a domain that sign and are published.
func (s *site) signing(domain string) {
	s.t.Helper()
	s.pair(domain, "k1")
	keys, err := s.keys.Activate(s.t.Context(), domain)
	if err != nil {
		s.t.Fatal(err)
	}
	s.publish(keys...)
}

func (s *site) publish(keys ...Key) {
	for _, k := range keys {
		s.dns[k.Name] = []string{k.Record}
	}
}

func (s *site) clock() func() time.Time { return func() time.Time { return s.now } }

func (s *site) verifier() Verifier { return Verifier{TXT: s.dns.txt, Now: s.clock()} }

func (s *site) signer() *Signer { return NewSigner(s.keys, Settings{Now: s.clock()}) }

func (s *site) sign(domain, message string) string {
	s.t.Helper()
	fields, err := s.signer().Sign(s.t.Context(), domain, strings.NewReader(message), int64(len(message)))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(fields) + message
}

func (s *site) verify(message string) []Verification {
	s.t.Helper()
	all, err := s.verifier().Verify(s.t.Context(), strings.NewReader(message), int64(len(message)))
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *site) seal(domain, hostname, message string) string {
	s.t.Helper()
	fields, err := NewSealer(s.keys, s.verifier(), hostname, Settings{Now: s.clock()}).
		Seal(s.t.Context(), domain, Forward{Stored: strings.NewReader(message)})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(fields) + message
}

func (s *site) chain(message string) Chain {
	s.t.Helper()
	c, err := s.verifier().Chain(s.t.Context(), strings.NewReader(message), int64(len(message)))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

var secrets = sync.OnceValue(func() []*secretKey {
	var all []*secretKey
	for _, a := range []Algorithm{RSA, Ed25519} {
		k, err := newKey("example.org", "k", a, testTime)
		if err != nil {
			panic(err)
		}
		all = append(all, k)
	}
	return all
})

// letter is a message with what canonicalization has to look at.
const letter = "Received: from a by b; Sat, 28 Nov 2026 12:00:00 +0000\r\n" +
	"From: Alice <alice@example.org>\r\n" +
	"To: Bob <bob@example.net>,\r\n\tCarol <carol@example.net>\r\n" +
	"SUBJECT:  Two   words \r\n" +
	"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n" +
	"Message-ID: <1@example.org>\r\n" +
	"\r\n" +
	"A line  with\twhite space \t\r\n" +
	" \r\n" +
	"\r\n" +
	".dot\r\nend\r\n" +
	"\r\n \r\n\r\n"
