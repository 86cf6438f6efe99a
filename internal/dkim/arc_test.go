package dkim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-msgauth/authres"
)

// hops seals a signed letter at so many hosts, each of its own domain.
func hops(s *site, n int) string {
	s.signing("example.org")
	m := s.sign("example.org", letter)
	for i := range n {
		domain := fmt.Sprintf("hop%d.example", i+1)
		s.signing(domain)
		m = "Received: from x by " + domain + "; Sat, 28 Nov 2026 12:00:00 +0000\r\n" + m
		m = s.seal(domain, "mail."+domain, m)
	}
	return m
}

func TestAChainOfSeveralHopsPasses(t *testing.T) {
	s := newSite(t)
	for n := range 5 {
		m := hops(s, n)
		want := Chain{Status: ChainPass, Sets: n}
		if n == 0 {
			want.Status = ChainNone
		}
		if got := s.chain(m); got != want {
			t.Errorf("%d hops: %+v\n%s", n, got, m)
		}
	}
}

func TestASealSaysWhatWasFound(t *testing.T) {
	s := newSite(t)
	m := hops(s, 2)
	h := parseHeader([]byte(m[:strings.Index(m, "\r\n\r\n")+4]))
	for i, want := range []string{fieldAS, fieldAMS, fieldAAR} {
		if !h.fields[i].Is(want) {
			t.Errorf("field %d is %s, want %s", i, h.fields[i].Name, want)
		}
	}
	tags, err := parseTags(string(h.fields[0].Body))
	if err != nil || tags["i"] != "2" || tags["cv"] != "pass" || tags["d"] != "hop2.example" || tags["a"] != "rsa-sha256" {
		t.Errorf("the seal: %v, %v", tags, err)
	}
	_, results, _ := strings.Cut(string(h.fields[2].Value()), ";")
	id, found, err := authres.Parse(results)
	if err != nil || id != "mail.hop2.example" || len(found) != 3 {
		t.Fatalf("results %q: %s, %d, %v", results, id, len(found), err)
	}
	if r, ok := found[0].(*authres.DKIMResult); !ok || r.Value != authres.ResultPass || r.Domain != "example.org" {
		t.Errorf("the first result: %+v", found[0])
	}
	if r, ok := found[2].(*authres.ARCResult); !ok || r.Value != authres.ResultPass {
		t.Errorf("the last result: %+v", found[2])
	}
}

func TestAChainFails(t *testing.T) {
	for _, c := range []struct{ name, old, new string }{
		{"the body changed", "dot", "dots"},
		{"the subject changed", "Two", "Three"},
		{"results of the first hop", "mail.hop1.example", "mail.hop9.example"},
		{"a seal's state", "cv=pass", "cv=none"},
		{"a set missing", "ARC-Seal: i=1", "X-Seal: i=1"},
		{"an instance twice", "ARC-Seal: i=2", "ARC-Seal: i=1"},
		{"an instance out of range", "ARC-Seal: i=2", "ARC-Seal: i=51"},
		{"an instance that is no number", "ARC-Seal: i=2", "ARC-Seal: i=x"},
		{"a tag that a seal may not have", "ARC-Seal: i=2", "ARC-Seal: i=2; h=From"},
		{"no results", "ARC-Authentication-Results: i=1;", "X: i=1;"},
		{"a signature of another domain", "d=hop2.example", "d=hop3.example"},
		{"another From", "Received:", "From: m@example.com\r\nReceived:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			m := hops(s, 2)
			changed := strings.Replace(m, c.old, c.new, 1)
			if changed == m {
				t.Fatal("nothing changed")
			}
			if got := s.chain(changed); got.Status != ChainFail || got.Reason == "" {
				t.Errorf("%+v\n%s", got, changed)
			}
		})
	}
}

// TestAFailedChainIsMarkedOnceAndNotContinued is RFC 8617 §5.1.2 and §5.1, step 2.
func TestAFailedChainIsMarkedOnceAndNotContinued(t *testing.T) {
	s := newSite(t)
	m := strings.Replace(hops(s, 2), "dot", "dots", 1)
	s.signing("hop3.example")
	marked := s.seal("hop3.example", "mail.hop3.example", m)
	h := parseHeader([]byte(marked[:strings.Index(marked, "\r\n\r\n")+4]))
	tags, err := parseTags(string(h.fields[0].Body))
	if err != nil || tags["i"] != "3" || tags["cv"] != "fail" {
		t.Fatalf("the seal: %v, %v", tags, err)
	}
	if got := s.chain(marked); got.Status != ChainFail || !got.Ended || got.Sets != 3 {
		t.Errorf("%+v", got)
	}
	// The seal is good for its own set.
	own := set{results: h.fields[2], signature: h.fields[1], seal: h.fields[0], sealTags: tags}
	if refused := s.verifier().sealed(t.Context(), []set{own}); refused != nil {
		t.Errorf("the seal of the failed chain: %v", refused)
	}
	s.signing("hop4.example")
	if again := s.seal("hop4.example", "mail.hop4.example", marked); again != marked {
		t.Error("a chain that has failed was continued")
	}
}

func TestAFullChainIsNotContinued(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	m := letter
	for range maxInstance {
		m = s.seal("example.org", "mail.example.org", m)
	}
	if got := s.chain(m); got.Status != ChainPass || got.Sets != maxInstance {
		t.Fatalf("%+v", got)
	}
	if s.seal("example.org", "mail.example.org", m) != m {
		t.Error("a set too many")
	}
}

// TestAChainOfWhichAKeyIsNotFoundIsNotSealed has the DNS fail for the newest
// signature's key, and for an older seal's.
func TestAChainOfWhichAKeyIsNotFoundIsNotSealed(t *testing.T) {
	for _, domain := range []string{"hop1.example", "hop2.example"} {
		t.Run(domain, func(t *testing.T) {
			s := newSite(t)
			m := hops(s, 2)
			s.signing("hop3.example")
			name := keyName("k1-rsa", domain)
			record := s.dns[name]
			s.dns[name] = nil // the DNS does not answer
			if got := s.chain(m); got.Status != ChainFail || !got.Unknown || got.Ended {
				t.Errorf("%+v, want it failed for now", got)
			}
			if s.seal("hop3.example", "mail.hop3.example", m) != m {
				t.Error("it was sealed as failed for good")
			}
			s.dns[name] = record
			if got, want := s.chain(s.seal("hop3.example", "mail.hop3.example", m)), (Chain{Status: ChainPass, Sets: 3}); got != want {
				t.Errorf("when the DNS answers again: %+v, want %+v", got, want)
			}
			delete(s.dns, name) // it answers that there is none
			if got := s.chain(m); got.Status != ChainFail || got.Unknown {
				t.Errorf("%+v, want it failed for good", got)
			}
		})
	}
}

// A zone that answers late, or never, holds up nobody for long.
func TestKeysAreLookedUpForAShortTime(t *testing.T) {
	for _, sets := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			m := hops(s, sets)
			s.signing("last.example")
			for i := range maxSignatures {
				m = s.sign("example.org", m)
				m = strings.Replace(m, "d=example.org", fmt.Sprintf("d=slow%d.example", i), 1)
			}
			v := s.verifier()
			v.TXT = func(ctx context.Context, name string) ([]string, error) {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(15 * time.Second):
					return s.dns.txt(ctx, name)
				}
			}
			begun := time.Now()
			fields, err := NewSealer(s.keys, v, "mail.last.example", Settings{Now: s.clock()}).
				Seal(t.Context(), "last.example", Forward{Stored: strings.NewReader(m)})
			if took := time.Since(begun); err != nil || took > maxLookups {
				t.Errorf("%d sets: it took %v, %v", sets, took, err)
			}
			if sealed := len(fields) > 0; sealed != (sets == 0) {
				t.Errorf("%d sets: sealed is %t; only a chain of which all is known is continued", sets, sealed)
			}
		})
	}
}

func TestNothingIsSealedWithoutAKey(t *testing.T) {
	s := newSite(t)
	if got := s.seal("example.org", "mail.example.org", letter); got != letter {
		t.Errorf("sealed:\n%s", got)
	}
}

// TestResultsCanNotBreakALine holds what a message may bring into our fields.
func TestResultsCanNotBreakALine(t *testing.T) {
	text := report("mail.example.org", []authres.Result{
		&authres.SPFResult{Value: "fail", From: "a\r\nX-Evil: 1\x00@example.com", Reason: "no\nway"},
		&authres.ARCResult{Value: "pass", RemoteIP: "192.0.2.1"},
	})
	if strings.ContainsAny(text, "\r\n\x00") {
		t.Errorf("%q", text)
	}
	if !strings.Contains(text, "arc=pass smtp.remote-ip=192.0.2.1") {
		t.Errorf("%q", text)
	}
}
