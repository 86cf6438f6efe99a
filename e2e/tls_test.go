//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// upgrades are the listeners where a client asks for TLS, and how.
var upgrades = []struct{ listener, command, answer string }{
	{"smtp", "STARTTLS", "220 "},
	{submission, "STARTTLS", "220 "},
	{pop3, "STLS", "+OK"},
}

// shakeHands begins TLS on a connection that has been told to go ahead.
func (p *peer) shakeHands(config *tls.Config) (*tls.Conn, error) {
	conn := tls.Client(&buffered{p.TCPConn, p.r}, config)
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	p.r, p.out = bufio.NewReader(conn), conn
	return conn, nil
}

// buffered is a connection whose first octets may be in a buffer already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// secured connects and begins TLS in a listener's way.
func secured(t *testing.T, s *server, listener string, config *tls.Config) *peer {
	t.Helper()
	for _, u := range upgrades {
		if u.listener == listener {
			p := dialPeer(t, s, listener)
			p.say(u.command, u.answer)
			if _, err := p.shakeHands(config); err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	p := connect(t, s, listener)
	if _, err := p.shakeHands(config); err != nil {
		t.Fatal(err)
	}
	p.expect(greeting(listener))
	return p
}

// TestPlaintextBehindStartTLSIsThrownAway injects commands where a man in the
// middle would (CVE-2011-0411): in one packet with the command, and in packets
// of their own. None is obeyed, and none is answered after the handshake.
func TestPlaintextBehindStartTLSIsThrownAway(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	for _, u := range upgrades {
		injected := []string{"EHLO evil.example.net\r\n", "MAIL FROM:<evil@example.net>\r\n", "XX\r\n"}
		if u.listener == pop3 {
			injected = []string{"USER evil\r\n", "PASS evil\r\n", "XX\r\n"}
		}
		together := u.command + "\r\n" + strings.Join(injected, "")
		for name, packets := range map[string][]string{
			"one packet":             {together},
			"cut in the command":     {together[:4], together[4:]},
			"cut behind the CR":      {together[:len(u.command)+1], together[len(u.command)+1:]},
			"cut in what comes then": {together[:len(u.command)+6], together[len(u.command)+6:]},
			"packets of their own":   append([]string{u.command + "\r\n"}, injected...),
			"octet by octet":         strings.Split(together, ""),
		} {
			t.Run(u.listener+" "+name, func(t *testing.T) {
				p := dialPeer(t, s, u.listener)
				p.SetNoDelay(true)
				for _, octets := range packets {
					if _, err := io.WriteString(p, octets); err != nil {
						return // the server has hung up already
					}
				}
				p.expect(u.answer)
				if _, err := p.shakeHands(s.trust()); err != nil {
					return // what came late was no handshake
				}
				if u.listener == pop3 {
					p.say("NOOP", "-ERR")
					p.say("PASS evil", "-ERR")
					p.say("CAPA", "+OK")
					return
				}
				p.say("NOOP", "250 2.0.0")
				p.say("RCPT TO:<"+s.ready.Accounts[0].Address+">", map[bool]string{true: "530 ", false: "503 "}[u.listener == submission])
				p.say("EHLO client.example.org", "250 ")
			})
		}
	}
	if n := strings.Count(s.log.String(), "plaintext behind the command for TLS thrown away"); n < len(upgrades) {
		t.Errorf("the log speaks of %d attempts, want one for each listener at least\n%s", n, s.log)
	}
}

// TestPlaintextInOnePacketLeavesTheConnectionUsable: who injects can't even stop
// the client.
func TestPlaintextInOnePacketLeavesTheConnectionUsable(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	for _, u := range upgrades {
		p := dialPeer(t, s, u.listener)
		p.put(u.command + "\r\nNOOP\r\nNOOP\r\n")
		p.expect(u.answer)
		if n := p.r.Buffered(); n != 0 {
			t.Errorf("%s: %d octets behind the answer, want none", u.listener, n)
		}
		if _, err := p.shakeHands(s.trust()); err != nil {
			t.Fatalf("%s: %v", u.listener, err)
		}
		p.say("QUIT", map[bool]string{true: "+OK", false: "221 "}[u.listener == pop3])
	}
}

func TestTLSIsBegunOnceAndInTime(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	a := s.ready.Accounts[0]
	for _, listener := range []string{"smtp", submission, submissions} {
		p := secured(t, s, listener, s.trust())
		p.put("EHLO client.example.org\r\n")
		if list := p.reply(); strings.Contains(list, "STARTTLS") {
			t.Errorf("%s: STARTTLS is offered twice: %q", listener, list)
		}
		p.say("STARTTLS", "503 ")
		p.say("NOOP", "250 ")
	}
	for _, listener := range []string{pop3, pop3s} {
		p := secured(t, s, listener, s.trust())
		p.say("STLS", "-ERR")
		p.say("USER "+a.Address, "+OK")
		p.say("PASS "+a.Password, "+OK")
		p.say("STLS", "-ERR")
		p.say("QUIT", "+OK")
	}
	p := dialPeer(t, s, "smtp")
	p.say("EHLO client.example.org", "250 ")
	p.say("STARTTLS now", "501 ")
	p.say("MAIL FROM:<me@example.org>", "250 ")
	p.say("STARTTLS", "503 ")
	p.say("RSET", "250 ")
	p.say("STARTTLS", "220 ")
	if _, err := p.shakeHands(s.trust()); err != nil {
		t.Fatal(err)
	}
	p.say("MAIL FROM:<me@example.org>", "503 ") // EHLO is forgotten (RFC 3207 §4.2)
}

// TestBadHandshakesEnd: a client that is silent, speaks another protocol or an
// old version gets no word of ours, and the others are served.
func TestBadHandshakesEnd(t *testing.T) {
	s := start(t, t.TempDir(), "--strict", "--config", write(t, "short.toml", "[tls]\nhandshake_timeout = \"1s\"\n"))
	for name, first := range map[string]string{
		"silent":      "",
		"HTTP":        "GET / HTTP/1.1\r\nHost: mail.example.test\r\n\r\n",
		"plain":       "EHLO client.example.org\r\n",
		"half a word": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half",
	} {
		for _, listener := range []string{submissions, pop3s, "smtp", submission, pop3} {
			t.Run(name+" "+listener, func(t *testing.T) {
				p := connect(t, s, listener)
				for _, u := range upgrades {
					if u.listener == listener {
						p.expect(greeting(listener))
						p.say(u.command, u.answer)
					}
				}
				p.put(first)
				b, err := io.ReadAll(p.r) // an error is a reset: also an end
				if len(b) > 0 && b[0] != 21 {
					t.Errorf("got %q, %v; want nothing but an alert", b, err)
				}
				if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
					t.Error("the server keeps the connection")
				}
				secured(t, s, listener, s.trust()).say("NOOP", "")
			})
		}
	}
}

func TestVersionsAndProtocolsOfTLS(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	for _, c := range []struct {
		name     string
		change   func(*tls.Config)
		listener []string
		want     string // ALPN's outcome; "no": no handshake
	}{
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, []string{submissions, submission, pop3s, pop3, "smtp"}, "no"},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, []string{submissions, submission, pop3s, pop3, "smtp"}, ""},
		{"TLS 1.3", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, []string{submissions, submission, pop3s, pop3, "smtp"}, ""},
		{"post-quantum only", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }, []string{submissions, pop3s}, ""},
		{"CBC ciphers", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}
		}, []string{submissions, pop3s}, "no"},
		{"a browser", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, []string{submissions, submission, pop3s, pop3, "smtp"}, "no"},
		{"ftp", func(c *tls.Config) { c.NextProtos = []string{"ftp"} }, []string{submissions, pop3s}, "no"},
		{"pop3 to POP3", func(c *tls.Config) { c.NextProtos = []string{"pop3"} }, []string{pop3s, pop3}, "pop3"},
		{"pop3 to SMTP", func(c *tls.Config) { c.NextProtos = []string{"pop3"} }, []string{submissions, submission, "smtp"}, "no"},
		{"imap to POP3", func(c *tls.Config) { c.NextProtos = []string{"imap"} }, []string{pop3s, pop3}, "no"},
		{"another name", func(c *tls.Config) { c.ServerName = "localhost" }, []string{submissions, pop3s}, ""},
	} {
		for _, listener := range c.listener {
			t.Run(c.name+" "+listener, func(t *testing.T) {
				config := s.trust()
				c.change(config)
				p := connect(t, s, listener)
				for _, u := range upgrades {
					if u.listener == listener {
						p.expect(greeting(listener))
						p.say(u.command, u.answer)
					}
				}
				conn, err := p.shakeHands(config)
				if got := outcomeOf(conn, p, err); got != c.want {
					t.Errorf("got %q, %v; want %q", got, err, c.want)
				}
			})
		}
	}
}

// outcomeOf returns the protocol agreed on, or "no". With TLS 1.3 a client hears
// that it has been refused after its own part of the handshake.
func outcomeOf(conn *tls.Conn, p *peer, err error) string {
	if err != nil {
		return "no"
	}
	if _, err := io.WriteString(p.out, "NOOP\r\n"); err != nil {
		return "no"
	}
	if _, err := p.r.ReadByte(); err != nil {
		return "no"
	}
	return conn.ConnectionState().NegotiatedProtocol
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestBadLoginsAreRefusedInStep: whatever comes in place of a login, the next
// command is understood.
func TestBadLoginsAreRefusedInStep(t *testing.T) {
	s := start(t, t.TempDir(), "--strict", "--config", write(t, "forgiving.toml", forgiving+"[smtp]\nmax_errors = -1\n[pop3]\nmax_errors = 100000\n"))
	a, b := s.ready.Accounts[0], s.ready.Accounts[1]
	const longest = 12288 - len("\r\n") // RFC 4954 §3
	plain := func(authzid, name, password string) string { return b64(authzid + "\x00" + name + "\x00" + password) }
	for _, c := range []struct{ name, response, smtp string }{
		{"bad base64", "!!!!", "501 5.5.2"},
		{"base64 without padding", strings.TrimRight(plain("", "ab", "c"), "="), "501 5.5.2"},
		{"no NULs", b64("alice"), "501 "},
		{"one NUL", b64("alice\x00x"), "501 "},
		{"cancelled", "*", "501 "},
		{"nothing", "", "501 "},
		{"another's authorization identity", plain(b.Address, a.Address, a.Password), "535 5.7.8"},
		{"wrong password", plain("", a.Address, "wrong"), "535 5.7.8"},
		{"unknown user", plain("", "nobody@example.test", "wrong"), "535 5.7.8"},
		{"LDAP injection", plain("", "*)(uid=*", "x"), "535 5.7.8"},
		{"SQL injection", plain("", "a' OR '1'='1", "x"), "535 5.7.8"},
		{"control characters", plain("", "al\x1bice\r\n\x07", "x"), "535 5.7.8"},
		{"bad UTF-8", plain("", "\xff\xfe", "\xff"), "501 5.5.2"},
		{"1 kB password", plain("", a.Address, strings.Repeat("x", 1024)), "535 5.7.8"},
		{"longest line", strings.Repeat("A", longest), "5"},
		{"one octet more", strings.Repeat("A", longest+1), "500 5.5.6"},
		{"much more", strings.Repeat("A", 100_000), "500 5.5.6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := secured(t, s, submissions, s.trust())
			p.say("EHLO client.example.org", "250 ")
			p.say("AUTH PLAIN", "334 ")
			p.say(c.response, c.smtp)
			p.say("NOOP", "250 ")
			if c.response != "" && c.response != "*" && len(c.response) < 900 {
				p.say("AUTH PLAIN "+c.response, c.smtp)
			}
			p.say("MAIL FROM:<"+a.Address+">", "530 5.7.0")
			p.say("AUTH PLAIN "+plain("", a.Address, a.Password), "235 2.7.0")
			p.say("AUTH PLAIN "+plain("", a.Address, a.Password), "503 ")

			in := secured(t, s, pop3s, s.trust())
			in.say("AUTH PLAIN", "+ ")
			in.say(c.response, "-ERR")
			in.say("STAT", "-ERR")
			in.say("AUTH PLAIN "+plain("", a.Address, a.Password), "+OK")
			in.say("AUTH PLAIN "+plain("", a.Address, a.Password), "-ERR")
			in.say("STAT", "+OK 0 0")
			in.say("QUIT", "+OK")
		})
	}
}

// TestPasswordsNeedTLS: in the clear nothing that sends a password is offered,
// or taken.
func TestPasswordsNeedTLS(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	a := s.ready.Accounts[0]
	p := dialPeer(t, s, submission)
	p.put("EHLO client.example.org\r\n")
	if list := p.reply(); strings.Contains(list, " PLAIN") || strings.Contains(list, " LOGIN") {
		t.Errorf("offered in the clear: %q", list)
	}
	p.say("AUTH PLAIN "+b64("\x00"+a.Address+"\x00"+a.Password), "538 5.7.11")
	p.say("MAIL FROM:<"+a.Address+">", "530 5.7.0")
	in := dialPeer(t, s, pop3)
	in.put("CAPA\r\n")
	if list := in.list(); strings.Contains(list, "USER\r\n") || strings.Contains(list, "PLAIN") {
		t.Errorf("offered in the clear: %q", list)
	}
	in.say("USER "+a.Address, "-ERR")
	in.say("PASS "+a.Password, "-ERR")
	in.say("AUTH PLAIN "+b64("\x00"+a.Address+"\x00"+a.Password), "-ERR")
	mx := secured(t, s, "smtp", s.trust())
	mx.put("EHLO client.example.org\r\n")
	if list := mx.reply(); strings.Contains(list, "AUTH") {
		t.Errorf("the role mx offers logins: %q", list)
	}
}

// reply reads a reply of several lines.
func (p *peer) reply() (all string) {
	p.t.Helper()
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("got %q, %v", all+line, err)
		}
		all += line
		if len(line) < 4 || line[3] != '-' {
			return all
		}
	}
}

// list reads a POP3 response of several lines.
func (p *peer) list() (all string) {
	p.t.Helper()
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("got %q, %v", all+line, err)
		}
		if line == ".\r\n" {
			return all
		}
		all += line
	}
}

// TestWhoSendsAsAnotherIsRefused: a login is needed, and its sender and From.
func TestWhoSendsAsAnotherIsRefused(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	a, b := s.ready.Accounts[0], s.ready.Accounts[1]
	p := secured(t, s, submission, s.trust())
	p.say("EHLO client.example.org", "250 ")
	p.say("MAIL FROM:<"+a.Address+">", "530 5.7.0")
	p.say("AUTH PLAIN "+b64("\x00"+a.Address+"\x00"+a.Password), "235 ")
	p.say("MAIL FROM:<"+b.Address+">", "550 5.7.1")
	p.say("MAIL FROM:<"+a.Address+">", "250 ")
	p.say("RCPT TO:<"+b.Address+">", "250 ")
	p.say("DATA", "354 ")
	p.say(fmt.Sprintf("From: %s\r\n\r\nx\r\n.", b.Address), "550 5.7.1")
	p.say("QUIT", "221 ")
	in := secured(t, s, pop3s, s.trust())
	in.say("USER "+b.Address, "+OK")
	in.say("PASS "+b.Password, "+OK")
	in.say("STAT", "+OK 0 ")
}

// connect connects and reads nothing.
func connect(t *testing.T, s *server, listener string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.address(listener))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &peer{t: t, TCPConn: conn.(*net.TCPConn), r: bufio.NewReader(conn), out: conn}
}

// greeting is how a listener's begins.
func greeting(listener string) string {
	if strings.HasPrefix(listener, "pop") {
		return "+OK "
	}
	return "220 "
}
