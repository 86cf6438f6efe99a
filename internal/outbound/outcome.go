package outbound

import (
	"fmt"
	"strings"

	"postrider/internal/smtp"
	"postrider/internal/store"
)

// outcome is what one attempt came to, for one row.
type outcome struct {
	kind outcomeKind
	// reply is what the other host said, if that decided; else text says what
	// happened, in words that are ours.
	reply *smtp.Reply
	text  string
	// status is the enhanced code where there is no reply, or a reply without one.
	status string
	stage  smtp.Stage
	host   string // who was talked to
	tls    string // what protected that, in words; empty: nothing
	// relayed says that the other host sends the notifications from now on.
	relayed bool
	// uncertain says that the other host may have taken the message.
	uncertain bool
	// ours says that nothing is wrong with the other host, untried that no attempt was
	// made.
	ours, untried bool
}

type outcomeKind uint8

const (
	delivered outcomeKind = iota
	deferred              // may go well later
	failed                // won't
	held                  // an operator has to look
)

// String returns the kind in a word, for logs and metrics.
func (k outcomeKind) String() string {
	return [...]string{"delivered", "deferred", "failed", "held"}[k]
}

// failure is an outcome that is none of a delivery.
type failure = outcome

// failing returns a failure that may pass.
func failing(status, text string) outcome {
	return outcome{kind: deferred, status: status, text: text}
}

// final returns a failure that won't pass.
func final(status, text string) outcome {
	return outcome{kind: failed, status: status, text: text}
}

// tooLate is for a message whose sender wanted it returned at a time that has
// passed (RFC 2852 §4).
var tooLate = failure{
	kind: failed, status: "5.4.7", untried: true, text: "it could not be delivered within the time that its sender set",
}

// again returns the failure for another message, that is not tried because of it.
func (f *failure) again() outcome {
	o := *f
	o.uncertain, o.ours = false, false
	o.kind = deferred
	if o.reply == nil && !strings.HasPrefix(o.text, notNow) {
		o.text = notNow + o.text
	}
	return o
}

const notNow = "not tried, since a moment ago: "

// ofReply returns the outcome that a reply means.
func ofReply(r *smtp.Reply, stage smtp.Stage, host string) outcome {
	o := outcome{kind: deferred, reply: r, stage: stage, host: host}
	switch {
	case 200 <= r.Code && r.Code <= 299:
		o.kind = delivered
	case 500 <= r.Code && r.Code <= 599:
		o.kind = failed
	}
	return o
}

// says returns what was answered, or what happened, in text of any number of
// lines.
func (o *outcome) says() string {
	if o.reply == nil {
		return o.text
	}
	return replyText(o.reply)
}

// replyText returns a reply with its codes before each line, as it came: "550-5.1.1 …"
// before the last one. What another host said is not mended (RFC 3464 §2.3.6); code
// mends what is told by us.
func replyText(r *smtp.Reply) string {
	text, enhanced := r.Said, ""
	if text == "" {
		text = r.Text
		if r.Enhanced != "" {
			enhanced = fmt.Sprintf("%d.%s ", r.Code/100, r.Enhanced)
		}
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = strings.TrimRight(fmt.Sprintf("%03d%s%s%s", r.Code, sep, enhanced, l), " ")
	}
	return strings.Join(lines, "\n")
}

// code returns the enhanced code (RFC 3463), "4.0.0" if nothing better is known.
func (o *outcome) code() string {
	if o.reply != nil {
		if o.reply.Enhanced != "" {
			return fmt.Sprintf("%d.%s", o.reply.Code/100, o.reply.Enhanced)
		}
		return fmt.Sprintf("%d.0.0", o.reply.Code/100)
	}
	if o.status == "" {
		return "4.0.0"
	}
	return o.status
}

// all returns one outcome for each row of a job.
func all(j *job, o outcome) []outcome {
	os := make([]outcome, j.rows())
	for i := range os {
		os[i] = o
	}
	return os
}

// needsBound says which calls get mail that requires TLS; see bound.
const needsBound = "since it requires TLS (REQUIRETLS), a host that calls gets it only over TLS, with REQUIRETLS, and after a login with EXTERNAL or SCRAM-SHA-256-PLUS"

// kept is the outcome for a message that a route keeps.
func kept(r *Route, m *store.QueuedMessage) outcome {
	o := failing("4.3.0", r.Why)
	if r.Why == "" {
		o.text = fmt.Sprintf("the route %q keeps it in the queue until its host asks for it", r.Name)
	}
	if requiresTLS(m) {
		o.status, o.text = "4.7.10", o.text+"; "+needsBound
	}
	o.untried = true
	return o
}
