package cli

import (
	"fmt"
	"io"
	"net"
	"strings"

	"postrider/internal/config"
)

// writeDemoGuide prints what runs and the exact words to type.
func writeDemoGuide(w io.Writer, r demoReady) error {
	var b strings.Builder
	fmt.Fprintf(&b, "postrider is running for %s on loopback. Mail is kept in %s. Ctrl-C stops it.\n\n", r.Domain, r.Data)
	for _, l := range r.Listeners {
		fmt.Fprintf(&b, "  %-39s %s\n", serviceText(l), l.Address)
	}
	b.WriteString("\n")
	for i, a := range r.Accounts {
		if i == 8 {
			fmt.Fprintf(&b, "  and %d more: --json lists them all\n", len(r.Accounts)-i)
			break
		}
		fmt.Fprintf(&b, "  %-39s password %s\n", a.Address, a.Password)
	}
	if len(r.Accounts) > 0 {
		a := r.Accounts[0]
		guideSend(&b, hostPort(r, config.ProtocolSMTP), a)
		guideCollect(&b, hostPort(r, config.ProtocolPOP3), a)
		guideTLS(&b, r, a)
	}
	guideOnward(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

// hostPort returns the protocol's address as telnet and nc take it.
func hostPort(r demoReady, protocol string) string {
	for _, l := range r.Listeners {
		if l.Protocol == protocol {
			host, port, _ := net.SplitHostPort(l.Address)
			return host + " " + port
		}
	}
	return ""
}

func guideSend(b *strings.Builder, to string, a demoAccount) {
	if to == "" {
		return
	}
	fmt.Fprintf(b, `
Send a message by hand. Type "telnet %s" (or "nc -C %[1]s") in another terminal, then:

  helo there
  mail from: <me@example.org>
  rcpt to: <%s>
  data
  subject: my first message

  Hello from my own hand.
  .
  quit
`, to, a.Address)
}

func guideCollect(b *strings.Builder, to string, a demoAccount) {
	if to == "" {
		return
	}
	fmt.Fprintf(b, `
Collect it. Type "telnet %s" (or "nc -C %[1]s"), then:

  user %s
  pass %s
  stat
  retr 1
  dele 1
  quit

"help" is answered on both.
`, to, a.Address, a.Password)
}

// serviceText names what a listener is for.
func serviceText(l demoListener) string {
	name := strings.ToUpper(l.Protocol)
	switch l.Role {
	case config.RoleMX:
		name += ", mail from servers"
	case config.RoleSubmission:
		name += ", mail from you"
	}
	switch l.TLS {
	case config.TLSStartTLS:
		name += ", TLS if asked"
	case config.TLSImplicit:
		name += ", TLS"
	}
	return name
}

// service returns the listener of a protocol, role and kind of TLS.
func (r *demoReady) service(protocol, role, tls string) (demoListener, bool) {
	for _, l := range r.Listeners {
		if l.Protocol == protocol && l.Role == role && l.TLS == tls {
			return l, true
		}
	}
	return demoListener{}, false
}

// guideTLS shows the same with a login and TLS, done by programs.
func guideTLS(b *strings.Builder, r demoReady, a demoAccount) {
	send, ok := r.service(config.ProtocolSMTP, config.RoleSubmission, config.TLSImplicit)
	collect, too := r.service(config.ProtocolPOP3, "", config.TLSImplicit)
	start, also := r.service(config.ProtocolSMTP, config.RoleSubmission, config.TLSStartTLS)
	if !ok || !too || !also || r.CA == "" {
		return
	}
	fmt.Fprintf(b, `
The same with a login and TLS, by programs:

  printf 'Subject: over TLS\r\n\r\nHello.\r\n' | curl -sS --cacert %[1]s -u %[2]s:%[3]s \
    --mail-from %[2]s --mail-rcpt %[2]s -T - smtps://%[4]s
  curl -sS --cacert %[1]s -u %[2]s:%[3]s pop3s://%[5]s/1
  openssl s_client -quiet -crlf -starttls smtp -CAfile %[1]s -connect %[6]s
`, shellWord(r.CA), a.Address, a.Password, send.Address, collect.Address, start.Address)
}

// guideOnward says what becomes of mail for other domains.
func guideOnward(b *strings.Builder, r demoReady) {
	switch {
	case r.waits:
		fmt.Fprintf(b, `
Mail that an account sends to other domains waits in the queue and goes nowhere;
--relay-to HOST:PORT would send it there. To see it:

  postrider queue list --data %s
`, shellWord(r.Data))
	case r.RelayTo != "":
		fmt.Fprintf(b, `
Mail that an account sends to other domains goes to %s, and is tried again
every few seconds while nobody takes it there. To see what waits:

  postrider queue list --data %s
`, r.RelayTo, shellWord(r.Data))
	}
}

// shellWord writes a word so that a shell takes it as it is.
func shellWord(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
