package resolver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/resolver"
	"postrider/internal/resolver/zonetest"
)

const zone = `
$ORIGIN example.test.
@        SOA ns hostmaster 1 3600 600 86400 30
@        MX 10 mx1
@        MX 10 mx2
@        MX 20 mx3.other.test.
@        A 192.0.2.1
mx1      A 192.0.2.11
mx1      AAAA 2001:db8::11
mx2      A 192.0.2.12
mx1      TXT "x"
alias    CNAME example.test.
host     CNAME mx1
null     MX 0 .
mixed    MX 0 .
mixed    MX 5 mx1
implicit A 192.0.2.3
bad      MX 1 a\000b
bad      MX 1 spa\032ce
half     MX 1 a\013\010b
half     MX 2 MX1
twice    MX 1 mx1
twice    MX 5 mx1
loop1    CNAME loop2
loop2    CNAME loop1
c0       CNAME c1
c1       CNAME c2
c2       CNAME c3
c3       CNAME c4
c4       CNAME c5
c5       CNAME c6
c6       CNAME c7
c7       CNAME c8
c8       CNAME c9
c9       A 192.0.2.9
weird    CNAME a\000b
astray   CNAME nothing
_25._tcp.mx1 TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
empty.non.terminal TXT "x"
`

func lookups(t *testing.T) (*zonetest.Zone, *resolver.Resolver) {
	t.Helper()
	z := zonetest.New(t, zone)
	z.Secure()
	return z, z.Resolver(t)
}

func names(mx resolver.MX) string {
	var all []string
	for _, h := range mx.Hosts {
		all = append(all, fmt.Sprintf("%d %s", h.Preference, h.Name))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestMailExchangers(t *testing.T) {
	_, r := lookups(t)
	for _, c := range []struct {
		domain, hosts, canonical string
		implicit, null           bool
		kind                     fault.Kind
	}{
		{domain: "example.test", hosts: "10 mx1.example.test, 10 mx2.example.test, 20 mx3.other.test"},
		{domain: "EXAMPLE.test.", hosts: "10 mx1.example.test, 10 mx2.example.test, 20 mx3.other.test", canonical: "example.test"},
		{domain: "alias.example.test", hosts: "10 mx1.example.test, 10 mx2.example.test, 20 mx3.other.test", canonical: "example.test"},
		{domain: "null.example.test", null: true},
		{domain: "mixed.example.test", hosts: "5 mx1.example.test"},
		{domain: "half.example.test", hosts: "2 mx1.example.test"},
		{domain: "twice.example.test", hosts: "1 mx1.example.test"},
		{domain: "implicit.example.test", hosts: "0 implicit.example.test", implicit: true},
		{domain: "host.example.test", hosts: "0 host.example.test", canonical: "mx1.example.test", implicit: true},
		{domain: "non.terminal.example.test", hosts: "0 non.terminal.example.test", implicit: true},
		{domain: "bad.example.test", kind: fault.Transient},
		{domain: "loop1.example.test", kind: fault.Transient},
		{domain: "weird.example.test", kind: fault.Transient},
		{domain: "astray.example.test", kind: fault.NotFound},
		{domain: "missing.example.test", kind: fault.NotFound},
		{domain: "[192.0.2.1]", kind: fault.Invalid},
		{domain: "a b", kind: fault.Invalid},
		{domain: "", kind: fault.Invalid},
	} {
		t.Run(c.domain, func(t *testing.T) {
			mx, err := r.MX(t.Context(), c.domain)
			if c.kind != fault.Internal {
				if !fault.Is(err, c.kind) {
					t.Fatalf("got %v, want a fault of kind %v", err, c.kind)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.canonical == "" {
				c.canonical = c.domain
			}
			if names(mx) != c.hosts || mx.Implicit != c.implicit || mx.Null != c.null || mx.Domain != c.canonical || !mx.Authentic {
				t.Errorf("got %+v, want hosts %q, domain %s", mx, c.hosts, c.canonical)
			}
		})
	}
}

func TestExchangersOfOnePreferenceAreShuffled(t *testing.T) {
	_, r := lookups(t)
	first := map[string]bool{}
	for range 100 {
		mx, err := r.MX(t.Context(), "example.test")
		if err != nil {
			t.Fatal(err)
		}
		if mx.Hosts[2].Name != "mx3.other.test" {
			t.Fatalf("got %v, want the preference 20 last", mx.Hosts)
		}
		first[mx.Hosts[0].Name] = true
	}
	if len(first) != 2 {
		t.Errorf("got %v first in 100 times, want both", first)
	}
}

func TestAllExchangersAreTold(t *testing.T) {
	var text strings.Builder
	for i := range 80 {
		fmt.Fprintf(&text, "many.test. MX %d host%d.many.test.\n", i, i)
	}
	mx, err := zonetest.New(t, text.String()).Resolver(t).MX(t.Context(), "many.test")
	if err != nil || len(mx.Hosts) != 80 || mx.Hosts[79].Name != "host79.many.test" {
		t.Errorf("got %d hosts, %v, want all", len(mx.Hosts), err)
	}
}

func TestAddresses(t *testing.T) {
	z, r := lookups(t)
	z.Break("onlysix.example.test", dns.TypeA, zonetest.ServFail)
	z.Set(t, zone+"onlysix AAAA 2001:db8::6\nfour A 192.0.2.4\nnosix A 192.0.2.5\n")
	z.Break("four.example.test", dns.TypeAAAA, zonetest.ServFail)
	z.Break("gone.example.test", dns.TypeA, zonetest.ServFail)
	z.Break("gone.example.test", dns.TypeAAAA, zonetest.Refused)
	z.Break("unsure.example.test", dns.TypeAAAA, zonetest.ServFail)
	z.Break("garbage.example.test", dns.TypeANY, zonetest.Garbage)
	z.Break("noproof.example.test", dns.TypeANY, zonetest.NoProof)
	for _, c := range []struct {
		host, want string
		kind       fault.Kind
	}{
		{host: "mx1.example.test", want: "[2001:db8::11] [192.0.2.11] mx1.example.test"},
		{host: "host.example.test", want: "[2001:db8::11] [192.0.2.11] mx1.example.test"},
		{host: "mx2.example.test", want: "[] [192.0.2.12] mx2.example.test"},
		{host: "onlysix.example.test", want: "[2001:db8::6] [] onlysix.example.test"},
		{host: "four.example.test", want: "[] [192.0.2.4] four.example.test"},
		{host: "c3.example.test", want: "[] [192.0.2.9] c9.example.test"},
		{host: "c0.example.test", kind: fault.Transient}, // nine aliases
		{host: "loop2.example.test", kind: fault.Transient},
		{host: "gone.example.test", kind: fault.Transient},
		{host: "unsure.example.test", kind: fault.Transient},
		{host: "garbage.example.test", kind: fault.Transient},
		{host: "noproof.example.test", kind: fault.NotFound},
		{host: "null.example.test", kind: fault.NotFound},
		{host: "missing.example.test", kind: fault.NotFound},
	} {
		t.Run(c.host, func(t *testing.T) {
			a, err := r.Addresses(t.Context(), c.host)
			if c.kind != fault.Internal {
				if !fault.Is(err, c.kind) {
					t.Fatalf("got %v, %v, want a fault of kind %v", a, err, c.kind)
				}
				return
			}
			if got := fmt.Sprintf("%v %v %s", a.IPv6, a.IPv4, a.Canonical); err != nil || got != c.want || !a.Authentic {
				t.Errorf("got %s, authentic %v, %v, want %s", got, a.Authentic, err, c.want)
			}
		})
	}
}

func TestAnswersAreAuthenticOnlyAlongTheWholeChain(t *testing.T) {
	z, r := lookups(t)
	z.Secure("mx1.example.test")
	for host, want := range map[string]bool{
		"mx2.example.test": true, "mx1.example.test": false, "host.example.test": false,
	} {
		a, err := r.Addresses(t.Context(), host)
		if err != nil || a.Authentic != want {
			t.Errorf("%s: got authentic %v, %v, want %v", host, a.Authentic, err, want)
		}
	}
}

func TestNothingIsAuthenticUnlessTheConfigurationSaysSo(t *testing.T) {
	z, _ := lookups(t)
	r, err := resolver.New(resolver.Options{Transport: z})
	if err != nil {
		t.Fatal(err)
	}
	mx, err := r.MX(t.Context(), "example.test")
	if err != nil || mx.Authentic {
		t.Errorf("got %+v, %v, want an answer that is not authentic", mx, err)
	}
}

func TestTLSA(t *testing.T) {
	z, r := lookups(t)
	got, err := r.TLSA(t.Context(), 25, "mx1.example.test")
	if err != nil || !got.Authentic || len(got.Records) != 1 || got.Records[0].Usage != 3 || len(got.Records[0].Data) != 32 {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = r.TLSA(t.Context(), 25, "mx2.example.test")
	if err != nil || !got.Authentic || len(got.Records) != 0 {
		t.Errorf("none: got %+v, %v, want an authentic denial", got, err)
	}
	got, err = r.TLSA(t.Context(), 25, strings.Repeat("a.", 124)+"test")
	if err != nil || len(got.Records) != 0 {
		t.Errorf("name too long: got %+v, %v, want nothing", got, err)
	}
	z.Break("_25._tcp.mx3.example.test", dns.TypeTLSA, zonetest.ServFail)
	_, err = r.TLSA(t.Context(), 25, "mx3.example.test")
	if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("SERVFAIL: got %v, want it to be known for what it is", err)
	}
}

func TestAnswersAreKeptWhileTheyAreFresh(t *testing.T) {
	for _, c := range []struct {
		name string
		ttl  int
		ask  string
		want time.Duration // for which nobody asks again
	}{
		{"by the TTL", 20, "a.test", 20 * time.Second},
		{"five minutes at most", 86400, "a.test", 5 * time.Minute},
		{"by the least TTL of a chain", 100, "b.test", 10 * time.Second},
		{"not at all", 0, "a.test", 0},
		{"a minute at most for what is missing", 100, "c.test", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := zonetest.New(t, fmt.Sprintf("test. 900 SOA ns hostmaster 1 1 1 1 900\nb.test. 10 CNAME a.test.\na.test. %d A 192.0.2.1\n", c.ttl))
				r := z.Resolver(t)
				ask := func() int {
					_, _, err := r.Lookup(t.Context(), c.ask, dns.TypeA)
					if err != nil && c.ask != "c.test" {
						t.Fatal(err)
					}
					return len(z.Asked())
				}
				if ask() != 1 {
					t.Fatal("was not asked at first")
				}
				if c.want > 0 {
					time.Sleep(c.want - time.Nanosecond)
					if n := ask(); n != 0 {
						t.Errorf("was asked %d times again just before %v", n, c.want)
					}
					time.Sleep(time.Nanosecond)
				}
				if n := ask(); n != 1 {
					t.Errorf("was asked %d times after %v, want once", n, c.want)
				}
			})
		})
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "h%d.test. A 192.0.2.1\n", i)
	}
	z := zonetest.New(t, text.String())
	r, err := resolver.New(resolver.Options{Transport: z, CacheOctets: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i := range 500 {
			if _, _, err := r.Lookup(t.Context(), fmt.Sprintf("h%d.test", i), dns.TypeA); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(z.Asked()); n < 950 {
		t.Errorf("was asked %d times of 1000, want nearly all: 10,000 octets hold some forty answers", n)
	}
}

func TestTooManyQueriesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := zonetest.New(t, "b.test. A 192.0.2.1\n")
		z.Break("a.test", dns.TypeANY, zonetest.Timeout)
		r, err := resolver.New(resolver.Options{Transport: z, Concurrent: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { _, _, _ = r.Lookup(ctx, "a.test", dns.TypeA) }()
		synctest.Wait()
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		if _, _, err := r.Lookup(short, "b.test", dns.TypeA); !fault.Is(err, fault.Transient) {
			t.Errorf("got %v, want a wait that ends with the caller", err)
		}
		if _, _, err := r.Lookup(t.Context(), "b.test", dns.TypeA); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}
