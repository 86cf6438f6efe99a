package tlspolicy_test

import (
	"testing"

	"postrider/internal/tlspolicy"
)

func TestWithoutAPolicyTLSIsUsedIfItCanBeHad(t *testing.T) {
	h := newHouse(t, baseZone, nil)
	host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
	if host.Kind != tlspolicy.KindOpportunistic || host.MustTLS || !host.Fallback || host.Verified || host.Skip != "" {
		t.Errorf("got %+v", host)
	}
	state, err := shake(t, host.Config, newAuthority(t).issue(t, expired, "other.test"))
	if err != nil {
		t.Fatalf("a bad certificate: %v, want it taken", err)
	}
	if err := host.Assess(state); tlspolicy.Classify(err) != tlspolicy.FailureExpired && tlspolicy.Classify(err) != tlspolicy.FailureUntrusted {
		t.Errorf("assessed as %v, want it noted", err)
	}
	state, err = shake(t, host.Config, h.ca.issue(t, nil, "mx1.example.test"))
	if err != nil || host.Assess(state) != nil {
		t.Errorf("a good certificate: %v, %v", err, host.Assess(state))
	}
}

func TestWhatTheOperatorSetsHolds(t *testing.T) {
	stranger := newAuthority(t)
	for _, c := range []struct {
		name     string
		setting  tlspolicy.Setting
		must     bool
		fallback bool
		never    bool
		verified bool
		good     []string // names of certificates that will do
		bad      []string
	}{
		{name: "may", setting: tlspolicy.Setting{Level: tlspolicy.May}, fallback: true, good: []string{"other.test"}},
		{name: "encrypt", setting: tlspolicy.Setting{Level: tlspolicy.Encrypt}, must: true, good: []string{"other.test"}},
		{name: "never", setting: tlspolicy.Setting{Level: tlspolicy.Never}, never: true},
		{
			name: "verify", setting: tlspolicy.Setting{Level: tlspolicy.Verify}, must: true, verified: true,
			good: []string{"mx1.example.test", "example.test", "any.example.test", "*.example.test"}, bad: []string{"other.test", "badexample.test"},
		},
		{
			name: "verify a name", setting: tlspolicy.Setting{Level: tlspolicy.Verify, Names: []string{"relay.test", ".relays.test"}}, must: true, verified: true,
			good: []string{"relay.test", "a.relays.test"}, bad: []string{"mx1.example.test", "relays.test"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, baseZone+"_25._tcp.mx1 TLSA 3 1 1 "+zeros+"\n", func(o *tlspolicy.Options) {
				o.Setting = func(string) tlspolicy.Setting { return c.setting }
			})
			host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
			if host.MustTLS != c.must || host.Fallback != c.fallback || host.NeverTLS != c.never || host.Verified != c.verified || host.Kind != tlspolicy.KindSetting {
				t.Errorf("got %+v", host)
			}
			for _, name := range c.good {
				if _, err := shake(t, host.Config, h.ca.issue(t, nil, name)); err != nil {
					t.Errorf("certificate for %s: %v, want it taken", name, err)
				}
			}
			for _, name := range c.bad {
				if _, err := shake(t, host.Config, h.ca.issue(t, nil, name)); tlspolicy.Classify(err) != tlspolicy.FailureHostname {
					t.Errorf("certificate for %s: got %v, want a mismatch", name, err)
				}
			}
			if !c.verified {
				return
			}
			if _, err := shake(t, host.Config, stranger.issue(t, nil, c.good[0])); tlspolicy.Classify(err) != tlspolicy.FailureUntrusted {
				t.Errorf("certificate of a stranger: got %v", err)
			}
			if _, err := shake(t, host.Config, h.ca.issue(t, expired, c.good[0])); tlspolicy.Classify(err) != tlspolicy.FailureExpired {
				t.Errorf("certificate that has expired: got %v", err)
			}
		})
	}
}

func TestTheHostsNameProvesNothingIfAnybodyCouldHaveSaidIt(t *testing.T) {
	h := newHouse(t, baseZone, func(o *tlspolicy.Options) {
		o.Setting = func(string) tlspolicy.Setting { return tlspolicy.Setting{Level: tlspolicy.Verify} }
	})
	cert := h.ca.issue(t, nil, "mx2.other.test")
	host := h.host(t, h.domain(t, "example.test"), "mx2.other.test")
	if _, err := shake(t, host.Config, cert); err != nil {
		t.Errorf("authentic MX: %v", err)
	}
	h.zone.Secure("example.test")
	fresh := h.zone.Resolver(t)
	mx, err := fresh.MX(t.Context(), "example.test")
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Domain(t.Context(), "example.test", mx)
	if err != nil {
		t.Fatal(err)
	}
	host = h.host(t, d, "mx2.other.test")
	if _, err := shake(t, host.Config, cert); tlspolicy.Classify(err) != tlspolicy.FailureHostname {
		t.Errorf("MX that is not authentic: got %v, want a mismatch", err)
	}
}

func TestAnAddressLiteralHasNoPolicy(t *testing.T) {
	h := newHouse(t, baseZone, nil)
	d, err := h.Domain(t.Context(), "[192.0.2.1]", authenticMX("[192.0.2.1]"))
	if err != nil {
		t.Fatal(err)
	}
	host, err := d.Host(t.Context(), "[192.0.2.1]", noAddresses(), 25)
	if err != nil || host.Kind != tlspolicy.KindOpportunistic || len(h.zone.Asked()) != 0 {
		t.Errorf("got %+v, %v", host, err)
	}
}
