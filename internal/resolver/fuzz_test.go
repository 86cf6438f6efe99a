package resolver_test

import (
	"context"
	"testing"

	"github.com/miekg/dns"

	"postrider/internal/mail"
	"postrider/internal/resolver"
)

func TestTextIsWhatTheRecordHolds(t *testing.T) {
	for in, want := range map[string]string{
		`x. TXT "a" "b c"`:             "ab c",
		`x. TXT "say \"hi\" \\ \; ok"`: `say "hi" \ ; ok`,
		`x. TXT "\009\000\255é"`:       "\t\x00\xffé",
		`x. TXT ""`:                    "",
	} {
		rr, err := dns.NewRR(in)
		if err != nil {
			t.Fatal(err)
		}
		m := new(dns.Msg)
		m.Answer = []dns.RR{rr}
		packed, err := m.Pack()
		if err == nil {
			err = m.Unpack(packed)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := resolver.Text(m.Answer[0]); !ok || got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	if _, ok := resolver.Text(new(dns.A)); ok {
		t.Error("an A record has a text")
	}
}

// raw is a server that answers with any message, as long as it fits the question.
type raw []byte

func (r raw) Exchange(_ context.Context, q *dns.Msg) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(r); err != nil {
		return nil, err
	}
	m.Response, m.Opcode, m.Question = true, dns.OpcodeQuery, q.Question
	return m, nil
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"a.test. 60 MX 1 mx.a.test.", "a.test. 60 CNAME b.test.", "b.test. 60 A 192.0.2.1", "_25._tcp.a.test. 60 TLSA 3 1 1 00", `a.test. 60 TXT "\000\"x"`} {
		rr, err := dns.NewRR(s)
		if err != nil {
			f.Fatal(err)
		}
		m := new(dns.Msg).SetQuestion("a.test.", dns.TypeA)
		m.Answer = []dns.RR{rr}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := resolver.New(resolver.Options{Transport: raw(b), Validating: true})
		if err != nil {
			t.Fatal(err)
		}
		if mx, err := r.MX(t.Context(), "a.test"); err == nil {
			for _, h := range mx.Hosts {
				if c, err := mail.ParseDomain(h.Name); err != nil || c != h.Name {
					t.Errorf("host %q", h.Name)
				}
			}
		}
		if a, err := r.Addresses(t.Context(), "a.test"); err == nil {
			if c, err := mail.ParseDomain(a.Canonical); err != nil || c != a.Canonical || len(a.IPv4)+len(a.IPv6) == 0 {
				t.Errorf("got %+v", a)
			}
		}
		_, _ = r.TLSA(t.Context(), 25, "a.test")
		rrs, _, _ := r.Lookup(t.Context(), "a.test", dns.TypeTXT)
		for _, rr := range rrs {
			resolver.Text(rr)
		}
	})
}
