//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// postfix is Debian's Postfix with a configuration, queue and port of the test's
// own. It delivers mail for remote.test into a maildir.
type postfix struct {
	*daemon
	dir string
}

const postfixMain = `
compatibility_level = 3.6
queue_directory = DIR/spool
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = DIR/log
maillog_file_prefixes = /
myhostname = mx.remote.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
smtp_host_lookup = native
smtpd_peername_lookup = no
smtputf8_enable = yes
in_flow_delay = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
smtp_tls_security_level = may
smtpd_tls_security_level = may
virtual_mailbox_domains = remote.test
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = DIR/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_recipient_restrictions =
  check_recipient_access inline:{
    {refused@remote.test = 550 5.1.1 nobody of that name here}
    {later@remote.test = 450 4.2.0 come again later} }
  permit_mynetworks permit_sasl_authenticated reject
`

const postfixMaster = `
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix starts Postfix at an address, with lines of main.cf that replace those
// of postfixMain.
func startPostfix(t *testing.T, address string, main ...string) *postfix {
	t.Helper()
	return startPostfixes(t, map[string]string{"mx.remote.test": address}, main...)
}

// startPostfixes is startPostfix for several hosts: their names, and addresses.
func startPostfixes(t *testing.T, hosts map[string]string, main ...string) *postfix {
	t.Helper()
	p := &postfix{dir: openDir(t)}
	for _, d := range strings.Fields("active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace") {
		p.mkdir(t, "spool/"+d, "postfix", 0o700)
	}
	for d, mode := range map[string]os.FileMode{"maildrop": 0o1730, "public": 0o2710} {
		p.mkdir(t, "spool/"+d, "postfix:postdrop", mode)
	}
	p.mkdir(t, "spool/pid", "root", 0o755)
	p.mkdir(t, "data", "postfix", 0o700)
	p.mkdir(t, "mail", "65534:65534", 0o755)
	p.mkdir(t, "etc", "root", 0o755)
	text := postfixMain
	for _, line := range main {
		name, _, _ := strings.Cut(line, " ")
		text = regexp.MustCompile(`(?m)^`+name+` =.*\n`).ReplaceAllString(text, "") + line + "\n"
	}
	put(t, p.dir, "etc/main.cf", strings.ReplaceAll(text, "DIR", p.dir))
	text = postfixMaster
	for name, address := range hosts {
		text += fmt.Sprintf("%s inet n - n - - smtpd\n  -o myhostname=%s\n", address, name)
	}
	put(t, p.dir, "etc/master.cf", text)
	p.daemon = launch(t, "/usr/lib/postfix/sbin/master", "-c", filepath.Join(p.dir, "etc"), "-d")
	for _, address := range hosts {
		p.answers(address, p.logged)
	}
	return p
}

func (p *postfix) mkdir(t *testing.T, name, owner string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", "chown", owner, path)
	run(t, "", "chmod", fmt.Sprintf("%o", mode), path)
}

// logged returns the log.
func (p *postfix) logged() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return p.log.String() + string(b)
}

// mail returns the messages that were delivered, when there are so many.
func (p *postfix) mail(t *testing.T, messages int) []string {
	t.Helper()
	return maildir(t, filepath.Join(p.dir, "mail/inbox"), messages, p.logged)
}

// through makes the demo send mail for remote.test to an address.
func through(address, more string) string {
	return fmt.Sprintf("\n[[route]]\nname = \"remote\"\ndomains = [\"remote.test\"]\nhosts = [%q]\n%s\n", address, more)
}

// startSending starts a strict demo that sends. The configuration begins within
// [outbound].
func startSending(t *testing.T, config string) *server {
	t.Helper()
	config = "[log]\nlevel = \"info\"\n[outbound]\nenabled = true\n" + config
	s := start(t, t.TempDir(), "--strict", "--config", write(t, "sending.toml", config))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("postrider's log:\n%s", regexp.MustCompile(`.*listener=pop3s.*\n`).ReplaceAllString(s.log.String(), ""))
		}
	})
	return s
}
