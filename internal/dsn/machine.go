package dsn

import (
	"fmt"
	"net/netip"
	"strings"

	"postrider/internal/mail"
)

// diagnosticType is that of what is no SMTP reply (RFC 3464 §2.1.2).
const diagnosticType = "x-postrider"

// IDField names the message that a notification tells of, in the part for programs
// (RFC 3464 §2.4 c).
const IDField = "X-Postrider-ID"

// notDisclosed stands in place of what a host said about an address that a
// recipient's mail is forwarded to, and notTold in place of what happened there.
const (
	notDisclosed = "(the rest would tell where the mail is forwarded to)"
	notTold      = "(not told, since it would tell where the mail is forwarded to)"
)

// writeFields appends the part for programs (RFC 3464 §2, RFC 3461 §6.3).
func (n *Notice) writeFields(b *strings.Builder) {
	if id := n.Envelope.EnvID; id != "" {
		exact(b, "Original-Envelope-Id", n.plain(printable(id))) // decoded: RFC 3461 §6.3 a
	}
	exact(b, "Reporting-MTA", mtaType(n.Hostname)+"; "+hostName(n.Hostname))
	if !n.Arrived.IsZero() {
		exact(b, "Arrival-Date", mail.FormatDate(n.Arrived))
	}
	if !n.Envelope.ID.IsZero() {
		exact(b, IDField, n.Envelope.ID.String())
	}
	for i := range n.Recipients {
		b.WriteString("\r\n")
		n.writeRecipient(b, &n.Recipients[i])
	}
}

func (n *Notice) writeRecipient(b *strings.Builder, r *Recipient) {
	if kind, address, ok := strings.Cut(r.ORcpt, ";"); ok {
		exact(b, "Original-Recipient", typed(n.plain(printable(kind)), strings.TrimLeft(address, " "), n.UTF8()))
	}
	exact(b, "Final-Recipient", addressType(r.Address.String(), n.UTF8()))
	exact(b, "Action", r.Action.String())
	exact(b, "Status", r.status())
	if r.Remote != "" && r.Final.IsZero() {
		exact(b, "Remote-MTA", remoteMTA(r.Remote))
	}
	if text := r.diagnostic(); text != "" {
		field(b, "Diagnostic-Code", n.plain(text))
	}
	if !r.LastAttempt.IsZero() {
		exact(b, "Last-Attempt-Date", mail.FormatDate(r.LastAttempt))
	}
	if r.Action == Delayed && !r.RetryUntil.IsZero() {
		exact(b, "Will-Retry-Until", mail.FormatDate(r.RetryUntil))
	}
}

// plain returns a text as a part for programs may have it.
func (n *Notice) plain(s string) string {
	if n.UTF8() {
		return s
	}
	return ascii(s)
}

// mtaType returns the type of a host's name (RFC 3461 §6.3 b).
func mtaType(name string) string {
	if strings.Contains(name, ".") {
		return "dns"
	}
	return "x-local-hostname"
}

// remoteMTA returns a host's name, with its address as a comment (RFC 3464 §2.2.4).
func remoteMTA(remote string) string {
	name, address := splitRemote(remote)
	if _, err := netip.ParseAddr(address); err != nil {
		return "dns; " + name
	}
	return fmt.Sprintf("dns; %s (%s)", name, address)
}

// diagnostic returns what the Diagnostic-Code field says, or "".
func (r *Recipient) diagnostic() string {
	text := shown(r.told(), maxReply)
	switch {
	case text == "":
		return ""
	case r.SMTPReply && basicCode(r) != "":
		return "smtp; " + text
	}
	return diagnosticType + "; " + text
}

// told is the reply as far as it may be told: if the mail is forwarded, its codes
// only, and of these not the one that speaks of an address elsewhere; see status.
func (r *Recipient) told() string {
	if r.Final.IsZero() {
		return r.Reply
	}
	codes := r.codes()
	switch {
	case r.Reply == "":
		return ""
	case codes == "":
		return notTold
	}
	return codes + " " + notDisclosed
}

// codes are those of the reply that may be told where the mail is forwarded.
func (r *Recipient) codes() string {
	if r.elsewhere() {
		return basicCode(r)
	}
	return strings.TrimSpace(basicCode(r) + " " + replyStatus(r))
}
