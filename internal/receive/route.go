package receive

import (
	"postrider/internal/directory"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
)

// route is where a transaction's message will go: one entry a mailbox and an
// address at another host, in the order in which the recipients named them. It is
// what the Receiver notes in the Transaction.
type route struct {
	targets []directory.Target
	seen    map[mail.AccountID]bool // made when there are many
	// onward are the recipients at other hosts that the sender named.
	onward []mail.Recipient
	// forwards are the addresses at other hosts that addresses here lead to.
	forwards []forward
	// elsewhere are the keys of both; made with the first.
	elsewhere map[string]bool
	// told are the recipients whose success the sender wants to hear of from us.
	told []told
	// client is the relay client that sends; nil if none does.
	client *client
}

// forward is an address at another host that an address here leads to.
type forward struct {
	to  mail.Recipient
	via mail.Address
}

// isEmpty reports whether the route leads nowhere.
func (w *route) isEmpty() bool { return w.size() == 0 }

// size is how many places it leads to.
func (w *route) size() int { return len(w.targets) + w.remote() }

// remote is how many of them are at other hosts.
func (w *route) remote() int { return len(w.onward) + len(w.forwards) }

// fewTargets is up to where a look at each is faster than a map.
const fewTargets = 16

// has reports whether the account is on the route.
func (w *route) has(account mail.AccountID) bool {
	if w.seen != nil {
		return w.seen[account]
	}
	for _, t := range w.targets {
		if t.Account == account {
			return true
		}
	}
	return false
}

// add puts targets on the route, each account once: two recipients that are one
// mailbox get one copy.
func (w *route) add(targets []directory.Target) {
	for _, t := range targets {
		if w.has(t.Account) {
			continue
		}
		w.targets = append(w.targets, t)
		switch {
		case w.seen != nil:
			w.seen[t.Account] = true
		case len(w.targets) == fewTargets:
			w.seen = make(map[mail.AccountID]bool)
			for _, t := range w.targets {
				w.seen[t.Account] = true
			}
		}
	}
}

// addOnward puts a recipient at another host on the route, each once.
func (w *route) addOnward(to mail.Recipient) {
	if w.first(to.Address) {
		w.onward = append(w.onward, to)
	}
}

// addForward puts an address on the route that an address here leads to.
func (w *route) addForward(f forward) {
	if w.first(f.to.Address) {
		w.forwards = append(w.forwards, f)
	}
}

// first notes an address at another host, and reports whether it is new.
func (w *route) first(a mail.Address) bool {
	key := a.Key()
	if w.elsewhere[key] {
		return false
	}
	if w.elsewhere == nil {
		w.elsewhere = map[string]bool{}
	}
	w.elsewhere[key] = true
	return true
}

// loops returns the address on the route that a message has been delivered to
// before, by its Delivered-To fields; zero if there is none.
func (w *route) loops(h message.Header) mail.Address {
	if len(h.DeliveredTo) == 0 {
		return mail.Address{}
	}
	before := make(map[string]bool, len(h.DeliveredTo))
	for _, v := range h.DeliveredTo {
		if a, err := mail.ParseAddress(v); err == nil {
			before[a.Key()] = true
		}
	}
	for _, t := range w.targets {
		if before[t.Address.Key()] {
			return t.Address
		}
	}
	for _, f := range w.forwards {
		if before[f.via.Key()] {
			return f.via
		}
	}
	return mail.Address{}
}

// routeOf returns the transaction's route.
func routeOf(tx *smtp.Transaction) *route {
	w, ok := tx.Notes.(*route)
	if !ok {
		w = new(route)
		tx.Notes = w
	}
	return w
}
