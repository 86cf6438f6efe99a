package tlspolicy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/tlspolicy"
)

func TestAnEnforcedPolicyWantsAListedHostWithACertificate(t *testing.T) {
	h, _ := newSTSHouse(t, enforce, nil)
	d := h.domain(t, "example.test")
	host := h.host(t, d, "mx1.example.test")
	if host.Kind != tlspolicy.KindSTS || !host.MustTLS || !host.Verified || host.Skip != "" {
		t.Fatalf("got %+v", host)
	}
	for _, c := range []struct {
		name string
		cert tls.Certificate
		want tlspolicy.Failure
	}{
		{"good", h.ca.issue(t, nil, "mx1.example.test"), ""},
		{"wildcard", h.ca.issue(t, nil, "*.example.test"), ""},
		{"the domain's", h.ca.issue(t, nil, "example.test"), tlspolicy.FailureHostname},
		{"another's", h.ca.issue(t, nil, "mx2.other.test"), tlspolicy.FailureHostname},
		{"expired", h.ca.issue(t, expired, "mx1.example.test"), tlspolicy.FailureExpired},
		{"a stranger's", newAuthority(t).issue(t, nil, "mx1.example.test"), tlspolicy.FailureUntrusted},
	} {
		if _, err := shake(t, host.Config, c.cert); tlspolicy.Classify(err) != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if host := h.host(t, d, "mx2.other.test"); host.Skip == "" {
		t.Errorf("a host that is not listed: got %+v, want it skipped", host)
	}
	if host := h.host(t, d.Relaxed(), "mx2.other.test"); host.Skip != "" || host.MustTLS {
		t.Errorf("relaxed: got %+v, want it used", host)
	}
}

func TestAPolicyThatIsTestedIsNotEnforced(t *testing.T) {
	h, _ := newSTSHouse(t, testingPolicy, nil)
	d := h.domain(t, "example.test")
	for _, name := range []string{"mx1.example.test", "mx2.other.test"} {
		host := h.host(t, d, name)
		if host.Kind != tlspolicy.KindSTSTesting || host.MustTLS || host.Skip != "" || host.Verified {
			t.Errorf("%s: got %+v", name, host)
		}
		if _, err := shake(t, host.Config, newAuthority(t).issue(t, expired, "other.test")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPolicyOfModeNoneIsNone(t *testing.T) {
	h, _ := newSTSHouse(t, "version: STSv1\nmode: none\nmax_age: 100\n", nil)
	if host := h.host(t, h.domain(t, "example.test"), "mx1.example.test"); host.Kind != tlspolicy.KindOpportunistic {
		t.Errorf("got %+v", host)
	}
}

func TestDANEWinsOverMTASTS(t *testing.T) {
	h, _ := newSTSHouse(t, strings.ReplaceAll(enforce, "mx1", "mx9"), nil)
	cert := newAuthority(t).issue(t, nil, "any.test")
	h.zone.Set(t, stsZone+"_25._tcp.mx1 "+tlsa(3, 1, 1, cert.Leaf)+"\n")
	host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
	if host.Kind != tlspolicy.KindDANE || host.Skip != "" {
		t.Fatalf("got %+v", host)
	}
	if _, err := shake(t, host.Config, cert); err != nil {
		t.Error(err)
	}
}

// evilWebs are servers from which no policy comes.
func evilWebs(t *testing.T, h *house) map[string]struct {
	cert    tls.Certificate
	handler http.HandlerFunc
	want    tlspolicy.Failure
} {
	t.Helper()
	type evil = struct {
		cert    tls.Certificate
		handler http.HandlerFunc
		want    tlspolicy.Failure
	}
	good := h.ca.issue(t, nil, "mta-sts.example.test")
	other := func(kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, enforce)
		}
	}
	return map[string]evil{
		"redirects": {good, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				policy(enforce)(w, r)
				return
			}
			http.Redirect(w, r, "/", http.StatusFound)
		}, tlspolicy.FailureFetch},
		"is huge": {good, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, enforce)
			for {
				if _, err := io.WriteString(w, "x: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, tlspolicy.FailureFetch},
		"is HTML":      {good, other("text/html"), tlspolicy.FailureFetch},
		"has no type":  {good, other(""), tlspolicy.FailureFetch},
		"is not there": {good, http.NotFound, tlspolicy.FailureFetch},
		"fails":        {good, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, tlspolicy.FailureFetch},
		"is slow":      {good, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, tlspolicy.FailureFetch},
		"trickles": {good, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
			panic(http.ErrAbortHandler) // no end
		}, tlspolicy.FailureFetch},
		"is broken":                 {good, policy("version: STSv1\nmode: enforce\n"), tlspolicy.FailurePolicy},
		"has another's certificate": {h.ca.issue(t, nil, "www.example.test", "example.test"), policy(enforce), tlspolicy.FailurePolicyHost},
		"has expired":               {h.ca.issue(t, expired, "mta-sts.example.test"), policy(enforce), tlspolicy.FailurePolicyHost},
		"is a stranger's":           {newAuthority(t).issue(t, nil, "mta-sts.example.test"), policy(enforce), tlspolicy.FailurePolicyHost},
	}
}

func TestNoPolicyComesFromAnEvilWebServer(t *testing.T) {
	names := evilWebs(t, newHouse(t, baseZone, nil))
	for name := range names {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, w := newSTSHouse(t, enforce, reporting(nil))
				evil := evilWebs(t, h)[name]
				w.set(evil.cert, evil.handler)
				host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
				if host.Kind != tlspolicy.KindOpportunistic {
					t.Errorf("got %+v, want no policy", host)
				}
				if got := h.kept(t, "example.test"); !strings.Contains(got, `"result-type":"`+string(evil.want)+`"`) {
					t.Errorf("reported %s, want %s", got, evil.want)
				}
			})
		})
	}
}

func TestAPolicyInForceStaysWhenTheWebServerTurnsEvil(t *testing.T) {
	names := evilWebs(t, newHouse(t, baseZone, nil))
	for name := range names {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, w := newSTSHouse(t, enforce, nil)
				h.domain(t, "example.test")
				evil := evilWebs(t, h)[name]
				w.set(evil.cert, evil.handler)
				h.zone.Set(t, strings.ReplaceAll(stsZone, "id=1", "id=2"))
				time.Sleep(time.Hour)
				host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
				if host.Kind != tlspolicy.KindSTS || w.count() < 1 {
					t.Errorf("got %+v after %d requests, want the old policy", host, w.count())
				}
			})
		})
	}
}

func TestAPolicyIsFetchedWhenItIsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newSTSHouse(t, enforce, nil)
		kind := func() tlspolicy.Kind { return h.host(t, h.domain(t, "example.test"), "mx1.example.test").Kind }
		step := func(what string, after time.Duration, want tlspolicy.Kind, hits int) {
			t.Helper()
			time.Sleep(after)
			if got := kind(); got != want || w.count() != hits {
				t.Errorf("%s: got %s after %d requests, want %s after %d", what, got, w.count(), want, hits)
			}
		}
		step("at first", 0, tlspolicy.KindSTS, 1)
		step("while it is fresh", 23*time.Hour, tlspolicy.KindSTS, 1)
		step("after a day", time.Hour, tlspolicy.KindSTS, 2)

		h.Policies = tlspolicy.New(h.options)
		step("after a restart", time.Hour, tlspolicy.KindSTS, 2)

		h.zone.Set(t, strings.ReplaceAll(stsZone, "id=1", "id=2"))
		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), policy(testingPolicy))
		step("with another id", time.Hour, tlspolicy.KindSTSTesting, 3)

		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), policy(enforce))
		h.zone.Set(t, strings.ReplaceAll(stsZone, "id=1", "id=3"))
		step("with another", time.Hour, tlspolicy.KindSTS, 4)

		h.zone.Set(t, baseZone)
		step("without a TXT record", 25*time.Hour, tlspolicy.KindSTS, 4)
		step("until it ends", 143*time.Hour-time.Second, tlspolicy.KindSTS, 4)
		step("not after that", time.Second, tlspolicy.KindOpportunistic, 4)
	})
}

func TestAFetchThatFailedIsNotRepeatedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newSTSHouse(t, enforce, nil)
		w.setDown(true)
		for range 10 {
			h.domain(t, "example.test")
		}
		if n := len(w.dialed); n != 1 {
			t.Errorf("dialed %d times, want once", n)
		}
		w.setDown(false)
		time.Sleep(5 * time.Minute)
		if host := h.host(t, h.domain(t, "example.test"), "mx1.example.test"); host.Kind != tlspolicy.KindSTS {
			t.Errorf("five minutes later: got %+v", host)
		}
	})
}

func TestThoseWhoWaitForAPolicyShareAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newSTSHouse(t, enforce, nil)
		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), slowly)
		done := make(chan error)
		for range 20 {
			go func() {
				mx, err := h.resolve.MX(t.Context(), "example.test")
				if err == nil {
					_, err = h.Domain(t.Context(), "example.test", mx)
				}
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if w.count() != 1 {
			t.Errorf("fetched %d times, want once", w.count())
		}
	})
}

// afterwards is a store that somebody has closed.
type afterwards struct {
	store.Records
	t      *testing.T
	closed atomic.Bool
}

func (a *afterwards) PutRecord(ctx context.Context, r store.Record) error {
	if a.closed.Load() {
		a.t.Errorf("%s was written after the end", r.Key)
	}
	return a.Records.PutRecord(ctx, r)
}

// slowly answers with the policy after a second.
func slowly(rw http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Second)
	policy(enforce)(rw, r)
}

func TestAFetchDoesNotOutliveItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := &afterwards{t: t}
		h, w := newSTSHouse(t, enforce, func(o *tlspolicy.Options) {
			records.Records, o.Records = o.Records, records
		})
		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), slowly)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := h.Domain(ctx, "example.test", authenticMX("mx1.example.test")); !fault.Is(err, fault.Transient) {
			t.Errorf("got %v, want a fault of kind transient", err)
		}
		records.closed.Store(true)
		time.Sleep(time.Minute)
		records.closed.Store(false)
		if host := h.host(t, h.domain(t, "example.test"), "mx1.example.test"); host.Kind != tlspolicy.KindSTS {
			t.Errorf("the next caller: got %+v; who gave up has no failure to remember", host)
		}
	})
}

func TestNobodySendsUsToAddressesOfOurOwn(t *testing.T) {
	for _, a := range []string{"A 127.0.0.1", "A 10.0.0.1", "A 192.168.1.1", "A 169.254.1.1", "AAAA ::1", "AAAA fe80::1", "AAAA fc00::1", "AAAA ::ffff:127.0.0.1", "A 0.0.0.0", "A 224.0.0.1"} {
		t.Run(a, func(t *testing.T) {
			h, w := newSTSHouse(t, enforce, func(o *tlspolicy.Options) { o.AllowAddress = nil })
			h.zone.Set(t, strings.ReplaceAll(stsZone, "mta-sts       A 192.0.2.80", "mta-sts "+a))
			h.domain(t, "example.test")
			if len(w.dialed) != 0 {
				t.Errorf("went to %v", w.dialed)
			}
		})
	}
}

func TestADomainOfWhichTheStoreCanSayNothingWaits(t *testing.T) {
	h, _ := newSTSHouse(t, enforce, func(o *tlspolicy.Options) { o.Records = failing{} })
	mx, err := h.resolve.MX(t.Context(), "example.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Domain(t.Context(), "example.test", mx); !fault.Is(err, fault.Transient) {
		t.Errorf("got %v, want a fault of kind transient", err)
	}
}

type failing struct{ store.Records }

func (failing) Record(context.Context, string) (store.Record, error) {
	return store.Record{}, errors.New("broken disk")
}

func TestAPolicyOverTCP(t *testing.T) {
	ca := newAuthority(t)
	s := httptest.NewUnstartedServer(policy(enforce))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil, "mta-sts.example.test")}}
	s.StartTLS()
	defer s.Close()
	h := newHouse(t, stsZone, func(o *tlspolicy.Options) {
		o.Roots = ca.pool()
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "192.0.2.80:443" {
				return nil, fmt.Errorf("went to %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}
	})
	if host := h.host(t, h.domain(t, "example.test"), "mx1.example.test"); host.Kind != tlspolicy.KindSTS {
		t.Errorf("got %+v", host)
	}
}

func TestOnlyOneRecordThatIsWholeMakesAPolicy(t *testing.T) {
	for _, c := range []struct {
		name, records string
		want          bool
	}{
		{"one", `_mta-sts TXT "v=STSv1; id=1;"`, true},
		{"no final semicolon", `_mta-sts TXT "v=STSv1; id=1"`, true},
		{"spaces and further fields", `_mta-sts TXT "v=STSv1 ; id=1"` + "\n" + `_mta-sts TXT "v=STSv1;x=y;	id=abc; "`, true},
		{"in pieces", `_mta-sts TXT "v=ST" "Sv1; id=1;"`, true},
		{"beside others", `_mta-sts TXT "hello"` + "\n" + `_mta-sts TXT "v=STSv1; id=1;"`, true},
		{"by an alias", `_mta-sts CNAME sts.other.test.` + "\n" + `sts.other.test. TXT "v=STSv1; id=1;"`, true},
		{"two", `_mta-sts TXT "v=STSv1; id=1;"` + "\n" + `_mta-sts TXT "v=STSv1; id=2;"`, false},
		{"no id", `_mta-sts TXT "v=STSv1;"`, false},
		{"an id that is none", `_mta-sts TXT "v=STSv1; id=a-b;"`, false},
		{"an id too long", `_mta-sts TXT "v=STSv1; id=` + strings.Repeat("a", 33) + `;"`, false},
		{"another version", `_mta-sts TXT "v=STSv2; id=1;"`, false},
		{"the version second", `_mta-sts TXT "id=1; v=STSv1;"`, false},
		{"none", ``, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, w := newSTSHouse(t, enforce, nil)
			h.zone.Set(t, baseZone+"mta-sts A 192.0.2.80\n"+c.records+"\n")
			h.domain(t, "example.test")
			if got := w.count() == 1; got != c.want {
				t.Errorf("policy fetched: %v, want %v", got, c.want)
			}
		})
	}
}
