package outbound

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sinktest"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// Write implements io.Writer for its log.
func (l *life) Write(p []byte) (int, error) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.log.Write(p)
}

// fails decides whether an operation of the store fails; a life that is over can't
// do anything.
func (l *life) fails(op storetest.Op, loses bool) error {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.dead {
		return fault.Newf(fault.Invalid, string(op), "the store is closed")
	}
	if l.c.calm {
		return nil
	}
	err := fault.Newf(fault.Transient, string(op), "bad luck")
	switch n := l.c.rand.IntN(40); {
	case n == 0:
		l.Model.FailNext(op, err)
	case n == 1 && loses:
		l.Model.LoseAnswer(op, err)
	}
	return nil
}

// note remembers that something could not be written down.
func (l *life) note(err error) {
	if err == nil {
		return
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.failed = time.Now()
}

// Settle implements store.Queue.
func (l *life) Settle(ctx context.Context, s []store.Settlement) (int, error) {
	if err := l.fails(storetest.OpSettle, true); err != nil {
		return 0, err
	}
	n, err := l.Model.Settle(ctx, s)
	l.note(err)
	return n, err
}

// Lease implements store.Queue.
func (l *life) Lease(ctx context.Context, q store.LeaseQuery) ([]store.Leased, error) {
	if err := l.fails(storetest.OpLease, false); err != nil {
		return nil, err
	}
	return l.Model.Lease(ctx, q)
}

// Unlease implements store.Queue.
func (l *life) Unlease(ctx context.Context, rows []store.RowLease) {
	if l.fails("give leases back", false) == nil {
		l.Model.Unlease(ctx, rows)
	}
}

// OpenQueued implements store.Queue.
func (l *life) OpenQueued(ctx context.Context, id mail.ID) (store.Reader, error) {
	if err := l.fails(storetest.OpOpenQueued, false); err != nil {
		return nil, err
	}
	return l.Model.OpenQueued(ctx, id)
}

// Destinations implements store.Queue.
func (l *life) Destinations(ctx context.Context, after string) iter.Seq2[store.Destination, error] {
	if err := l.fails(storetest.OpDestinations, false); err != nil {
		return func(yield func(store.Destination, error) bool) { yield(store.Destination{}, err) }
	}
	return l.Model.Destinations(ctx, after)
}

// Destination implements store.Queue.
func (l *life) Destination(ctx context.Context, name string) (store.Destination, error) {
	if err := l.fails(storetest.OpDestinations, false); err != nil {
		return store.Destination{}, err
	}
	return l.Model.Destination(ctx, name)
}

// originate puts a notification into the sender's mailbox, and settles, in one
// commit.
func (l *life) originate(ctx context.Context, n Notification) error {
	if err := l.fails(storetest.OpAccept, true); err != nil {
		return err
	}
	content, err := l.NewContent(ctx, 0)
	if err != nil {
		l.note(err)
		return err
	}
	if err := n.Write(content); err != nil {
		return err
	}
	_, err = l.Model.Accept(ctx, store.Accept{
		ID: n.ID, Content: content, Received: time.Now(), Settle: n.Settle,
		Deliveries: []store.Delivery{{Account: l.c.alice, Mailbox: mail.Inbox, Prefix: []byte("X-What: " + n.What + "\r\n")}},
	})
	l.note(err)
	return err
}

// dial connects to a host, if it is there.
func (l *life) dial(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.dead || !l.c.calm && l.c.rand.IntN(5) == 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
	}
	ours, theirs := net.Pipe()
	l.c.conns[theirs] = true
	h := &chaosHost{c: l.c, life: l, awful: l.c.rand.IntN(4) == 0}
	go func() {
		sinktest.New(sinktest.Options{On: h.on}).Serve(theirs)
		l.c.mu.Lock()
		delete(l.c.conns, theirs)
		l.c.mu.Unlock()
	}()
	return ours, nil
}

// chaosHost is another host, for one connection.
type chaosHost struct {
	c     *chaos
	life  *life
	awful bool // worse than others
	// silent: it has left out a reply, so that the client may take one for another's.
	silent bool
}

// on answers, and notes what a client may conclude.
func (h *chaosHost) on(cmd sinktest.Command) sinktest.Answer {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	a := h.misbehave(cmd)
	if h.life.dead {
		return sinktest.Answer{Drop: true}
	}
	h.silent = h.silent || a.Silent
	if a.Text != "" && a.Text[0] == '5' {
		h.refuses(cmd)
	}
	if cmd.Verb == "END" {
		h.takes(cmd.Message, &a)
	}
	return a
}

// misbehave picks an answer; the usual one, mostly.
func (h *chaosHost) misbehave(cmd sinktest.Command) sinktest.Answer {
	odds := 60
	if h.awful {
		odds = 6
	}
	if h.c.calm || h.c.rand.IntN(odds) > 0 {
		return sinktest.Answer{}
	}
	answers := []sinktest.Answer{
		{Drop: true},
		{Drop: true, Take: true},
		{Text: "421 4.3.2 Not now", Drop: true},
		{Text: "421 4.3.2 Not now"},
		{Text: "450 4.2.0 Later"},
		{Text: "451-4.3.0 It is\n451 4.3.0 late"},
		{Text: "550 5.7.1 Never"},
		{Silent: true},
		{Raw: "this is no reply\r\n"},
		{Raw: "25", Drop: true},
		{Raw: "250-and so on\r\n", Drop: true},
		{Raw: "999 what?\r\n"},
		{Raw: "250-one\r\n550 two\r\n"},
		{Delay: 4*time.Minute + 50*time.Second},
		{Delay: 11 * time.Minute},
	}
	if cmd.Verb == "DATA" {
		answers = append(answers, sinktest.Answer{DropAfter: 10}, sinktest.Answer{DropAfter: 30})
	}
	if cmd.Verb == "END" {
		answers = append(answers, sinktest.Answer{Text: "250 2.0.0 Taken", Drop: true})
	}
	return answers[h.c.rand.IntN(len(answers))]
}

// refuses notes whom a reply of 5yz is about.
func (h *chaosHost) refuses(cmd sinktest.Command) {
	switch {
	case h.silent:
		h.c.refuseAll()
	case cmd.Verb == "MAIL", cmd.Verb == "DATA", cmd.Verb == "END", cmd.Verb == "RCPT":
		_, line, _ := strings.Cut(cmd.Line, "<")
		to, _, _ := strings.Cut(line, ">")
		if w := h.c.wants[to]; cmd.Verb == "RCPT" && w != nil {
			w.refused = true
			return
		}
		if cmd.Message != nil {
			for _, to := range cmd.Message.To() {
				h.c.wants[to].refused = true
			}
		}
		if cmd.Verb == "MAIL" { // it does not say whose
			h.c.refuseAll()
		}
	default:
		h.c.refuseAll()
	}
}

// refuseAll notes that any recipient may have been refused.
func (c *chaos) refuseAll() {
	for _, name := range chaosDomains {
		c.refusing[name] = true
	}
}

// takes notes that a whole message has come, and whether the client can know what
// became of it.
func (h *chaosHost) takes(m *sinktest.Message, a *sinktest.Answer) {
	if strings.HasPrefix(a.Text, "4") || strings.HasPrefix(a.Text, "5") || a.Drop && !a.Take && a.Text == "" && a.Raw == "" {
		return
	}
	unknown := a.Silent || a.Raw != "" || a.Drop && a.Text == "" || a.Delay > 0
	for _, to := range m.To() {
		w := h.c.wants[to]
		if w == nil {
			h.c.t.Errorf("%s has got a message that nobody sent", to)
			continue
		}
		w.copies = append(w.copies, chaosCopy{time.Now(), h.life, unknown})
	}
}

// audit holds what has happened to what should have.
func (c *chaos) audit(l *life) {
	if u, err := c.model.QueueUsage(c.t.Context()); err != nil || u.Rows > 0 {
		c.t.Errorf("after six days of calm: the queue has %+v (%v)\n%s", u, err, tail(l.log.String()))
	}
	failed, delayed := c.told()
	twice, copies := 0, 0
	for _, to := range slices.Sorted(maps.Keys(c.wants)) {
		w := c.wants[to]
		copies += len(w.copies)
		domain := to[strings.IndexByte(to, '@')+1:]
		mayFail := w.refused || c.refusing[domain]
		switch {
		case len(failed[to]) > 1 || len(delayed[to]) > 1:
			c.t.Errorf("%s: its sender was told of %d failures and %d delays", to, len(failed[to]), len(delayed[to]))
		case w.null && len(failed[to])+len(delayed[to]) > 0:
			c.t.Errorf("%s: the null reverse-path was told", to)
		case len(w.copies) == 0 && len(failed[to]) == 0 && !(w.null && mayFail):
			c.t.Errorf("%s: it was lost", to)
		case len(failed[to]) > 0 && !mayFail:
			c.t.Errorf("%s: its sender was told of a failure that was none: %s", to, failed[to])
		}
		for i, copied := range w.copies {
			if i == len(w.copies)-1 && len(failed[to]) == 0 {
				break
			}
			twice++
			if !copied.explains(to) {
				c.t.Errorf("%s: it came at %s and was tried again, though the host had said that it was taken\n%s", to,
					copied.at.Format(time.TimeOnly), linesAbout(copied.life.log.String(), to))
			}
		}
	}
	c.t.Logf("%d lives, %d recipients, %d copies, %d of them tried again, %d failures, %d delays", len(c.lives), len(c.wants), copies,
		twice, len(failed), len(delayed))
}

// explains reports whether it is no fault that a copy was followed by another
// attempt.
func (d *chaosCopy) explains(to string) bool {
	if d.life.dead || !d.life.failed.Before(d.at) {
		return true // its settlement was lost
	}
	return d.unknown && strings.Contains(linesAbout(d.life.log.String(), to), "may_come_twice=true")
}

// told returns what senders were told, by recipient.
func (c *chaos) told() (failed, delayed map[string][]string) {
	failed, delayed = map[string][]string{}, map[string][]string{}
	for m, err := range c.model.List(c.t.Context(), c.alice, mail.Inbox, 0) {
		if err != nil {
			c.t.Fatal(err)
		}
		r, err := c.model.Open(c.t.Context(), c.alice, mail.Inbox, m.UID)
		if err != nil {
			c.t.Fatal(err)
		}
		b := make([]byte, r.Size())
		if _, err := r.ReadAt(b, 0); err != nil {
			c.t.Fatal(err)
		}
		r.Close()
		by := map[string]map[string][]string{"failed": failed, "delayed": delayed}
		what, _, _ := bytes.Cut(bytes.TrimPrefix(b, []byte("X-What: ")), []byte("\r\n"))
		for line := range strings.Lines(string(b)) {
			if to, ok := strings.CutPrefix(line, "Final-Recipient: rfc822; "); ok {
				to = strings.TrimSpace(to)
				by[string(what)][to] = append(by[string(what)][to], string(b))
			}
		}
	}
	return failed, delayed
}

// linesAbout returns the lines of a log about a recipient.
func linesAbout(log, to string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, "to="+to) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// tail returns the end of a log.
func tail(log string) string { return log[max(0, len(log)-3000):] }
