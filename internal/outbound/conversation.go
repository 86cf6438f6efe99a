package outbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// conversation is one connection to one host: the source of its session.
type conversation struct {
	d    *Deliverer
	h    *hop
	t    *target
	ctx  context.Context // ends when no further message should be taken
	idle time.Duration   // how long to wait for one

	met, offersTLS bool   // it has answered EHLO, and offers STARTTLS or has TLS
	helo, tls      string // what the host called itself, and what protects the connection
	turned         bool   // the host has asked for its mail on its own connection (ATRN)
	noHandshake    bool   // the connection ended in a handshake of TLS
	reused         bool   // what is left was lost on a connection that had been used

	first   *job // the one that the connection was made for, until it is taken
	current *job
	served  int // messages that the host has decided about

	// left is what the host has not decided about, nil if nothing; failure is why.
	left    *job
	failure *failure
}

// Next implements smtp.Source.
func (c *conversation) Next(_ context.Context, peer *smtp.Peer) *smtp.Outgoing {
	c.met = c.met || peer.Hostname != ""
	c.helo = peer.Hostname
	c.offersTLS = c.offersTLS || peer.StartTLS || peer.TLS != nil
	j := c.nextJob(peer)
	if j == nil {
		return nil
	}
	c.current = j
	return c.outgoing(j)
}

// nextJob takes the next job for the connection, nil when it should end.
func (c *conversation) nextJob(peer *smtp.Peer) *job {
	limit := c.h.terms.RecipientsPerMessage
	if peer.MaxRecipients > 0 {
		limit = min(limit, peer.MaxRecipients)
	}
	if j := c.first; j != nil {
		c.first = nil
		if j.rows() > limit {
			n := 0
			rest := j.split(func(int) bool { n++; return n > limit })
			c.d.putBack(c.h, rest)
		}
		return j
	}
	if c.left != nil || c.served >= c.h.terms.MessagesPerConnection || peer.MaxMessages > 0 && c.served >= peer.MaxMessages {
		return nil
	}
	return c.d.take(c.ctx, c.h, limit, c.idle)
}

// outgoing is a job as the session sees it.
func (c *conversation) outgoing(j *job) *smtp.Outgoing {
	e := j.msg.Envelope
	e.Size = j.msg.Size
	e.Recipients = make([]mail.Recipient, j.rows())
	for i := range j.msg.Rows {
		e.Recipients[i] = j.msg.Rows[i].Recipient
	}
	return &smtp.Outgoing{
		Envelope: e,
		Open: func(ctx context.Context, form smtp.Form) (smtp.OutgoingContent, error) {
			return c.d.open(ctx, j, form)
		},
	}
}

// Done implements smtp.Source.
func (c *conversation) Done(_ *smtp.Outgoing, r *smtp.Result) {
	j := c.current
	c.current = nil
	if r.Fault != nil {
		c.spoilt(j, r)
		return
	}
	c.further(j, r)
	outcomes := make([]outcome, len(r.Recipients))
	decided := make([]bool, len(r.Recipients))
	n := 0
	for i := range r.Recipients {
		rr := &r.Recipients[i]
		if rr.Reply == nil || c.ofHost(rr) && !r.Uncertain {
			continue
		}
		outcomes[i] = c.outcomeOf(rr)
		decided[i] = true
		n++
	}
	if n < len(decided) {
		c.undecided(j.split(func(i int) bool { return !decided[i] }), r)
	}
	if n == 0 {
		return
	}
	kept := outcomes[:0]
	for i, o := range outcomes {
		if decided[i] {
			kept = append(kept, o)
		}
	}
	c.served++
	c.d.succeeded(c.h)
	c.d.finish(j, kept)
}

// further takes recipients out of a job and its result that the host has refused
// only since it had so many already, and puts them back (RFC 5321 §4.5.3.1.10). Each
// transaction of a message delivers to one at least, so that it comes to an end.
func (c *conversation) further(j *job, r *smtp.Result) {
	many := func(rr smtp.RecipientResult) bool { return tooMany(&rr) }
	taken := func(rr smtp.RecipientResult) bool { return rr.Reply != nil && rr.Reply.Code/100 == 2 }
	if !slices.ContainsFunc(r.Recipients, many) || !slices.ContainsFunc(r.Recipients, taken) {
		return
	}
	rest := j.split(func(i int) bool { return tooMany(&r.Recipients[i]) })
	r.Recipients = slices.DeleteFunc(r.Recipients, many)
	c.d.putBack(c.h, rest)
}

// tooMany reports whether a recipient was refused for the number of those before
// it. RFC 821 had another code for that, which means more.
func tooMany(rr *smtp.RecipientResult) bool {
	if rr.Reply == nil || rr.Local || rr.Stage != smtp.StageRcpt {
		return false
	}
	code, enhanced := rr.Reply.Code, rr.Reply.Enhanced
	return code == 452 && (enhanced == "" || enhanced == "5.3") || code == 552 && enhanced == "5.3"
}

// outcomeOf returns what a recipient's result means. A reply of ours, to what the
// host was not asked since it could not, is put as our own words.
func (c *conversation) outcomeOf(rr *smtp.RecipientResult) outcome {
	o := ofReply(rr.Reply, rr.Stage, c.t.String())
	o.relayed, o.tls = rr.Relayed, c.tls
	if rr.Local {
		o.status, o.text, o.reply = o.code(), rr.Reply.Text, nil
		if c.turned && isUnproven(rr) {
			o = unproven(o)
		}
	}
	return o
}

// isUnproven reports whether a message with REQUIRETLS was not sent as it may go only
// where TLS is proven, and with REQUIRETLS.
func isUnproven(rr *smtp.RecipientResult) bool {
	return rr.Local && (rr.Reply.Enhanced == "7.10" || rr.Reply.Enhanced == "7.30")
}

// unproven returns such a failure of a host that has called: nothing was tried, and the
// mail stays. That this connection won't do says nothing of the next, or of the hosts
// that the DNS names, which have to be tried before it is returned (RFC 8689 §4.2.1).
func unproven(o outcome) outcome {
	o.kind, o.untried = deferred, true
	o.status = "4" + o.status[1:]
	o.text += "; " + needsBound
	return o
}

// ofHost reports whether a reply is about this host and not about the message:
// another may take it.
func (c *conversation) ofHost(rr *smtp.RecipientResult) bool {
	switch rr.Stage {
	case smtp.StageConnect, smtp.StageGreeting, smtp.StageHello, smtp.StageTLS, smtp.StageLogin:
		return true
	}
	return rr.Reply.Code == 421 || c.lacksProof(rr)
}

// lacksProof reports whether a host can't have a message with REQUIRETLS. Each of
// the domain's hosts is asked, and if none will do the sender is told at once (RFC
// 8689 §4.2.1).
func (c *conversation) lacksProof(rr *smtp.RecipientResult) bool {
	return c.h.requireTLS && (rr.Local && rr.Stage == smtp.StageTLS || isUnproven(rr))
}

// undecided notes what the host has not decided about, and why.
func (c *conversation) undecided(j *job, r *smtp.Result) {
	c.left = j
	c.reused = r.Reused && !r.Uncertain && r.Lost != ""
	o := failing("4.4.2", lostText(r.Lost, r.Why))
	o.stage, o.host = r.Lost, c.t.String()
	for i := range r.Recipients {
		if rr := &r.Recipients[i]; rr.Reply != nil && c.ofHost(rr) {
			o = c.outcomeOf(rr)
			if o.kind == deferred && c.lacksProof(rr) {
				o.kind, o.status = failed, "5.7.10"
			}
			break
		}
	}
	switch {
	case r.Uncertain:
		o.uncertain = true
		o.text = "the connection broke after the whole message had been sent: " + c.t.String() +
			" may have taken it, and it will be sent again, so that it may arrive twice"
	case o.stage == smtp.StageLogin && o.kind == failed:
		// It is not the sender's fault, and passes when the operator mends it.
		o.kind = deferred
		c.d.log.Error("a host refuses our login: look at the route's username and password",
			"route", c.h.route.Name, "host", c.t.String(), "reply", o.says())
	}
	c.failure = &o
}

// spoilt ends a job that went wrong here.
func (c *conversation) spoilt(j *job, r *smtp.Result) {
	if errors.Is(r.Fault, context.Canceled) {
		o := failing("4.3.2", errCut.Error())
		o.ours = true
		c.left, c.failure = j, &o
		return
	}
	c.d.log.Error("a queued message can't be sent", "message", j.msg.AcceptID.String(), "queued", j.msg.ID.String(),
		"error", r.Fault, "advice", adviceOn(r.Fault))
	switch fault.KindOf(r.Fault) {
	case fault.Corrupt, fault.NotFound:
		o := outcome{
			kind: held, status: "5.3.0", ours: true,
			text: "the stored message is damaged: run 'postrider store check', then release or drop it",
		}
		c.d.finish(j, all(j, o))
	case fault.Invalid:
		o := final("5.6.0", "it has what can't be sent to another host")
		c.d.finish(j, all(j, o))
	default:
		o := failing("4.3.0", "it could not be read here")
		o.ours = true
		c.d.finish(j, all(j, o))
	}
}

func adviceOn(err error) string {
	if fault.Is(err, fault.Corrupt) {
		return "run 'postrider store check'; the message is held until it is released or dropped"
	}
	return "it is tried again"
}

// putBack gives a hop rows back that it has handed out.
func (d *Deliverer) putBack(h *hop, j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.putBack(j)
	d.spawn(h)
}

// lost returns the failure of a connection that the session could say nothing of.
func (c *conversation) lost(err error) *failure {
	o := failing("4.4.1", fmt.Sprintf("no conversation with %s: %s", c.t.where(), plain(err)))
	o.host, o.stage = c.t.String(), smtp.StageConnect
	return &o
}
