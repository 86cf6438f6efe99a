//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mailFile writes a message to a file and returns the file and the message. Its
// lines end in LF: that is how clients read files.
func mailFile(t *testing.T, subject string) (path, body string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "message")
	body = "A line.\n.a line that begins with a dot\n..\n\nThe last line, " + subject + "."
	text := fmt.Sprintf("From: Sender <me@example.org>\nTo: alice@example.test\nSubject: %s\n"+
		"Date: Sun, 22 Nov 2026 12:00:00 +0000\nMessage-ID: <%s@example.org>\n\n%s\n",
		subject, strings.ReplaceAll(subject, " ", "-"), body)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, body
}

// collected returns what alice has and removes it.
func collected(t *testing.T, s *server) []string {
	t.Helper()
	p, err := dialPOP(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return takeAll(t, p)
}

// takeAll returns what a session sees and removes it.
func takeAll(t *testing.T, p *pop) (all []string) {
	t.Helper()
	n, err := p.count()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		b, err := p.retrieve(i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))))
		if _, err := p.ok(fmt.Sprintf("DELE %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.ok("QUIT"); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestClientsThatSend has each client deliver the same kind of message as a
// stranger does, without a login, and holds what arrives to what was sent.
func TestClientsThatSend(t *testing.T) {
	s := startOpen(t, t.TempDir())
	to := s.ready.Accounts[0].Address
	clients := []struct {
		name string
		send func(t *testing.T, file string)
	}{
		{"curl", func(t *testing.T, file string) {
			run(t, "", "curl", "-sS", "--crlf", "smtp://"+s.address("smtp")+"/client.example.org",
				"--mail-from", "me@example.org", "--mail-rcpt", to, "-T", file)
		}},
		{"swaks", func(t *testing.T, file string) {
			run(t, "", "swaks", "--server", s.address("smtp"), "--helo", "client.example.org",
				"--from", "me@example.org", "--to", to, "--data", "@"+file)
		}},
		{"swaks with pipelining", func(t *testing.T, file string) {
			run(t, "", "swaks", "--server", s.address("smtp"), "--pipeline", "--helo", "client.example.org",
				"--from", "me@example.org", "--to", to, "--data", "@"+file)
		}},
		{"msmtp", func(t *testing.T, file string) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run(t, string(text), "msmtp", "--host=127.0.0.1", "--port="+s.port("smtp"),
				"--from=me@example.org", "--auth=off", "--tls=off", to)
		}},
		{"python smtplib", func(t *testing.T, file string) {
			run(t, "", "python3", "-c", `
import smtplib, sys
host, port = sys.argv[1].split(":")
with smtplib.SMTP(host, int(port)) as c:
    c.sendmail("me@example.org", [sys.argv[2]], open(sys.argv[3]).read())
`, s.address("smtp"), to, file)
		}},
	}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			file, body := mailFile(t, "sent by "+c.name)
			c.send(t, file)
			got := collected(t, s)
			if len(got) != 1 {
				t.Fatalf("got %d messages, want 1: %q", len(got), got)
			}
			if !strings.HasSuffix(got[0], "\n\n"+body+"\n") && !strings.HasSuffix(got[0], "\n\n"+body+"\n\n") {
				t.Errorf("the body arrived as %q, want %q at its end", got[0], body)
			}
			if !strings.Contains(got[0], "\nSubject: sent by "+c.name+"\n") {
				t.Errorf("got %q, want the subject", got[0])
			}
		})
	}
}

// TestClientsThatCollect has one message collected by each client, without TLS.
// TestClientsLogIn has it done with.
func TestClientsThatCollect(t *testing.T) {
	s := startOpen(t, t.TempDir())
	a := s.ready.Accounts[0]
	clients := []struct {
		name    string
		collect func(t *testing.T) string
		removes bool
	}{
		{"curl", func(t *testing.T) string {
			return run(t, "", "curl", "-sS", "--user", a.Address+":"+a.Password, "pop3://"+s.address("pop3")+"/1")
		}, false},
		{"python poplib", func(t *testing.T) string {
			return run(t, "", "python3", "-c", `
import poplib, sys
host, port = sys.argv[1].split(":")
c = poplib.POP3(host, int(port))
c.capa()
c.user(sys.argv[2]); c.pass_(sys.argv[3])
n, octets = c.stat()
assert len(c.list()[1]) == n and len(c.uidl()[1]) == n
assert c.top(1, 0)[1]
print("\n".join(l.decode() for l in c.retr(1)[1]))
c.dele(1)
c.quit()
`, s.address("pop3"), a.Address, a.Password)
		}, true},
		{"fetchmail", func(t *testing.T) string {
			dir := t.TempDir()
			rc := filepath.Join(dir, "fetchmailrc")
			box := filepath.Join(dir, "box")
			text := fmt.Sprintf("poll 127.0.0.1 protocol pop3 service %s user %q password %q sslproto '' no rewrite mda \"/bin/sh -c 'cat >> %s'\"\n",
				s.port("pop3"), a.Address, a.Password, box)
			if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "", "fetchmail", "--fetchmailrc", rc, "--pidfile", filepath.Join(dir, "pid"), "--idfile", filepath.Join(dir, "ids"), "--nodetach", "--nosyslog")
			return read(t, box)
		}, true},
		{"getmail", func(t *testing.T) string {
			dir := t.TempDir()
			box := filepath.Join(dir, "box")
			if err := os.WriteFile(box, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			rc := filepath.Join(dir, "rc")
			text := fmt.Sprintf("[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = %s\nusername = %s\npassword = %s\n"+
				"[destination]\ntype = Mboxrd\npath = %s\nuser = nobody\n[options]\ndelete = true\n", s.port("pop3"), a.Address, a.Password, box)
			if os.Getuid() != 0 {
				text = strings.Replace(text, "user = nobody\n", "", 1)
			} else {
				giveTo(t, "nobody", dir, box)
			}
			if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "", "getmail", "--getmaildir", dir, "--rcfile", rc)
			return read(t, box)
		}, true},
		{"mutt", func(t *testing.T) string {
			dir := t.TempDir()
			box, rc := filepath.Join(dir, "box"), filepath.Join(dir, "muttrc")
			text := fmt.Sprintf("set folder=%s\nset ssl_starttls=no\nset ssl_force_tls=no\nset mbox_type=mbox\nset confirmcreate=no\nset confirmappend=no\nset pop_authenticators=user\nset pop_user=%q\nset pop_pass=%q\n", dir, a.Address, a.Password)
			if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			url := fmt.Sprintf("pop://127.0.0.1:%s/", s.port("pop3"))
			keys := fmt.Sprintf("push <copy-message><kill-line>%s<enter><exit>", box)
			screen := run(t, "", "script", "-qec", fmt.Sprintf("stty rows 40 cols 120; TERM=xterm mutt -n -F %s -f %s -e '%s'", rc, url, keys), "/dev/null")
			t.Logf("mutt's screen: %q", screen)
			return read(t, box)
		}, false},
	}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			collected(t, s)
			file, _ := mailFile(t, "for "+c.name)
			run(t, "", "curl", "-sS", "--crlf", "smtp://"+s.address("smtp")+"/client.example.org",
				"--mail-from", "me@example.org", "--mail-rcpt", a.Address, "-T", file)
			got := strings.ReplaceAll(c.collect(t), "\r\n", "\n")
			for _, want := range []string{
				"Subject: for " + c.name + "\n", "\n.a line that begins with a dot\n..\n\n", "The last line, for " + c.name + ".",
				"Delivered-To: " + a.Address + "\n", "Return-Path: <me@example.org>\n", "Received: from client.example.org",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			left := len(collected(t, s))
			if want := map[bool]int{true: 0, false: 1}[c.removes]; left != want {
				t.Errorf("%d messages left, want %d", left, want)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// giveTo lets a user that a client steps down to reach its files.
func giveTo(t *testing.T, user string, paths ...string) {
	t.Helper()
	run(t, "", "chown", append([]string{"-R", user}, paths...)...)
	for d := filepath.Dir(paths[0]); d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
