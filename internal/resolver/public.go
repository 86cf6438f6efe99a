package resolver

import "net/netip"

// IsPublic reports whether an address is one of the Internet's. A name in the DNS is
// anybody's to give, so that where it leads to another address it could make the
// server talk to this machine, or to what only machines near it can reach (RFC 6890).
// What carries an IPv4 address through IPv6 is as public as that.
func IsPublic(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	for _, t := range translated {
		if t.prefix.Contains(ip) {
			b := ip.As16()
			return IsPublic(netip.AddrFrom4([4]byte(b[t.at:])))
		}
	}
	return true
}

// special are networks that the methods of netip.Addr don't know of.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network (RFC 1122 §3.2.1.3)
	netip.MustParsePrefix("100.64.0.0/10"),  // between providers and their customers (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),   // for protocols (RFC 6890)
	netip.MustParsePrefix("198.18.0.0/15"),  // for measurements (RFC 2544)
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved (RFC 1112 §4)
	netip.MustParsePrefix("::/96"),          // IPv4 in IPv6 as it once was (RFC 4291 §2.5.5.1)
	netip.MustParsePrefix("64:ff9b:1::/48"), // a site's own translation to IPv4 (RFC 8215)
	netip.MustParsePrefix("fec0::/10"),      // a site's own, as it once was (RFC 3879)
}

// translated are networks whose addresses lead to an IPv4 address that stands in
// them from an octet on.
var translated = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64 (RFC 6052 §2.1)
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4 (RFC 3056 §2)
}
