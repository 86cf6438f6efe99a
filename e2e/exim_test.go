//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eximProgram is unpacked there by install.sh.
const eximProgram = "/opt/exim4/usr/sbin/exim4"

// exim is Debian's Exim with a configuration, queue and port of the test's own. It
// delivers mail for exim.test into a maildir.
type exim struct {
	*daemon
	dir string
}

const eximConf = `
primary_hostname = mx.exim.test
exim_path = ` + eximProgram + `
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/spool/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_certificate = {cert}
tls_privatekey = {key}
tls_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
chunking_advertise_hosts = *
log_selector = +received_recipients +smtp_connection +pipelining
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
deliver_drop_privilege
smtp_accept_max = 0
queue_run_max = 2
acl_smtp_rcpt = rcpt

begin acl
rcpt:
  deny recipients = refused@exim.test
       message = nobody of that name here
  accept

begin routers
gone:
  driver = redirect
  domains = exim.test
  local_parts = gone
  allow_fail
  data = :fail: has left for good
here:
  driver = accept
  domains = exim.test
  transport = inbox
away:
  driver = manualroute
  route_data = ${lookup{$domain}lsearch{{dir}/routes}}
  self = send
  transport = out

begin transports
inbox:
  driver = appendfile
  maildir_format
  directory = {dir}/mail/inbox
  delivery_date_add
  envelope_to_add
  return_path_add
out:
  driver = smtp

begin retry
* * F,1h,1s
`

// startExim starts Exim at an address. Mail for the domains of routes goes to their
// addresses.
func startExim(t *testing.T, address string, routes map[string]string) *exim {
	t.Helper()
	e := &exim{dir: openDir(t)}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"spool", "log", "mail"} {
		if err := os.Mkdir(filepath.Join(e.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hosts := ""
	for domain, to := range routes {
		hosts += fmt.Sprintf("%s: %s byname\n", domain, strings.Replace(to, ":", "::", 1))
	}
	put(t, e.dir, "routes", hosts)
	_, cert, key := newAuthority(t).issue(e.dir, "mx.exim.test")
	run(t, "", "chown", "-R", "Debian-exim:Debian-exim", e.dir)
	conf := put(t, openDir(t), "exim.conf", strings.NewReplacer("{dir}", e.dir, "{port}", port, "{cert}", cert, "{key}", key).Replace(eximConf))
	e.daemon = launch(t, eximProgram, "-C", conf, "-bdf", "-q1s")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Exim's log:\n%s", e.logged())
		}
	})
	e.answers(address, e.logged)
	return e
}

// logged returns the logs.
func (e *exim) logged() string {
	all := e.log.String()
	for _, name := range []string{"mainlog", "paniclog", "rejectlog"} {
		b, _ := os.ReadFile(filepath.Join(e.dir, "log", name))
		all += string(b)
	}
	return all
}

// mail returns the messages that were delivered, when there are so many.
func (e *exim) mail(t *testing.T, messages int) []string {
	t.Helper()
	return maildir(t, filepath.Join(e.dir, "mail/inbox"), messages, e.logged)
}

// routeTo makes the demo send mail for a domain to an address.
func routeTo(domain, address string) string {
	return fmt.Sprintf("\n[[route]]\nname = %q\ndomains = [%q]\nhosts = [%q]\n", domain, domain, address)
}
