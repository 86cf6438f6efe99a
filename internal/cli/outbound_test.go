package cli

import (
	"net/netip"
	"testing"
)

func TestTheServerKnowsItselfByItsListenersAndByWhatIsPublished(t *testing.T) {
	e, listeners := newTestEngine(t)
	defer closeAll(listeners)
	e.cfg.Publish.Addresses = []string{"192.0.2.25"}
	e.noteListening(listeners)
	here := netip.MustParseAddrPort(listeners[0].socket.Addr().String())
	for at, want := range map[netip.AddrPort]bool{
		here: true,
		netip.AddrPortFrom(here.Addr(), here.Port()^1):    false, // another server on this machine
		netip.MustParseAddrPort("192.0.2.25:25"):          true,
		netip.MustParseAddrPort("[::ffff:192.0.2.25]:25"): true,
		netip.MustParseAddrPort("192.0.2.25:2525"):        false, // an address of several machines behind it
		netip.MustParseAddrPort("192.0.2.26:25"):          false,
	} {
		if got := e.isSelf(at); got != want {
			t.Errorf("%s: got %v, want %v", at, got, want)
		}
	}
}
