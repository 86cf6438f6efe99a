package receive

import (
	"context"
	"errors"
	"time"

	"postrider/internal/dsn"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// content is a message that is coming in. It goes to the store as it comes,
// below the Received field; meanwhile its header is watched.
type content struct {
	r     *Receiver
	tx    *smtp.Transaction
	store store.Content
	// received is the time of the Received field and the internal date.
	received time.Time
	scanner  message.HeaderScanner
	// held is the message's first octets, as long as they don't tell whether it
	// begins with a header; at most message.MaxFieldName of them.
	held    []byte
	started bool // the Received field has been written
	top     int  // octets of it, and of the blank line that may follow it
	// last are the message's last two octets so far; CRLF before the first.
	last [2]byte
	// messageID and hold are those of a submission, see acceptance.
	messageID string
	hold      time.Time
	// reserved is what counts for a rate while it comes; nil: nothing does.
	reserved *reservation
	// body is what is stored, if it was converted.
	body *mail.BodyType
}

// Content begins the message of a transaction.
func (r *Receiver) Content(ctx context.Context, tx *smtp.Transaction) (smtp.Content, error) {
	var c content
	var err error
	switch roleOf(tx) {
	case roleSubmission:
		return r.submit(ctx, tx)
	case roleRelay:
		c, err = r.relay(ctx, tx)
	default:
		c, err = r.begin(ctx, tx)
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// begin makes a place for a message.
func (r *Receiver) begin(ctx context.Context, tx *smtp.Transaction) (content, error) {
	if routeOf(tx).isEmpty() {
		return content{}, fault.New(fault.Invalid, "begin message", errors.New("no recipient has been accepted"))
	}
	c, err := r.o.Store.NewContent(ctx, tx.Envelope.Size)
	if err != nil {
		return content{}, r.refuse(ctx, stageData, tx, nil, fault.Wrap("begin message", err))
	}
	return content{r: r, tx: tx, store: c, received: r.o.Now(), last: [2]byte{'\r', '\n'}}, nil
}

// Write takes octets of the message.
func (c *content) Write(p []byte) (int, error) {
	if !c.scanner.Done() {
		c.scanner.Write(p)
	}
	switch n := len(p); {
	case n > 1:
		c.last = [2]byte(p[n-2:])
	case n == 1:
		c.last = [2]byte{c.last[1], p[0]}
	}
	if !c.started {
		if c.scanner.Opening() == message.Undecided {
			c.held = append(c.held, p...)
			return len(p), nil
		}
		if err := c.start(); err != nil {
			return 0, c.broken(err)
		}
	}
	n, err := c.store.Write(p)
	if err != nil {
		return n, c.broken(err)
	}
	return n, nil
}

// broken reports that the store takes no more of the message.
func (c *content) broken(err error) error {
	return c.r.refuse(context.Background(), stageData, c.tx, nil, fault.Wrap("take in message", err))
}

// start writes the Received field, and what has been held back behind it. A
// message that begins with text, not with a header, gets a blank line above it,
// as the end of our fields: the text is not to be taken for a part of them.
func (c *content) start() error {
	b := c.r.receivedField(c.tx, c.received).AppendTo(make([]byte, 0, 512))
	if c.scanner.Opening() == message.Text {
		b = append(b, "\r\n"...)
	}
	c.top = len(b)
	b = append(b, c.held...)
	c.held, c.started = nil, true
	_, err := c.store.Write(b)
	return err
}

func (r *Receiver) receivedField(tx *smtp.Transaction, now time.Time) message.Received {
	client := tx.Client
	f := message.Received{
		Helo:   client.Helo,
		Remote: client.Remote.Addr(),
		Hidden: r.o.HideClient && isSubmission(tx),
		By:     client.Hostname,
		With:   message.With(client.Extended, tx.Envelope.SMTPUTF8, client.TLS != "", client.Mechanism != ""),
		TLS:    client.TLS,
		ID:     tx.Envelope.ID,
		Time:   now,
	}
	if rs := tx.Envelope.Recipients; len(rs) == 1 {
		f.For = rs[0].Address
	}
	return f
}

// Commit stores the message in every mailbox on its route, and in the queue for
// other hosts: in all or in none.
//
// Once it has begun it does not heed that ctx ends. A commit that is broken
// off would leave open whether it happened, and the client, which heard nothing,
// would send again what may be there. If ctx has ended before, nothing is stored.
func (c *content) Commit(ctx context.Context) error {
	defer c.Abort()
	if err := c.commit(ctx, false); err != nil {
		return c.r.refuse(ctx, stageData, c.tx, nil, err)
	}
	return nil
}

// commit judges the message and delivers it. Long says that it has lines that have
// to be shortened.
func (c *content) commit(ctx context.Context, long bool) error {
	c.scanner.End()
	if err := c.judge(); err != nil {
		return err
	}
	what := "store message " + c.tx.Envelope.ID.String()
	if err := c.complete(); err != nil {
		return fault.Wrap(what, err)
	}
	if err := c.revise(ctx, long); err != nil {
		return err
	}
	if err := fitsSomewhere(routeOf(c.tx), c.store.Size()); err != nil {
		return err
	}
	return fault.Wrap(what, c.deliver(ctx))
}

// Abort forgets the message.
func (c *content) Abort() {
	c.reserved.release()
	c.store.Discard()
}

// complete writes what is still missing of the content.
func (c *content) complete() error {
	if !c.started {
		if err := c.start(); err != nil {
			return err
		}
	}
	if c.isBinary() { // its end is part of it; revise makes lines
		return nil
	}
	return c.endLine()
}

// deliver is the commit. It is not tried again after a failure: the sender will
// do so, and until then holds the message.
func (c *content) deliver(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, "wait for the client", err)
	}
	octets := c.store.Size()
	begun := c.r.o.Now()
	w := routeOf(c.tx)
	if !c.hold.After(begun) {
		c.hold = time.Time{} // due meanwhile
	}
	accept := store.Accept{
		ID: c.tx.Envelope.ID, Content: c.store, Received: c.received, Envelope: c.envelope(),
		Deliveries: deliveries(&c.tx.Envelope, w),
	}
	if len(accept.Deliveries) > 0 {
		accept.Hold = c.hold
	}
	due := begun
	if !c.hold.IsZero() {
		due = c.hold
	}
	var err error
	if accept.Onward, err = c.r.passages(ctx, c.tx, &accept.Envelope, due); err != nil {
		return err
	}
	var header []byte
	if len(w.told) > 0 && accept.Hold.IsZero() && !isStranger(c.tx) {
		header = c.header()
	}
	a, err := c.r.o.Store.Accept(context.WithoutCancel(ctx), accept)
	if fault.Is(err, fault.NotFound) {
		// An account went away since RCPT; asked again, it gets an answer of its own.
		return fault.New(fault.Transient, "find the mailboxes again", err)
	}
	if err != nil {
		return err
	}
	if a.Repeated { // no ID is used twice here: the store has another message
		return fault.New(fault.Internal, "accept", errors.New("the message id has been used before"))
	}
	now := c.r.o.Now()
	c.reserved.keep(now)
	c.r.accepted(ctx, c.tx, acceptance{
		octets: octets, copies: len(accept.Deliveries), onward: w.remote(), took: now.Sub(begun), messageID: c.messageID, hold: c.hold,
	})
	c.r.kick(accept.Onward)
	if accept.Hold.IsZero() { // else they are told when it is released
		c.r.tellOfSuccess(context.WithoutCancel(ctx), &accept.Envelope, w.told, c.received, header, isStranger(c.tx))
	}
	return nil
}

// header returns the message's header, by which its sender knows it in a notification;
// nil if it can't be read: the notification does without.
func (c *content) header() []byte {
	h, err := dsn.Header(c.store, c.store.Size())
	if err != nil {
		return nil
	}
	return h
}

// envelope is what is kept with the message.
func (c *content) envelope() mail.Envelope {
	e := c.tx.Envelope
	if c.body != nil {
		e.Body = *c.body
	}
	// The parameter of MAIL outdoes the field (RFC 8689 §4.1).
	e.TLSOptional = c.scanner.Header().TLSOptional && !e.RequireTLS
	return e
}

// endLine gives the last line its end if BDAT has brought none: a message
// consists of lines (RFC 5322 §2.1), and POP3 can send nothing else, so that
// without it the octets sent would not be those announced (RFC 1939 §3).
func (c *content) endLine() error {
	if c.last == [2]byte{'\r', '\n'} {
		return nil
	}
	_, err := c.store.Write([]byte("\r\n"))
	return err
}

// deliveries returns a copy for each mailbox on the route, with its own
// Return-Path and Delivered-To on top (RFC 5321 §4.4).
func deliveries(e *mail.Envelope, w *route) []store.Delivery {
	returnPath := message.AppendReturnPath(nil, e.From)
	ds := make([]store.Delivery, len(w.targets))
	for i, t := range w.targets {
		prefix := make([]byte, 0, len(returnPath)+len("Delivered-To: \r\n")+len(t.Address.Local)+len(t.Address.Domain)+1)
		prefix = append(prefix, returnPath...)
		ds[i] = store.Delivery{
			Account: t.Account,
			Mailbox: mail.Inbox,
			Prefix:  message.AppendDeliveredTo(prefix, t.Address),
		}
	}
	return ds
}
