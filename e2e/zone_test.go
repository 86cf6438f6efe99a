//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// block is a part of loopback that nobody else is likely to use, so that a test may
// have hosts of its own with the ports that the standards name.
type block struct{ prefix string }

func newBlock() block {
	return block{fmt.Sprintf("127.%d.%d.", 64+rand.IntN(128), rand.IntN(256))}
}

// host returns an address.
func (b block) host(n int) string { return fmt.Sprintf("%s%d", b.prefix, n) }

// reverse is the zone with the names of the addresses.
func (b block) reverse() string {
	f := strings.Split(b.prefix, ".")
	return f[2] + "." + f[1] + ".127.in-addr.arpa."
}

// names is a DNS of the test's own: NSD serves the zone test, signed, and the names
// of a block; Unbound asks it and validates.
type names struct {
	resolver string // Unbound's address and port
}

// zoneHead begins a zone.
const zoneHead = "$ORIGIN {zone}\n$TTL 300\n@ IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n@ IN NS ns.test.\n"

// serveNames signs zone, whose names are below test, and serves it. After it was
// signed, the words of forged are replaced.
func serveNames(t *testing.T, b block, zone, reverse string, forged *strings.Replacer) *names {
	t.Helper()
	dir := openDir(t)
	text := strings.Replace(zoneHead, "{zone}", "test.", 1) + "ns IN A " + b.host(53) + "\n" + zone
	put(t, dir, "test.zone", text)
	put(t, dir, "reverse.zone", strings.Replace(zoneHead, "{zone}", b.reverse(), 1)+reverse)
	key := strings.TrimSpace(run(t, "", "sh", "-c", "cd "+dir+" && ldns-keygen -k -a ECDSAP256SHA256 test"))
	signed := filepath.Join(dir, "test.signed")
	run(t, "", "ldns-signzone", "-o", "test.", "-f", signed, filepath.Join(dir, "test.zone"), filepath.Join(dir, key))
	if forged != nil {
		before := read(t, signed)
		after := forged.Replace(before)
		if after == before {
			t.Fatalf("nothing was forged in\n%s", before)
		}
		if err := os.WriteFile(signed, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	nsd := launch(t, "nsd", "-d", "-c", put(t, dir, "nsd.conf", strings.NewReplacer("DIR", dir, "HOST", b.host(53), "REVERSE", b.reverse()).Replace(nsdConf)))
	nsd.answers(b.host(53)+":53", nsd.log.String)
	unbound := launch(t, "unbound", "-d", "-c", put(t, dir, "unbound.conf",
		strings.NewReplacer("DIR", dir, "HOST", b.host(54), "NSD", b.host(53), "REVERSE", b.reverse(), "KEY", key).Replace(unboundConf)))
	unbound.answers(b.host(54)+":53", unbound.log.String)
	return &names{resolver: b.host(54) + ":53"}
}

const nsdConf = `
server:
  ip-address: HOST
  username: ""
  zonesdir: "DIR"
  database: ""
  pidfile: "DIR/nsd.pid"
  xfrdfile: "DIR/xfrd.state"
  xfrdir: "DIR"
  zonelistfile: "DIR/zone.list"
remote-control:
  control-enable: no
zone:
  name: "test."
  zonefile: "DIR/test.signed"
zone:
  name: "REVERSE"
  zonefile: "DIR/reverse.zone"
`

const unboundConf = `
server:
  interface: HOST
  access-control: 127.0.0.0/8 allow
  username: ""
  chroot: ""
  directory: "DIR"
  pidfile: "DIR/unbound.pid"
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor-file: "DIR/KEY.key"
  local-zone: "test." nodefault
  local-zone: "127.in-addr.arpa." nodefault
  val-log-level: 2
remote-control:
  control-enable: no
stub-zone:
  name: "test."
  stub-addr: NSD
stub-zone:
  name: "REVERSE"
  stub-addr: NSD
`

// config makes a server believe the resolver and go where it says.
func (n *names) config() string {
	return fmt.Sprintf("allow_private = true\n\n[dns]\nservers = [%q]\ndnssec = true\n", n.resolver)
}
