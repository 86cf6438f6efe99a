package receive

import (
	"context"
	"slices"
	"strings"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// The checks, in the order in which they are made. The first that returns an
// error decides; that is a *verdict for what the peer is to blame for or should
// know, and a fault for what went wrong here.

type (
	senderCheck    = func(ctx context.Context, r *Receiver, tx *smtp.Transaction) error
	recipientCheck = func(ctx context.Context, r *Receiver, a *attempt) error
)

// checks are those of one way in.
type checks struct {
	sender    []senderCheck    // at MAIL
	recipient []recipientCheck // at each RCPT
}

// What a client's name, address or reverse-path could be refused for (SPF, block
// lists) is checked at MAIL; greylisting comes last at RCPT, for recipients that are
// there.
var (
	// mxChecks are for mail from anybody.
	mxChecks = checks{
		sender:    []senderCheck{storeTakesMail},
		recipient: []recipientCheck{leadsSomewhere, hasFewEnoughCopies, hasRoom, needNotReturn},
	}
	// submissionChecks are for mail from accounts (RFC 6409).
	submissionChecks = checks{
		sender:    []senderCheck{isKnown, storeTakesMail, ownsReversePath, maySendMessage},
		recipient: []recipientCheck{leadsSomewhere, hasFewEnoughCopies, hasRoom, maySendToOneMore},
	}
	// relayChecks are for mail from clients that the configuration names.
	relayChecks = checks{
		sender:    []senderCheck{isNamedClient, storeTakesMail, mayRelayFrom, clientMaySendMessage},
		recipient: []recipientCheck{leadsSomewhere, hasFewEnoughCopies, hasRoom, clientMaySendToOneMore},
	}
)

// checksOf returns the checks of a transaction.
func checksOf(tx *smtp.Transaction) *checks {
	switch roleOf(tx) {
	case roleSubmission:
		return &submissionChecks
	case roleRelay:
		return &relayChecks
	}
	return &mxChecks
}

// roleOf returns what a transaction is held to. That of an account is a submission,
// on a relay listener too.
func roleOf(tx *smtp.Transaction) string {
	switch {
	case tx.Client.Role == roleSubmission, tx.Client.Role == roleRelay && tx.Client.Account != 0:
		return roleSubmission
	case tx.Client.Role == roleRelay:
		return roleRelay
	}
	return roleMX
}

func isSubmission(tx *smtp.Transaction) bool { return roleOf(tx) == roleSubmission }

// attempt is a recipient that is being checked.
type attempt struct {
	tx    *smtp.Transaction
	route *route // of the recipients before it
	rcpt  mail.Recipient
	// What follows is where the address leads; set by leadsSomewhere. Only one of
	// forwards and onward is set.
	targets  []directory.Target
	forwards []forward
	onward   bool // to another host, since it is an address there
	split    bool // an alias leads to several places
}

// size is how many places it leads to.
func (a *attempt) size() int {
	n := len(a.targets) + len(a.forwards)
	if a.onward {
		n++
	}
	return n
}

// keep puts an accepted recipient on the route.
func (a *attempt) keep() {
	a.route.add(a.targets)
	for _, f := range a.forwards {
		a.route.addForward(f)
	}
	if a.onward {
		a.route.addOnward(a.rcpt)
	}
	a.route.tell(a)
}

// verdict is a refusal: the reply to the peer, and the word for it in metrics
// and the log.
type verdict struct {
	reason string
	reply  smtp.Reply
	detail string // for the log
}

// Error returns the reason and the detail.
func (v *verdict) Error() string {
	if v.detail == "" {
		return v.reason
	}
	return v.reason + ": " + v.detail
}

// with returns the verdict with a detail for the log.
func (v verdict) with(detail string) *verdict {
	v.detail = detail
	return &v
}

// The verdicts.
var (
	verdictRelay = verdict{reason: "relay", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "Relaying denied: mail for that domain is not taken here",
	}}
	verdictNoRelay = verdict{reason: "relay", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "That domain is not local, and relaying is not configured",
	}}
	verdictNoForward = verdict{reason: "relay", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "That address leads to another host, and this server passes no mail on",
	}}
	verdictUnknown = verdict{reason: "unknown user", reply: smtp.Reply{
		Code: 550, Enhanced: "1.1", Text: "Unknown user: nobody here has that address",
	}}
	verdictCopies = verdict{reason: "too many copies", reply: smtp.Reply{
		Code: 452, Enhanced: "5.3", Text: "Too many recipients; send to the others in another transaction",
	}}
	verdictQuota = verdict{reason: "over quota", reply: smtp.Reply{
		Code: 452, Enhanced: "2.2", Text: "Over quota: the mailbox has no room for the message now",
	}}
	verdictReturn = verdict{reason: "delivery by a time", reply: smtp.Reply{
		Code: 550, Enhanced: "3.3", Text: "That address leads to another host, and mail for it is not taken to be returned when it is late",
	}}
	verdictHops = verdict{reason: "too many hops", reply: smtp.Reply{
		Code: 554, Enhanced: "4.6", Text: "Mail loop: the message has passed through too many hosts",
	}}
	verdictLoop = verdict{reason: "loop", reply: smtp.Reply{
		Code: 554, Enhanced: "4.6", Text: "Mail loop: the message has been delivered to a recipient's mailbox here before",
	}}
)

// storeTakesMail refuses early what could not be stored in the end.
func storeTakesMail(_ context.Context, r *Receiver, _ *smtp.Transaction) error {
	return fault.Wrap("take mail", r.o.Store.Health())
}

// leadsSomewhere follows the address. A "%" or "!" in a local part means nothing
// here (RFC 5321 §F.2, RFC 1123 §5.2.16); source routes are gone when the address
// has been parsed.
func leadsSomewhere(ctx context.Context, r *Receiver, a *attempt) error {
	back, err := r.leadBack(ctx, a)
	if back || err != nil {
		return err
	}
	way, err := r.o.Directory.Resolve(ctx, a.rcpt.Address)
	switch {
	case fault.Is(err, fault.Denied):
		return r.leadsOnward(a)
	case fault.Is(err, fault.NotFound):
		return &verdictUnknown
	case err != nil:
		return err
	case len(way.Targets) == 0 && len(way.Remote) == 0:
		return verdictUnknown.with("it leads nowhere")
	case len(way.Remote) > 0 && !r.o.Onward:
		return verdictNoForward.with(way.Remote[0].Via.String())
	}
	a.follow(way)
	return nil
}

// leadsOnward lets those go on to another host who may: whoever the configuration
// or a login vouches for (see Receiver.warrant), and nobody else. That a client
// comes from loopback gives it no right.
func (r *Receiver) leadsOnward(a *attempt) error {
	switch {
	case !r.warrant(a.tx).Valid():
		return &verdictRelay
	case !r.o.Onward:
		return &verdictNoRelay
	}
	a.onward = true
	return nil
}

// needNotReturn refuses what an address here leads to another host when it is to be
// returned if it is late (RFC 2852 §4): most hosts don't promise that, so that
// anybody could have it returned, for certain and with what is in it, to whose
// address they gave as the sender's. Refused here, it stays with who has sent it.
func needNotReturn(_ context.Context, _ *Receiver, a *attempt) error {
	by := a.tx.Envelope.DeliverBy
	if len(a.forwards) > 0 && by.Mode == mail.ByReturn && !by.Deadline.IsZero() && !a.tx.Envelope.From.IsZero() {
		return &verdictReturn
	}
	return nil
}

// hasFewEnoughCopies bounds what one commit writes.
func hasFewEnoughCopies(_ context.Context, _ *Receiver, a *attempt) error {
	if a.route.size()+a.size() > MaxCopies {
		return &verdictCopies
	}
	return nil
}

// hasRoom holds a recipient back while a mailbox that it leads to is full or
// would be with the size that the sender declared. An alias is held back as a
// whole, so that nobody on it misses a message unheard; the log names the
// mailbox. Mail for postmaster is always taken (RFC 5321 §4.5.1).
func hasRoom(_ context.Context, _ *Receiver, a *attempt) error {
	if isPostmaster(a.rcpt.Address) {
		a.targets = withoutQuota(a.targets)
	}
	size := max(a.tx.Envelope.Size, 1)
	for _, t := range a.targets {
		if !fits(t, size) {
			return verdictQuota.with(t.Address.String())
		}
	}
	return nil
}

// fitsSomewhere refuses a message that has turned out to be too large for every
// mailbox on its route, when the sender had not declared its size. If one has
// room for it, all get it: a reply to the data is one for all of them.
func fitsSomewhere(w *route, octets int64) error {
	if w.remote() > 0 {
		return nil
	}
	for _, t := range w.targets {
		if fits(t, octets) {
			return nil
		}
	}
	return verdictQuota.with(w.targets[0].Address.String())
}

// fits reports whether a mailbox has room for so many octets more.
func fits(t directory.Target, octets int64) bool {
	return t.Quota == 0 || octets <= t.Quota && t.Octets <= t.Quota-octets
}

// withoutQuota returns the targets as if none of them had a quota.
func withoutQuota(targets []directory.Target) []directory.Target {
	free := slices.Clone(targets)
	for i := range free {
		free[i].Quota = 0
	}
	return free
}

func isPostmaster(a mail.Address) bool { return strings.EqualFold(a.Local, "postmaster") }
