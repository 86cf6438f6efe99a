package tlspolicy_test

import (
	"testing"

	"postrider/internal/resolver"
	"postrider/internal/tlspolicy"
)

func TestWithoutAPolicyTLSIsUsedIfItCanBeHad(t *testing.T) {
	h := newHouse(t, baseZone, nil)
	host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
	if host.Kind != tlspolicy.KindOpportunistic || host.MustTLS || host.Verified || host.Skip != "" {
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

func TestNothingIsLookedUpAboutAnAddress(t *testing.T) {
	h := newHouse(t, baseZone, nil)
	for _, name := range []string{"[192.0.2.1]", "192.0.2.1", "[IPv6:2001:db8::1]", "2001:db8::1"} {
		d, err := h.Domain(t.Context(), name, authenticMX(name))
		if err != nil {
			t.Fatal(err)
		}
		host, err := d.Host(t.Context(), name, resolver.Addresses{Canonical: name, Authentic: true}, 25)
		if asked := h.zone.Asked(); err != nil || host.Kind != tlspolicy.KindOpportunistic || len(asked) != 0 {
			t.Errorf("%s: got %+v, %v after the questions %v", name, host, err, asked)
		}
	}
}
