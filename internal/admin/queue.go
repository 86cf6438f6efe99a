package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// QueueHead is what each row of a message shows of it.
type QueueHead struct {
	ID       string    `json:"id"`
	Accepted time.Time `json:"accepted"`
	Octets   int64     `json:"octets"`
	From     string    `json:"from"` // empty: the null reverse-path
	// Warrant is as in QueueFilter.
	Warrant string `json:"warrant"`
}

// QueueRow is a row of the queue with the head of its message.
type QueueRow struct {
	QueueHead
	QueueRecipient
}

// QueueRecipient is a row of the queue.
type QueueRecipient struct {
	Row         int    `json:"row"`
	To          string `json:"to"`
	Destination string `json:"destination"`
	State       string `json:"state"`
	// Frozen says that its destination is, Kept that nothing is sent at all.
	Frozen bool `json:"frozen"`
	Kept   bool `json:"kept,omitempty"`
	// Next is when it may be tried.
	Next  time.Time `json:"next"`
	Tries int       `json:"tries"`
	// Last is when the latest attempt ended, Host who was talked to, and Reply what
	// was answered or what happened instead.
	Last  time.Time `json:"last,omitzero"`
	Host  string    `json:"host,omitempty"`
	Reply string    `json:"reply,omitempty"`
	// SenderTold says that the sender has been told of the delay, Uncertain that the
	// other host may have taken the message already.
	SenderTold bool `json:"sender_told"`
	Uncertain  bool `json:"uncertain"`
	// Notify and OriginalRecipient are those of RFC 3461 §4.1 and §4.2.
	Notify            string `json:"notify,omitempty"`
	OriginalRecipient string `json:"original_recipient,omitempty"`
}

// QueueMessage is a message in the queue.
type QueueMessage struct {
	QueueHead
	AcceptID string `json:"accept_id"`
	// Notified is where notifications go, if not to From.
	Notified    string    `json:"notified,omitempty"`
	EnvID       string    `json:"envid,omitempty"`
	Ret         string    `json:"ret,omitempty"`
	Body        string    `json:"body"`
	SMTPUTF8    bool      `json:"smtputf8"`
	RequireTLS  bool      `json:"requiretls"`
	TLSOptional bool      `json:"tls_optional"`
	DeliverBy   time.Time `json:"deliver_by,omitzero"`
	// ByMode is what is done when it is late: "return" or "notify".
	ByMode   string           `json:"by_mode,omitempty"`
	Priority int8             `json:"priority"`
	Rows     []QueueRecipient `json:"rows"`
}

type queuedArgument struct {
	ID string `json:"id"`
	// Header asks for no more than the message's header.
	Header bool `json:"header,omitempty"`
}

// Queue lists the rows of the queue that a filter means, by message. A message
// that can't be read hides no other: the error comes last.
func (c *Client) Queue(ctx context.Context, f QueueFilter) iter.Seq2[QueueRow, error] {
	return list[QueueRow](ctx, c, "queue.list", f)
}

// QueuedMessage returns a message of the queue and all its rows.
func (c *Client) QueuedMessage(ctx context.Context, id string) (QueueMessage, error) {
	var m QueueMessage
	err := c.ask(ctx, "queue.show", queuedArgument{ID: id}, &m)
	return m, err
}

// ReadQueued writes a queued message's octets to w, or only its header.
func (c *Client) ReadQueued(ctx context.Context, id string, header bool, w io.Writer) error {
	return c.run(ctx, "queue.read", queuedArgument{id, header}, nil, func(raw json.RawMessage) error {
		var part []byte
		if err := decode(raw, &part); err != nil {
			return err
		}
		_, err := w.Write(part)
		return err
	}, nil)
}

func queueList(s *service, c *call, f QueueFilter) (any, error) {
	rules, err := f.rules()
	if err != nil {
		return nil, err
	}
	why, err := s.still(c)
	if err != nil {
		return nil, err
	}
	var unread unreadMessages
	for m, err := range s.store.Queued(c, mail.ID{}) {
		if err != nil {
			if err := unread.note(m.ID, err); err != nil {
				return nil, err
			}
			continue
		}
		for _, r := range rules.rows(&m) {
			if err := c.emit(QueueRow{queueHead(&m), shownRow(&r, why)}); err != nil {
				return nil, err
			}
		}
	}
	return nil, unread.err()
}

func queueHead(m *store.QueuedMessage) QueueHead {
	return QueueHead{
		ID: m.ID.String(), Accepted: m.Accepted, Octets: m.Size,
		From: m.Envelope.From.String(), Warrant: warrantText(m.Warrant),
	}
}

// still is why rows are not sent when they are due.
type still struct {
	frozen map[string]store.FrozenDestination // destinations
	kept   bool                               // all: no server runs, or it is not to send
}

func (s *service) still(ctx context.Context) (still, error) {
	all := still{frozen: map[string]store.FrozenDestination{}, kept: s.deliverer == nil || !s.deliverer.Running()}
	for d, err := range s.store.Frozen(ctx) {
		if err != nil {
			return all, err
		}
		all.frozen[d.Name] = d
	}
	return all, nil
}

func shownRow(r *store.Row, why still) QueueRecipient {
	_, frozen := why.frozen[r.Recipient.Address.Domain]
	return QueueRecipient{
		Row: r.Index, To: r.Recipient.Address.String(), Destination: r.Recipient.Address.Domain,
		State: queueState(r), Frozen: frozen, Kept: why.kept, Next: r.Due, Tries: r.Attempts,
		Last: r.Last, Host: r.Host, Reply: r.Reply, SenderTold: r.Delayed, Uncertain: r.Uncertain,
		Notify: notifyText(r.Recipient.Notify), OriginalRecipient: r.Recipient.ORcpt,
	}
}

// notifyText returns what NOTIFY was, as it is given (RFC 3461 §4.1).
func notifyText(n mail.Notify) string {
	var words []string
	for i, word := range []string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} {
		if n&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ",")
}

// unreadMessages counts the messages of a list that can't be read.
type unreadMessages struct {
	n     int
	first error
}

// note keeps an error that is about one message, and returns any other.
func (u *unreadMessages) note(id mail.ID, err error) error {
	if id.IsZero() {
		return err
	}
	if u.n++; u.n == 1 {
		u.first = err
	}
	return nil
}

func (u *unreadMessages) err() error {
	if u.n < 2 {
		return u.first
	}
	return fault.Newf(fault.KindOf(u.first), "read the queue", "%d messages can't be read; the first: %w", u.n, u.first)
}

// queuedID reads the id of a message that is queued.
func queuedID(op, text string) (mail.ID, error) {
	id, err := mail.ParseID(text)
	if err != nil {
		return id, fault.New(fault.Invalid, op, err)
	}
	return id, nil
}

// notQueued says it of a message that is not in the queue (any more).
func notQueued(id mail.ID, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, "find "+id.String(), "no message is queued under that id")
	}
	return err
}

func queueShow(s *service, c *call, a queuedArgument) (any, error) {
	id, err := queuedID("show a queued message", a.ID)
	if err != nil {
		return nil, err
	}
	m, err := s.store.QueuedMessage(c, id)
	if err != nil {
		return nil, notQueued(id, err)
	}
	why, err := s.still(c)
	if err != nil {
		return nil, err
	}
	return shownMessage(&m, why), nil
}

func shownMessage(m *store.QueuedMessage, why still) QueueMessage {
	e := &m.Envelope
	shown := QueueMessage{
		QueueHead: queueHead(m), AcceptID: m.AcceptID.String(), Notified: m.Notify.String(), EnvID: e.EnvID,
		Ret: [...]string{"", "FULL", "HDRS"}[min(e.Ret, mail.RetHeaders)], Body: e.Body.String(),
		SMTPUTF8: e.SMTPUTF8, RequireTLS: e.RequireTLS, TLSOptional: e.TLSOptional, DeliverBy: e.DeliverBy.Deadline, Priority: e.Priority,
		Rows: make([]QueueRecipient, len(m.Rows)),
	}
	if !e.DeliverBy.Deadline.IsZero() {
		shown.ByMode = [...]string{"return", "notify"}[min(e.DeliverBy.Mode, mail.ByNotify)]
	}
	for i := range m.Rows {
		shown.Rows[i] = shownRow(&m.Rows[i], why)
	}
	return shown
}

func queueRead(s *service, c *call, a queuedArgument) (any, error) {
	id, err := queuedID("read a queued message", a.ID)
	if err != nil {
		return nil, err
	}
	r, err := s.store.OpenQueued(c, id)
	if err != nil {
		return nil, notQueued(id, err)
	}
	defer r.Close()
	w := bufio.NewWriterSize(emitter{c}, 32<<10)
	if a.Header {
		err = copyHeader(w, r)
	} else {
		_, err = io.Copy(w, r)
	}
	return nil, errors.Join(err, w.Flush())
}

// emitter sends octets as items.
type emitter struct{ c *call }

func (e emitter) Write(p []byte) (int, error) {
	if err := e.c.emit(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// copyHeader copies what is before the first empty line.
func copyHeader(w io.Writer, r io.Reader) error {
	b := bufio.NewReader(r)
	for begins := true; ; {
		part, err := b.ReadSlice('\n')
		if begins && strings.TrimRight(string(part), "\r\n") == "" && len(part) > 0 {
			return nil
		}
		if _, werr := w.Write(part); werr != nil {
			return werr
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
		begins = err == nil
	}
}
