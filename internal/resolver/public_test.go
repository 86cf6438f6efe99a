package resolver_test

import (
	"net/netip"
	"testing"

	"postrider/internal/resolver"
)

func TestOnlyAddressesOfTheInternetArePublic(t *testing.T) {
	for text, want := range map[string]bool{
		"203.0.114.1": true, "8.8.8.8": true, "2606:4700::1": true, "::ffff:203.0.114.1": true,
		"64:ff9b::203.0.114.1": true, "2002:cb00:7201::1": true,

		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false,
		"0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false, "192.0.0.8": false, "198.18.0.1": false,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false,
		"fe80::1": false, "fe80::1%lo": false, "fc00::1": false, "fec0::1": false, "ff02::1": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::169.254.169.254": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::1": false,
		"2002:7f00:1::1": false, "2002:a00:1::1": false, "2002:c0a8:1::": false,
	} {
		if got := resolver.IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
	if resolver.IsPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}
