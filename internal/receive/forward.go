package receive

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
	"postrider/internal/srs"
	"postrider/internal/store"
)

// srsRecord is where the key of rewritten reverse-paths is kept.
const srsRecord = "srs/key"

// What mail to a rewritten reverse-path is refused for.
var (
	verdictForged = verdict{reason: "forged return address", reply: smtp.Reply{
		Code: 550, Enhanced: "1.1", Text: "Unknown user: that return address was not given out here, or too long ago",
	}}
	verdictOnlyNotices = verdict{reason: "return address", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "That address is for notifications, which have the null reverse-path",
	}}
)

// follow notes where an address here leads.
//
// An alias for one address keeps what the sender wants to be told (RFC 3461
// §5.2.7.2). With several the targets' hosts are not asked to tell of success, and
// this host tells that it has expanded the address (§5.2.7.3 c).
func (a *attempt) follow(way directory.Route) {
	a.targets, a.split = way.Targets, way.Split
	for _, to := range way.Remote {
		rcpt := mail.Recipient{Address: to.Address, Notify: a.rcpt.Notify, ORcpt: a.rcpt.ORcpt}
		if rcpt.ORcpt == "" && a.rcpt.Address.Domain != "" && a.rcpt.Address.ASCII() {
			rcpt.ORcpt = "rfc822;" + a.rcpt.Address.String()
		}
		if way.Split {
			rcpt.Notify = withoutSuccess(rcpt.Notify)
		}
		a.forwards = append(a.forwards, forward{to: rcpt, via: via(to.Via, a.rcpt.Address)})
	}
}

// via is the address that forwards: the alias, or what was named if that has no
// local part.
func via(alias, named mail.Address) mail.Address {
	if alias.Local == "" {
		return named
	}
	return alias
}

// withoutSuccess takes SUCCESS from NOTIFY. If nothing else was asked for, nothing
// is: an empty NOTIFY would mean the default.
func withoutSuccess(n mail.Notify) mail.Notify {
	if n == mail.NotifySuccess {
		return mail.NotifyNever
	}
	return n &^ mail.NotifySuccess
}

// leadBack finds out whether a recipient is a rewritten reverse-path of ours, and
// leads notifications back to the one that it was made of. What has another
// reverse-path is no notification, and what was not made here, or too long ago, is
// not led anywhere: else the address would be a way through for anybody.
func (r *Receiver) leadBack(ctx context.Context, a *attempt) (bool, error) {
	if !r.o.Onward || !srs.Is(a.rcpt.Address) {
		return false, nil
	}
	local, err := r.o.Directory.Local(ctx, a.rcpt.Address.Domain)
	if err != nil || !local {
		return false, err
	}
	if !a.tx.Envelope.From.IsZero() {
		return true, &verdictOnlyNotices
	}
	to, err := r.original(ctx, a.rcpt.Address)
	if err != nil {
		return true, err
	}
	way, err := r.o.Directory.Resolve(ctx, to)
	switch {
	case fault.Is(err, fault.Denied):
		back := a.rcpt
		back.Address = to
		a.forwards = []forward{{to: back, via: a.rcpt.Address}}
		return true, nil
	case fault.Is(err, fault.NotFound):
		return true, &verdictUnknown
	case err != nil:
		return true, err
	}
	a.follow(way)
	return true, nil
}

// original returns the reverse-path that an address was made of, or a verdict.
func (r *Receiver) original(ctx context.Context, a mail.Address) (mail.Address, error) {
	scheme, err := r.srs.get(ctx, r)
	if err != nil {
		return mail.Address{}, err
	}
	to, err := scheme.Reverse(a, r.o.Now())
	if err != nil {
		return to, verdictForged.with(err.Error())
	}
	return to, nil
}

// rewrite returns the reverse-path for mail that a domain of ours forwards. The
// null reverse-path stays, and so does one of our own domains, for which the next
// host finds this one vouching anyway. One for which there is no room stays too:
// the sender then hears of what the next host makes of it.
func (r *Receiver) rewrite(ctx context.Context, from mail.Address, domain string) (mail.Address, error) {
	if from.IsZero() {
		return from, nil
	}
	local, err := r.o.Directory.Local(ctx, from.Domain)
	if local || err != nil {
		return from, err
	}
	scheme, err := r.srs.get(ctx, r)
	if err != nil {
		return from, err
	}
	rewritten, err := scheme.Forward(from, domain, r.o.Now())
	switch {
	case errors.Is(err, srs.ErrTooLong):
		return from, nil
	case err != nil:
		return from, fault.New(fault.Internal, "rewrite "+from.String(), err)
	}
	return rewritten, nil
}

// schemes holds the scheme once its key has been read or made.
type schemes struct {
	mu     sync.Mutex
	scheme *srs.Scheme
}

// get returns the scheme. Its key is made when it is first needed.
func (s *schemes) get(ctx context.Context, r *Receiver) (*srs.Scheme, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scheme != nil {
		return s.scheme, nil
	}
	key, err := r.srsKey(ctx)
	if err != nil {
		return nil, fault.New(fault.Transient, "get the key of rewritten reverse-paths", err)
	}
	s.scheme = srs.New(key)
	return s.scheme, nil
}

// srsKey reads the key, or makes it.
func (r *Receiver) srsKey(ctx context.Context) ([]byte, error) {
	key := make([]byte, srs.KeySize)
	rand.Read(key) // never fails (crypto/rand)
	if r.o.Records == nil {
		return key, nil
	}
	kept, err := r.o.Records.Record(ctx, srsRecord)
	switch {
	case err == nil && len(kept.Value) == srs.KeySize:
		return kept.Value, nil
	case err == nil:
		r.o.Logger.LogAttrs(ctx, slog.LevelError, "the key of rewritten reverse-paths can't be used; another is made, and notifications to addresses made before are refused")
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	return key, r.o.Records.PutRecord(ctx, store.Record{Key: srsRecord, Value: key, Changed: r.o.Now()})
}
