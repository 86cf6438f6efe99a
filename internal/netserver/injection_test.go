package netserver

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

const injected = "echo injected\r\n"

// sendCut sends in pieces that end at the cuts, each read before the next is
// sent. What the server says meanwhile is not read: nobody may have to.
func (c *client) sendCut(in string, cuts ...int) {
	from := 0
	for _, to := range append(cuts, len(in)) {
		c.send(in[from:to])
		synctest.Wait()
		from = to
	}
}

// TestPlaintextBehindStartTLSIsNeverACommand sends a command for TLS and another
// behind it, in up to three packets cut anywhere (CVE-2011-0411). What comes with
// the first command's end is thrown away and logged, and the handshake succeeds;
// what comes later makes it fail.
func TestPlaintextBehindStartTLSIsNeverACommand(t *testing.T) {
	server, good := ends(t)
	const command = "tls\r\n"
	in := command + injected
	for _, teach := range []bool{false, true} {
		for i := 0; i <= len(in); i++ {
			for j := i; j <= len(in); j++ {
				// The packet that ends the command, and what is left for the next.
				end := len(in)
				for _, cut := range []int{j, i} {
					if cut >= len(command) {
						end = cut
					}
				}
				dropped, late := end-len(command), len(in)-end
				t.Run(fmt.Sprintf("teach=%t/%d,%d", teach, i, j), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := upgrading(server)
						l.Teach = teach
						w := newWorld(t, Options{}, l)
						defer w.stop()
						c := w.dialMute("192.0.2.9:1000")
						in := pump(c.nc)
						c.nc = in
						c.sendCut(command+injected, i, j)
						c.read("hi\r\ngo ahead\r\n")
						over := tls.Client(in, good)
						err := over.Handshake()
						if (err == nil) != (late == 0) {
							t.Fatalf("%d octets late: handshake got %v", late, err)
						}
						if err == nil {
							c.nc = over
							go c.readAll()
							c.send("echo a\r\n")
							c.expect("a\r\n")
						}
						c.nc.Close()
						synctest.Wait()
						want := fmt.Sprintf("level=WARN msg=%q", "plaintext behind the command for TLS thrown away")
						log := w.log.String()
						if got := strings.Contains(log, want); got != (dropped > 0) {
							t.Errorf("%d octets dropped, logged %t: %s", dropped, got, log)
						}
						if want := fmt.Sprintf("octets=%d\n", dropped); dropped > 0 && !strings.Contains(log, want) {
							t.Errorf("log lacks %q: %s", want, log)
						}
						if got := valueOf(t, w.srv.metrics.discards.WithLabelValues("test")); (got == 1) != (dropped > 0) {
							t.Errorf("counted %v", got)
						}
						if strings.Contains(log, "injected") {
							t.Errorf("log has what was thrown away: %s", log)
						}
					})
				})
			}
		}
	}
}

func TestPlaintextFloodBehindStartTLSIsNoCommand(t *testing.T) {
	server, good := ends(t)
	for _, size := range []int{smallSize - 5, smallSize - 4, 3 * smallSize, 1 << 16} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{}, upgrading(server))
			defer w.stop()
			c := w.dialMute("192.0.2.9:1000")
			in := pump(c.nc)
			c.nc = in
			flood := strings.Repeat(injected, size/len(injected)+1)[:size]
			go c.send("tls\r\n" + flood)
			c.read("hi\r\ngo ahead\r\n")
			synctest.Wait()
			err := tls.Client(in, good).Handshake()
			if want := size <= smallSize-len("tls\r\n"); (err == nil) != want {
				t.Errorf("flood of %d octets: handshake got %v, want success %t", size, err, want)
			}
			if n := w.rec.count("tls"); err != nil && n != 0 {
				t.Errorf("TLSReady came %d times, want never", n)
			}
			c.nc.Close()
		})
	}
}

// TestTelnetStateDoesNotOutliveThePlaintext ends the plaintext within a telnet
// command, which would swallow what is said over TLS.
func TestTelnetStateDoesNotOutliveThePlaintext(t *testing.T) {
	server, good := ends(t)
	synctest.Test(t, func(t *testing.T) {
		l := upgrading(server)
		l.Teach = true
		w := newWorld(t, Options{}, l)
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		c.askTLS("\xff")
		c.secure(good)
		c.send("echo a\r\n")
		c.expect("a\r\n")
	})
}
