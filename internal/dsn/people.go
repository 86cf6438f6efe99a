package dsn

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"postrider/internal/mail"
)

// maxTold is how many recipients are told about one by one to people; the part for
// programs has all.
const maxTold = 100

// outcomes are how actions are told.
var outcomes = [...]struct {
	// Subject and intro are for one recipient or several; what and do explain where a
	// failure has its own explanation.
	subject, intro, what, do string
	// passed and onward are subject and intro where the recipient's mail is forwarded;
	// empty: no others.
	passed, onward string
}{
	Failed: {
		subject: "Your message to %s could not be delivered",
		intro:   "Your message could not be delivered to this address, and it is not tried any more:",
		passed:  "Your message to %s could not be passed on",
		onward:  "Your message could not be passed on from this address to everybody who is behind it, and it is not tried any more:",
	},
	Delayed: {
		subject: "Your message to %s is late",
		intro:   "Your message has not been delivered to this address yet:",
		onward:  "Your message has not been passed on yet from this address to everybody who is behind it:",
		do:      "You need not do anything, and need not send it again.",
	},
	Delivered: {
		subject: "Your message to %s was delivered",
		intro:   "Your message was delivered to this address:",
		what:    "It is in the mailbox. This does not say that somebody has read it.",
	},
	Relayed: {
		subject: "Your message to %s was passed on",
		intro:   "Your message was passed on to another server, for this address:",
		what:    "You wanted to be told of the delivery. The other server does not tell of it, so this is the last that can be said; if it can't deliver the message, it should let you know.",
	},
	Expanded: {
		subject: "Your message to %s was passed on",
		intro:   "Your message was passed on to everybody who is behind this address:",
		what:    "You are told once for all of them, and not of each.",
	},
}

// subject returns the Subject field's text.
func (n *Notice) subject() string {
	r := &n.Recipients[0]
	whom := shown(r.Address.String(), maxName)
	if n.bare() {
		whom = "an address at " + n.domain(r)
	}
	switch more := len(n.Recipients) - 1; {
	case more == 1:
		whom += " and one other address"
	case more > 1:
		whom += fmt.Sprintf(" and %d other addresses", more)
	}
	action := r.Action
	for i := range n.Recipients {
		if n.Recipients[i].Action != action {
			return "What became of your message to " + whom
		}
	}
	out := outcomes[min(action, Expanded)]
	if !r.Final.IsZero() {
		out.subject = cmp.Or(out.passed, out.subject)
	}
	return fmt.Sprintf(out.subject, whom)
}

// writeText appends what people read.
func (n *Notice) writeText(b *strings.Builder, o *returned) {
	wrap(b, "", "This was written by the mail server "+hostName(n.Hostname)+", not by a person. Nobody reads answers to it.")
	for _, group := range n.groups() {
		b.WriteString("\r\n")
		n.writeGroup(b, group)
	}
	if left := len(n.Recipients) - maxTold; left > 0 {
		b.WriteString("\r\n")
		wrap(b, "", fmt.Sprintf("There are %d more addresses; the attached report has all of them.", left))
	}
	b.WriteString("\r\n")
	n.writeOriginal(b, o)
}

// groups returns recipients of whom the same is told, in their order.
func (n *Notice) groups() [][]*Recipient {
	var all [][]*Recipient
	for i := range n.Recipients[:min(len(n.Recipients), maxTold)] {
		r, found := &n.Recipients[i], false
		for j := range all {
			if found = sameStory(all[j][0], r); found {
				all[j] = append(all[j], r)
				break
			}
		}
		if !found {
			all = append(all, []*Recipient{r})
		}
	}
	return all
}

// sameStory reports whether of two recipients the same is told. Of failures that
// speak of the address, each is told by itself.
func sameStory(a, b *Recipient) bool {
	if a.Address.Domain != b.Address.Domain || a.Action != b.Action || a.told() != b.told() {
		return false
	}
	e := explain(a)
	if a.Action == Failed && strings.Contains(e.What, "{address}") {
		return false
	}
	return e.Name == explain(b).Name && a.Remote == b.Remote && a.Attempts == b.Attempts &&
		a.RetryUntil.Equal(b.RetryUntil) && a.LastAttempt.Equal(b.LastAttempt) && a.Final.IsZero() == b.Final.IsZero()
}

// writeGroup appends what became of recipients of whom the same is told.
func (n *Notice) writeGroup(b *strings.Builder, group []*Recipient) {
	r := group[0]
	out := outcomes[min(r.Action, Expanded)]
	intro := out.intro
	if !r.Final.IsZero() {
		intro = cmp.Or(out.onward, intro)
	}
	if len(group) > 1 {
		intro = strings.Replace(intro, "this address", "these addresses", 1)
	}
	wrap(b, "", intro)
	b.WriteString("\r\n")
	n.writeAddresses(b, group)
	what, do := out.what, out.do
	switch r.Action {
	case Failed:
		e := explain(r)
		what, do = n.fill(e.What, r), n.fill(e.Do, r)
		switch {
		case !r.gaveUp() || e.Name == "expired":
		case r.Attempts > 1:
			what += " It was tried again and again, until the time for it was over."
		default:
			what += " The time for it is over."
		}
	case Delayed:
		e := explain(r)
		what = n.fill(cmp.Or(e.Late, e.What), r)
	}
	labelled(b, "What happened", what)
	labelled(b, "What was tried", r.tried())
	labelled(b, "What comes next", r.next())
	labelled(b, "What you can do", do)
	n.writeReply(b, r)
}

// writeAddresses appends whom it is about. What is before the @ may be anything that a
// stranger thought of, where a domain has an address for all, or parts after a "+".
func (n *Notice) writeAddresses(b *strings.Builder, group []*Recipient) {
	switch {
	case !n.bare():
		for _, r := range group {
			b.WriteString("    " + shown(r.Address.String(), mail.MaxPath+2) + "\r\n")
		}
	case len(group) == 1:
		b.WriteString("    one at " + n.domain(group[0]) + "\r\n")
	default:
		fmt.Fprintf(b, "    %d at %s\r\n", len(group), n.domain(group[0]))
	}
}

// labelled appends a paragraph, if there is one.
func labelled(b *strings.Builder, label, text string) {
	if text != "" {
		b.WriteString("\r\n")
		wrap(b, "", label+": "+text)
	}
}

// domain returns that of a recipient's address.
func (n *Notice) domain(r *Recipient) string { return hostName(cmp.Or(r.Address.Domain, n.Hostname)) }

// fill puts names into an explanation's text.
func (n *Notice) fill(text string, r *Recipient) string {
	return strings.NewReplacer(
		"{address}", shown(r.Address.String(), mail.MaxPath+2),
		"{domain}", n.domain(r),
		"{host}", hostName(n.Hostname),
	).Replace(text)
}

// tried tells how often it was tried, and when last.
func (r *Recipient) tried() string {
	if r.Action != Failed && r.Action != Delayed {
		return ""
	}
	when := ""
	if !r.LastAttempt.IsZero() {
		when = onDay(r.LastAttempt)
	}
	switch {
	case r.Attempts > 1 && when != "":
		return fmt.Sprintf("%d attempts were made, the last one on %s.", r.Attempts, when)
	case r.Attempts > 1:
		return fmt.Sprintf("%d attempts were made.", r.Attempts)
	case r.Attempts == 1 && when != "":
		return fmt.Sprintf("One attempt was made, on %s.", when)
	}
	return ""
}

// next tells how it goes on.
func (r *Recipient) next() string {
	switch {
	case r.Action != Delayed:
		return ""
	case r.RetryUntil.IsZero():
		return "It is tried on. You will hear of it if that does not help."
	}
	return "It is tried on until " + onDay(r.RetryUntil) + ". You will hear of it if that does not help."
}

// onDay returns a time for people, in UTC.
func onDay(t time.Time) string {
	return t.UTC().Format("Monday, 2 January 2006, at 15:04") + " UTC"
}

// writeReply appends what the other host said, quoted, or what happened.
func (n *Notice) writeReply(b *strings.Builder, r *Recipient) {
	if r.Reply == "" || r.Action == Expanded || n.bare() {
		return
	}
	b.WriteString("\r\n")
	who := "The other server"
	if name, address := splitRemote(r.Remote); name != "" && r.Final.IsZero() {
		who += ", " + name
		if address != "" {
			who += " [" + address + "]"
		}
		who += ","
	}
	switch {
	case r.SMTPReply && !r.Final.IsZero():
		wrap(b, "", who+" answered; only the codes of that are shown:")
	case r.SMTPReply:
		wrap(b, "", who+" said (these are its words, not ours):")
	default:
		wrap(b, "", "For those who run mail servers:")
	}
	b.WriteString("\r\n")
	lines := strings.Split(strings.Trim(mail.Cut(r.told(), maxReply), "\r\n"), "\n")
	for i, line := range lines {
		if i == maxReplyLines {
			b.WriteString("    > ...\r\n")
			break
		}
		if line = shown(line, maxReply); line != "" {
			wrap(b, "    > ", line)
		}
	}
}

// writeOriginal appends which message it is about, and what of it is returned.
func (n *Notice) writeOriginal(b *strings.Builder, o *returned) {
	wrap(b, "", "Which message this is about:")
	b.WriteString("\r\n")
	if s := o.subject(); s != "" {
		wrap(b, "    ", "Subject: "+s)
	}
	if s := o.date(); s != "" {
		wrap(b, "    ", "Date: "+s)
	}
	if !n.Arrived.IsZero() {
		wrap(b, "    ", "It came to this server on "+onDay(n.Arrived))
	}
	if !n.Envelope.ID.IsZero() {
		wrap(b, "    ", "Its number here, if you ask for help: "+n.Envelope.ID.String())
	}
	b.WriteString("\r\n")
	switch {
	case n.bare():
		wrap(b, "", "Attached is a report that mail programs can read; in it the addresses stand as you wrote them. Nothing of your message is sent back, since anybody can send mail in your name.")
	case o.kind == "":
		wrap(b, "", "Attached is a report that mail programs can read.")
	case o.full:
		wrap(b, "", "Attached are a report that mail programs can read, and your message.")
	case o.why != "":
		wrap(b, "", "Attached are a report that mail programs can read, and the header of your message only: "+o.why+".")
	default:
		wrap(b, "", "Attached are a report that mail programs can read, and the header of your message.")
	}
}
