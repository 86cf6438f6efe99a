package smtp

import (
	"errors"
	"fmt"
	"time"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// maxGroup is how many octets of commands a client sends at once. It waits for
// the replies to a group before it sends the next, so that neither side waits
// for the other with full buffers (RFC 2920 §3.1).
const maxGroup = 8 << 10

// maxIdle is how large a buffer for commands a client keeps while it waits for
// its next message, in octets.
const maxIdle = 1 << 10

// delivery is a transaction from the client's side. Its recipients are named in
// their order; those that can't be named to this server are passed over.
type delivery struct {
	out     *Outgoing
	content OutgoingContent // nil once it is closed
	result  *Result
	body    contentBody
	utf8    bool // SMTPUTF8 is said
	chunked bool // BDAT instead of DATA

	mailSaid, mailAnswered bool
	named, answered        int  // recipients, from the first
	accepted               int  // recipients
	dataSaid               bool // DATA; its reply is due or has come
	goAhead                bool // 354 has come
}

// next begins the next transaction, or ends the conversation if there is none.
func (c *client) next() session.Step {
	for !c.stopping && (c.peer.MaxMessages == 0 || c.sent < c.peer.MaxMessages) {
		c.take()
		switch {
		case c.tx == nil:
			return c.quit()
		case !c.prepare():
			c.finish()
		case c.dirty:
			return c.say(append(c.buf[:0], "RSET\r\n"...), (*client).reset, StageMail, c.opts.Mail)
		default:
			return c.proceed()
		}
	}
	return c.quit()
}

// take asks for a message.
func (c *client) take() {
	c.asked = true
	if cap(c.buf) > maxIdle {
		c.buf = nil
	}
	out := c.source.Next(c.conn.Context, &c.peer)
	if out == nil {
		return
	}
	c.spare = delivery{out: out, result: &Result{
		Recipients: make([]RecipientResult, len(out.Envelope.Recipients)),
		Reused:     c.sent > 0,
	}}
	c.tx = &c.spare
}

// finish says what became of the transaction, and forgets it.
func (c *client) finish() {
	tx := c.tx
	c.tx = nil
	tx.close()
	r := tx.result
	if r.Fault == nil {
		r.Fault = tx.body.fault
	}
	if c.lost != "" {
		r.Lost, r.Why = c.lost, c.why
		if tx.body.begun && !tx.body.whole {
			r.Lost = StageContent
		}
		r.Uncertain = tx.body.whole && tx.undecided()
	}
	for i := range r.Recipients {
		if r.Recipients[i].Stage == "" {
			r.Recipients[i].Stage = r.Lost
		}
	}
	out := tx.out
	*tx = delivery{}
	c.source.Done(out, r)
}

func (tx *delivery) close() {
	if tx.content != nil {
		_ = tx.content.Close() // it was only read
		tx.content = nil
	}
}

// decide notes a reply for all recipients that none has decided about yet.
func (tx *delivery) decide(r *Reply, stage Stage, local bool) {
	for i := range tx.result.Recipients {
		tx.decideOne(i, r, stage, local)
	}
}

func (tx *delivery) decideOne(i int, r *Reply, stage Stage, local bool) {
	if one := &tx.result.Recipients[i]; one.Reply == nil {
		one.Reply, one.Stage, one.Local = r, stage, local
	}
}

// undecided reports whether there is a recipient without a reply.
func (tx *delivery) undecided() bool {
	for i := range tx.result.Recipients {
		if tx.result.Recipients[i].Reply == nil {
			return true
		}
	}
	return false
}

// prepare gets a transaction ready to be begun. It reports false if it ends
// here, with nothing said to the server.
func (c *client) prepare() bool {
	tx := c.tx
	env := &tx.out.Envelope
	if err := checkEnvelope(env); err != nil {
		tx.result.Fault = err
		return false
	}
	if r := c.cannotSend(env); r != nil {
		tx.decide(r, StageMail, true)
		return false
	}
	tx.utf8 = c.peer.UTF8 && (env.SMTPUTF8 || !env.From.ASCII())
	for i := range env.Recipients {
		switch {
		case !isRecipient(&env.Recipients[i]):
			tx.decideOne(i, replyNoAddress(), StageRcpt, true)
		case env.Recipients[i].Address.ASCII():
		case c.peer.UTF8:
			tx.utf8 = true
		default:
			tx.decideOne(i, replyNeedsUTF8(), StageRcpt, true)
		}
	}
	return tx.undecided() && c.open()
}

// cannotSend returns why an envelope can't be sent to this server, or nil.
func (c *client) cannotSend(env *mail.Envelope) *Reply {
	switch {
	case !env.From.ASCII() && !c.peer.UTF8:
		return replyNeedsUTF8()
	case !env.RequireTLS || env.From.IsZero():
		// RFC 8689 §5: a notification is sent all the same.
	case c.conn.TLS == nil || !c.opts.Verified:
		return &Reply{Code: 550, Enhanced: "7.10", Text: "The message may go only where TLS is verified, and here it is not"}
	case !c.peer.RequireTLS:
		return &Reply{Code: 550, Enhanced: "7.30", Text: "The message may go only to servers with REQUIRETLS, and this one does not offer it"}
	}
	return c.cannotBeInTime(env)
}

// replyNeedsUTF8 is about an address that can't be told to a server without
// SMTPUTF8 (RFC 6531 §3.5).
func replyNeedsUTF8() *Reply {
	return &Reply{Code: 553, Enhanced: "6.7", Text: "The address is not ASCII, and the server does not offer SMTPUTF8"}
}

// replyNoAddress is about a recipient that is none: what is stored was damaged.
func replyNoAddress() *Reply {
	return &Reply{Code: 553, Enhanced: "1.3", Text: "That is not an address to which mail can be sent"}
}

// open opens the content in a form that the server takes.
func (c *client) open() bool {
	tx := c.tx
	form := Form{
		EightBit: c.peer.EightBit,
		Binary:   c.peer.Binary && c.peer.Chunking,
		UTF8:     c.peer.UTF8,
	}
	content, err := tx.out.Open(c.conn.Context, form)
	if err != nil {
		var r *Reply
		if errors.As(err, &r) {
			tx.decide(r, StageMail, true)
		} else {
			tx.result.Fault = err
		}
		return false
	}
	tx.content = content
	size, body := content.Size(), content.Body()
	switch {
	case body == mail.Body8BitMIME && !form.EightBit, body == mail.BodyBinaryMIME && !form.Binary:
		tx.result.Fault = fmt.Errorf("content is %v, which the server does not take", body)
		return false
	case c.peer.MaxSize > 0 && size > c.peer.MaxSize: // RFC 1870 §6.1
		tx.decide(&Reply{Code: 552, Enhanced: "3.4", Text: fmt.Sprintf(
			"The message has %d octets, and the server takes %d", size, c.peer.MaxSize)}, StageMail, true)
		return false
	}
	tx.chunked = c.peer.Chunking
	tx.body.prepare(content, size, tx.chunked, body == mail.BodyBinaryMIME)
	return true
}

// reset takes the answer to RSET. A server that refuses it may mix what comes
// with what was before.
func (c *client) reset() session.Step {
	if c.in.class() != 2 {
		return c.lose("the server refused RSET")
	}
	c.dirty = false
	return c.proceed()
}

// proceed says what comes next in the transaction, when no reply is due.
func (c *client) proceed() session.Step {
	tx := c.tx
	all := len(tx.out.Envelope.Recipients)
	switch {
	case tx.goAhead && tx.accepted == 0:
		return c.emptyMessage()
	case tx.goAhead:
		return c.sendContent(nil)
	case tx.mailAnswered && !tx.undecided():
		return c.over()
	case tx.mailAnswered && tx.named == all && tx.chunked:
		// RFC 3030 §2: after the replies to MAIL and RCPT were collected. So nobody
		// gets the content who has refused it.
		return c.sendContent(tx.body.appendBDAT(c.buf[:0]))
	}
	return c.commands()
}

// commands sends MAIL, RCPT and DATA: as many at once as the server lets.
func (c *client) commands() session.Step {
	tx := c.tx
	env := &tx.out.Envelope
	b := c.buf[:0]
	if !tx.mailSaid {
		tx.mailSaid = true
		c.sent++
		b = c.appendMail(b)
		tx.skip()
	}
	for tx.named < len(env.Recipients) && c.another(b) {
		b = c.appendRcpt(b, &env.Recipients[tx.named])
		tx.named++
		tx.skip()
	}
	if tx.named == len(env.Recipients) && !tx.chunked && c.another(b) {
		// RFC 2920 §3.1: DATA is the last of a group.
		tx.dataSaid = true
		b = append(b, "DATA\r\n"...)
	}
	stage := c.due()
	return c.say(b, (*client).answered, stage, c.patience(stage))
}

// another reports whether one more command may go with those in b.
func (c *client) another(b []byte) bool {
	return len(b) == 0 || c.peer.Pipelining && len(b) < maxGroup
}

// skip passes over recipients that can't be named.
func (tx *delivery) skip() {
	for tx.named < len(tx.out.Envelope.Recipients) && !tx.nameable(tx.named) {
		tx.named++
	}
}

// nameable reports whether a recipient can be named to the server.
func (tx *delivery) nameable(i int) bool {
	r := &tx.out.Envelope.Recipients[i]
	return isRecipient(r) && (tx.utf8 || r.Address.ASCII())
}

// due returns the stage of the reply that is due next.
func (c *client) due() Stage {
	tx := c.tx
	for tx.answered < tx.named && !tx.nameable(tx.answered) {
		tx.answered++
	}
	switch {
	case !tx.mailAnswered:
		return StageMail
	case tx.answered < tx.named:
		return StageRcpt
	}
	return StageData
}

// patience returns how long the reply of a stage may take.
func (c *client) patience(stage Stage) time.Duration {
	switch stage {
	case StageRcpt:
		return c.opts.Rcpt
	case StageData:
		return c.opts.Data
	}
	return c.opts.Mail
}

// answered takes the reply to MAIL, RCPT or DATA, whichever is due, and waits
// for the one after it.
func (c *client) answered() session.Step {
	tx := c.tx
	var bad bool
	switch c.stage {
	case StageMail:
		bad = c.mailAnswered()
	case StageRcpt:
		bad = c.rcptAnswered()
	case StageData:
		bad = c.dataAnswered()
	}
	if bad {
		return c.nonsense(string(c.stage))
	}
	wasData := c.stage == StageData
	if stage := c.due(); stage == StageRcpt || tx.dataSaid && !wasData {
		return c.await((*client).answered, stage, c.patience(stage))
	}
	return c.proceed()
}

// mailAnswered takes the reply to MAIL; bad is true if it can't be one.
func (c *client) mailAnswered() (bad bool) {
	c.tx.mailAnswered = true
	switch {
	case c.in.refuses():
		c.tx.decide(c.in.reply(), StageMail, false)
	case c.in.class() != 2:
		return true
	default:
		c.dirty = true
	}
	return false
}

// rcptAnswered takes the reply to RCPT.
func (c *client) rcptAnswered() (bad bool) {
	tx := c.tx
	i := tx.answered
	tx.answered++
	switch {
	case c.in.refuses():
		tx.decideOne(i, c.in.reply(), StageRcpt, false)
		return false
	case c.in.class() != 2:
		return true
	}
	c.dirty = true
	if tx.result.Recipients[i].Reply == nil { // MAIL was accepted
		tx.accepted++
	}
	return false
}

// dataAnswered takes the reply to DATA.
func (c *client) dataAnswered() (bad bool) {
	switch {
	case c.in.refuses():
		c.tx.decide(c.in.reply(), StageData, false)
	case c.in.class() != 3:
		return true
	default:
		c.tx.goAhead, c.dirty = true, true
	}
	return false
}

// emptyMessage answers a server that asks for the message though it has
// accepted no recipient (RFC 2920 §3.1): with a dot alone.
func (c *client) emptyMessage() session.Step {
	return c.say(append(c.buf[:0], ".\r\n"...), (*client).emptied, StageEnd, c.opts.End)
}

// emptied takes the answer, whatever it is. The transaction is over.
func (c *client) emptied() session.Step {
	c.dirty = false
	return c.over()
}

// sendContent sends the message.
func (c *client) sendContent(command []byte) session.Step {
	step := c.say(command, (*client).ended, StageEnd, c.opts.End)
	step.Body = &c.tx.body
	return step
}

// ended takes the reply to the whole message.
func (c *client) ended() session.Step {
	tx := c.tx
	if !tx.body.whole {
		// The server takes no more, and says why.
		c.stopping = true
	}
	if !c.in.refuses() && (c.in.class() != 2 || !tx.body.whole) {
		return c.nonsense("the message")
	}
	r := c.in.reply()
	taken := !c.in.refuses()
	for i := range tx.result.Recipients {
		if one := &tx.result.Recipients[i]; one.Reply == nil {
			// RFC 3461 §5.2.2: what was asked for is the server's affair now.
			one.Relayed = taken && c.peer.DSN && tx.out.Envelope.Recipients[i].Notify != 0
		}
	}
	tx.decide(r, StageEnd, false)
	// RFC 3030 §2: after a BDAT that has failed, RSET. After DATA the transaction is
	// over in any case (RFC 5321 §4.1.1.4).
	c.dirty = tx.chunked && !taken
	return c.over()
}

// over ends the transaction and goes on.
func (c *client) over() session.Step {
	c.finish()
	return c.next()
}
