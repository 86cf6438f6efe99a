package receive

import (
	"context"
	"iter"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// warrant returns on whose account a transaction's mail may go to other hosts: that
// of the account that has logged in, or of the relay client that the configuration
// names. Nobody else gets one that is valid.
func (r *Receiver) warrant(tx *smtp.Transaction) store.Warrant {
	switch roleOf(tx) {
	case roleSubmission:
		return store.AccountWarrant(tx.Client.Account, tx.Client.Login)
	case roleRelay:
		if c := routeOf(tx).client; c != nil {
			return store.ClientWarrant(c.Name)
		}
	}
	return store.Warrant{}
}

// passages returns what a transaction's message puts into the queue: one message
// for the recipients at other hosts that the sender named, and one for each alias
// that leads there. E is what is kept with the message.
func (r *Receiver) passages(ctx context.Context, tx *smtp.Transaction, e *mail.Envelope, due time.Time) ([]store.Passage, error) {
	w := routeOf(tx)
	if w.remote() == 0 {
		return nil, nil
	}
	ids := idMaker{first: e.ID, now: r.o.Now}
	var all []store.Passage
	if len(w.onward) > 0 {
		p, err := store.Pass(r.warrant(tx), store.Onward{ID: ids.next(), Envelope: onwardEnvelope(e, w.onward), Due: due})
		if err != nil {
			return nil, fault.Wrap("put mail into the queue", err)
		}
		all = append(all, p)
	}
	forwarded, err := r.forward(ctx, e, w.forwards, &ids, due)
	return append(all, forwarded...), err
}

// idMaker gives the messages of one Accept their IDs: the first has that of the
// Accept, which the sender is told.
type idMaker struct {
	first mail.ID
	used  bool
	now   func() time.Time
}

func (m *idMaker) next() mail.ID {
	if m.used {
		return mail.NewID(m.now())
	}
	m.used = true
	return m.first
}

// onwardEnvelope is the envelope of a message in the queue.
func onwardEnvelope(e *mail.Envelope, to []mail.Recipient) mail.Envelope {
	o := *e
	o.ID, o.Size = mail.ID{}, 0
	o.Recipients = to
	for _, rcpt := range to {
		o.SMTPUTF8 = o.SMTPUTF8 || !rcpt.Address.ASCII()
	}
	return o
}

// forward returns the passages of mail that aliases lead to other hosts, each alias
// with its own.
//
// The reverse-path becomes an address at the alias's domain that leads back to the
// sender (package srs), so that the next host finds this one vouching for what
// comes from it (SPF). What this host itself has to tell goes to the sender. The
// Delivered-To field on top makes a message known that comes back.
func (r *Receiver) forward(ctx context.Context, e *mail.Envelope, all []forward, ids *idMaker, due time.Time) ([]store.Passage, error) {
	var passages []store.Passage
	rewritten := map[string]mail.Address{} // by the alias's domain
	for via, to := range byAlias(all) {
		from, ok := rewritten[via.Domain]
		if !ok {
			var err error
			if from, err = r.rewrite(ctx, e.From, via.Domain); err != nil {
				return nil, err
			}
			rewritten[via.Domain] = from
		}
		o := store.Onward{ID: ids.next(), Envelope: onwardEnvelope(e, to), Due: due, Prefix: message.AppendDeliveredTo(nil, via)}
		if from != e.From {
			o.Envelope.From, o.Notify = from, e.From
		}
		p, err := store.Pass(store.AliasWarrant(via.String()), o)
		if err != nil {
			return nil, fault.Wrap("forward mail for "+via.String(), err)
		}
		passages = append(passages, p)
	}
	return passages, nil
}

// byAlias groups forwards by their alias, in the order in which they came.
func byAlias(all []forward) iter.Seq2[mail.Address, []mail.Recipient] {
	groups := map[mail.Address][]mail.Recipient{}
	var order []mail.Address
	for _, f := range all {
		if groups[f.via] == nil {
			order = append(order, f.via)
		}
		groups[f.via] = append(groups[f.via], f.to)
	}
	return func(yield func(mail.Address, []mail.Recipient) bool) {
		for _, via := range order {
			if !yield(via, groups[via]) {
				return
			}
		}
	}
}

// kick tells the queue where new mail waits.
func (r *Receiver) kick(passages []store.Passage) {
	if r.o.Queue == nil || len(passages) == 0 {
		return
	}
	seen := map[string]bool{}
	var destinations []string
	for _, p := range passages {
		for _, o := range p.Messages() {
			for _, rcpt := range o.Envelope.Recipients {
				if d := rcpt.Address.Domain; !seen[d] {
					seen[d] = true
					destinations = append(destinations, d)
				}
			}
		}
	}
	r.o.Queue.Kick(destinations...)
}
