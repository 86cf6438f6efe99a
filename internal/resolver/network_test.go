package resolver_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/resolver"
	"postrider/internal/resolver/zonetest"
)

func ask(t *testing.T, o resolver.Options) *resolver.Resolver {
	t.Helper()
	r, err := resolver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARealServerIsAsked(t *testing.T) {
	z := zonetest.New(t, zone)
	z.Secure()
	server := z.Serve(t)
	mx, err := ask(t, resolver.Options{Servers: []string{server}, Validating: true}).MX(t.Context(), "example.test")
	if err != nil || len(mx.Hosts) != 3 || !mx.Authentic {
		t.Errorf("got %+v, %v", mx, err)
	}
	mx, err = ask(t, resolver.Options{Servers: []string{server}}).MX(t.Context(), "example.test")
	if err != nil || len(mx.Hosts) != 3 || mx.Authentic {
		t.Errorf("without Validating: got %+v, %v", mx, err)
	}
}

func TestALongAnswerComesOverTCP(t *testing.T) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "many.test. MX %d host%d.a-long-name-for-a-host.many.test.\n", i, i)
	}
	z := zonetest.New(t, text.String())
	r := ask(t, resolver.Options{Servers: []string{z.Serve(t)}})
	rrs, _, err := r.Lookup(t.Context(), "many.test", dns.TypeMX)
	if err != nil || len(rrs) != 100 {
		t.Errorf("got %d records, %v, want all 100", len(rrs), err)
	}
	if asked := z.Asked(); len(asked) != 2 {
		t.Errorf("was asked %v, want UDP and then TCP", asked)
	}
}

func TestTheNextServerIsAskedWhenOneFails(t *testing.T) {
	for name, f := range map[string]zonetest.Fault{
		"SERVFAIL": zonetest.ServFail, "REFUSED": zonetest.Refused, "silence": zonetest.Timeout, "another question": zonetest.Garbage,
	} {
		t.Run(name, func(t *testing.T) {
			broken, good := zonetest.New(t, zone), zonetest.New(t, zone)
			broken.Break("mx2.example.test", dns.TypeANY, f)
			o := resolver.Options{Servers: []string{broken.Serve(t), good.Serve(t)}, Timeout: 400 * time.Millisecond}
			rrs, _, err := ask(t, o).Lookup(t.Context(), "mx2.example.test", dns.TypeA)
			if err != nil || len(rrs) != 1 {
				t.Errorf("got %v, %v", rrs, err)
			}
		})
	}
}

func TestAServerThatIsSilentIsTriedAgain(t *testing.T) {
	z := zonetest.New(t, zone)
	z.Break("mx2.example.test", dns.TypeANY, zonetest.Timeout)
	r := ask(t, resolver.Options{Servers: []string{z.Serve(t)}, Timeout: 250 * time.Millisecond, Tries: 3})
	_, _, err := r.Lookup(t.Context(), "mx2.example.test", dns.TypeA)
	if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("got %v, want a fault of kind transient that says it", err)
	}
	if asked := z.Asked(); len(asked) != 3 {
		t.Errorf("was asked %d times, want 3", len(asked))
	}
}

func TestAQueryEndsWithItsCaller(t *testing.T) {
	z := zonetest.New(t, zone)
	z.Break("mx2.example.test", dns.TypeANY, zonetest.Timeout)
	r := ask(t, resolver.Options{Servers: []string{z.Serve(t)}, Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := r.Lookup(ctx, "mx2.example.test", dns.TypeA); !fault.Is(err, fault.Transient) {
		t.Errorf("got %v, want a fault of kind transient", err)
	}
}

// A server that answers with another ID is an attacker who guesses.
func TestAnAnswerWithAnotherIDIsNotBelieved(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for {
			b := make([]byte, 2048)
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(b[:n]) != nil {
				return
			}
			m := new(dns.Msg).SetReply(q)
			m.Id++
			rr, _ := dns.NewRR("mx2.example.test. 60 A 192.0.2.66")
			m.Answer = []dns.RR{rr}
			if b, err = m.Pack(); err == nil {
				_, _ = conn.WriteTo(b, from)
			}
		}
	}()
	r := ask(t, resolver.Options{Servers: []string{conn.LocalAddr().String()}, Timeout: 100 * time.Millisecond, Tries: 1})
	if rrs, _, err := r.Lookup(t.Context(), "mx2.example.test", dns.TypeA); !fault.Is(err, fault.Transient) {
		t.Errorf("got %v, %v, want a fault of kind transient", rrs, err)
	}
}

func TestServersAreChecked(t *testing.T) {
	for _, c := range []struct {
		name string
		o    resolver.Options
	}{
		{"none", resolver.Options{}},
		{"a name", resolver.Options{Servers: []string{"localhost:53"}}},
		{"no port", resolver.Options{Servers: []string{"127.0.0.1"}}},
		{"validating and far away", resolver.Options{Servers: []string{"127.0.0.1:53", "192.0.2.1:53"}, Validating: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := resolver.New(c.o); !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v, want a fault of kind invalid", err)
			}
		})
	}
}

func TestServersOfTheSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("search x.test\nnameserver 127.0.0.1\nnameserver ::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := resolver.SystemServers(file)
	if want := []string{"127.0.0.1:53", "[::1]:53"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := resolver.SystemServers(file + "x"); !fault.Is(err, fault.Invalid) {
		t.Errorf("no file: got %v", err)
	}
}
