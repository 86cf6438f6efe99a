package outbound

import (
	"context"
	"time"

	"postrider/internal/dsn"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// finished is what an attempt for some rows of a message came to, on its way into
// the store: settlements alone, or with notifications that tell of them.
type finished struct {
	rows    int // under lease
	settle  []store.Settlement
	notices []notice
	again   []wakening
	// kept has rows that a route keeps. They are due at once if their hosts have called
	// by the time that they are settled.
	kept *job
}

// wakening is when rows of a destination are due again.
type wakening struct {
	name string
	due  time.Time
}

// notice is a notification to be sent, and the rows that are settled with it.
type notice struct {
	msg        store.QueuedMessage
	to         mail.Address
	what       string
	recipients []dsn.Recipient
	settle     []store.Settlement
}

// finish notes what came of a job, and has it settled: outcomes has one for each
// of its rows.
func (d *Deliverer) finish(j *job, outcomes []outcome) { d.settler.add(d.conclude(j, outcomes)) }

// conclude decides what becomes of a job's rows.
func (d *Deliverer) conclude(j *job, outcomes []outcome) *finished {
	now, luck := d.o.Now(), chance()
	f := &finished{rows: j.rows()}
	byAction := map[dsn.Action]*notice{}
	for i := range outcomes {
		s, tell := d.settlement(j, i, &outcomes[i], now, luck)
		d.report(j, i, &outcomes[i], &s)
		if !s.Remove && s.State == store.RowWaiting {
			f.again = append(f.again, wakening{j.msg.Rows[i].Recipient.Address.Domain, s.Due})
		}
		if tell == nil {
			f.settle = append(f.settle, s)
			continue
		}
		n := byAction[tell.Action]
		if n == nil {
			n = &notice{msg: j.msg, to: notifyTo(&j.msg), what: tell.Action.String()}
			n.msg.Rows = nil
			byAction[tell.Action] = n
		}
		n.recipients = append(n.recipients, *tell)
		n.settle = append(n.settle, s)
	}
	for _, n := range byAction {
		f.notices = append(f.notices, *n)
	}
	return f
}

// notifyTo returns where notifications about a message go; the null address:
// nowhere.
func notifyTo(m *store.QueuedMessage) mail.Address {
	if !m.Notify.IsZero() {
		return m.Notify
	}
	return m.Envelope.From
}

// isStranger reports whether nothing vouches for who sent a message. Who wrote to an
// alias here is not kept, and may be anybody.
func isStranger(m *store.QueuedMessage) bool {
	kind := m.Warrant.Kind()
	return kind != store.AccountSends && kind != store.ClientRelays
}

// ofSuccess reports whether a notification tells of nothing but successes.
func (n *notice) ofSuccess() bool {
	for i := range n.recipients {
		if n.recipients[i].Action <= dsn.Delayed {
			return false
		}
	}
	return true
}

// begun returns since when a message may be sent, from which on its time counts:
// what its sender has had held is not late when it is released.
func begun(m *store.QueuedMessage) time.Time {
	if hold := m.Envelope.Hold; hold.After(m.Accepted) {
		return hold
	}
	return m.Accepted
}

// settlement decides about a row: what becomes of it, and what its sender is told
// with that, if anything. Luck is the job's chance.
func (d *Deliverer) settlement(j *job, i int, o *outcome, now time.Time, luck float64) (store.Settlement, *dsn.Recipient) {
	row := &j.msg.Rows[i]
	s := store.Settlement{RowLease: j.lease(i), Progress: row.RowProgress}
	if o.kind == delivered {
		s.Remove = true
		s.Progress.Attempts, s.Progress.Last = s.Progress.Attempts+1, now
		if by := j.msg.Envelope.DeliverBy; by.Trace && row.Recipient.Notify&mail.NotifyNever == 0 && !notifyTo(&j.msg).IsZero() {
			return s, d.told(&j.msg, row, o, dsn.Relayed, s.Progress) // RFC 2852 §4: asked for at each host
		}
		if o.relayed {
			return s, nil
		}
		return s, d.tell(j, row, o, dsn.Relayed, s.Progress)
	}
	if j.called && o.kind == failed && o.reply == nil && o.stage == "" {
		// The DNS does not lead to the host that has called: it may know ATRN.
		o.kind, o.untried = deferred, true
	}
	if !o.untried {
		s.Progress.Attempts++
		s.Progress.Last = now
	}
	s.Progress.Host, s.Progress.Reply = o.host, o.says()
	s.Progress.Uncertain = s.Progress.Uncertain || o.uncertain
	s.State = row.State
	if o.kind == held {
		s.State, s.Due = store.RowHeld, now
		return s, nil
	}
	terms := d.o.termsOf(row.Recipient.Address.Domain)
	if o.kind == deferred {
		pause := terms.pause(s.Progress.Attempts, luck)
		if o.untried {
			pause = terms.RetryMax // it will be asked for, or its time ends
		}
		next, ok := terms.next(now, begun(&j.msg), j.msg.Envelope.From, pause, row.Delayed)
		if ok {
			return d.postpone(j, row, o, s, terms, next, now)
		}
		// Its code stays the last failure's: that is why (RFC 3464 §2.3.4).
		o.kind = failed
	}
	s.Remove = true
	return s, d.tell(j, row, o, dsn.Failed, s.Progress)
}

// postpone puts a row back until next, and tells of the delay if it is time.
func (d *Deliverer) postpone(j *job, row *store.Row, o *outcome, s store.Settlement, terms *Terms, next, now time.Time) (store.Settlement, *dsn.Recipient) {
	by := j.msg.Envelope.DeliverBy
	if !by.Deadline.IsZero() && now.Before(by.Deadline) && next.After(by.Deadline) {
		next = by.Deadline
	}
	s.Due = next
	overdue := by.Mode == mail.ByNotify && !by.Deadline.IsZero() && !now.Before(by.Deadline)
	if row.Delayed || !terms.late(now, begun(&j.msg)) && !overdue {
		return s, nil
	}
	s.Progress.Delayed = true
	tell := d.tell(j, row, o, dsn.Delayed, s.Progress)
	if tell != nil {
		tell.RetryUntil = begun(&j.msg).Add(terms.lifetime(j.msg.Envelope.From))
	}
	return s, tell
}

// tell returns what a notification says of a row, or nil when none is wanted.
func (d *Deliverer) tell(j *job, row *store.Row, o *outcome, a dsn.Action, p store.RowProgress) *dsn.Recipient {
	if !dsn.Wanted(notifyTo(&j.msg), row.Recipient.Notify, a) || a != dsn.Failed && d.unattended(&j.msg) {
		return nil
	}
	return d.told(&j.msg, row, o, a, p)
}

// told is what a notification says of a row. Where an address here leads to, its
// sender is not told (RFC 3464 §4.2): what failed is the address that was written to.
func (d *Deliverer) told(m *store.QueuedMessage, row *store.Row, o *outcome, a dsn.Action, p store.RowProgress) *dsn.Recipient {
	rcpt, final := row.Recipient, mail.Address{}
	if alias, err := mail.ParseAddress(m.Warrant.Name()); err == nil && m.Warrant.Kind() == store.AliasForwards {
		rcpt.Address, final = alias, rcpt.Address
	}
	return &dsn.Recipient{
		Recipient: rcpt, Final: final, Action: a, Status: o.code(), Remote: o.host,
		Reply: o.says(), SMTPReply: o.reply != nil, Stage: string(o.stage),
		LastAttempt: p.Last, Attempts: p.Attempts,
	}
}

// unattended reports whether a message comes from a list or a machine, which has
// no use for notices of delays and successes.
func (d *Deliverer) unattended(m *store.QueuedMessage) bool {
	ctx := context.Background()
	r, err := d.o.Store.OpenQueued(ctx, m.ID)
	if err != nil {
		return false // it shows when it is sent
	}
	defer r.Close()
	header, err := dsn.Header(r, r.Size())
	return err == nil && dsn.Suppressed(header) != ""
}
