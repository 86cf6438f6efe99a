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
		fmt.Fprintf(&b, "  %-5s %s\n", strings.ToUpper(l.Protocol), l.Address)
	}
	b.WriteString("\n")
	for i, a := range r.Accounts {
		if i == 8 {
			fmt.Fprintf(&b, "  and %d more: --json lists them all\n", len(r.Accounts)-i)
			break
		}
		fmt.Fprintf(&b, "  %-28s password %s\n", a.Address, a.Password)
	}
	if len(r.Accounts) > 0 {
		a := r.Accounts[0]
		guideSend(&b, hostPort(r, config.ProtocolSMTP), a)
		guideCollect(&b, hostPort(r, config.ProtocolPOP3), a)
	}
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
