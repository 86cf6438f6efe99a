package receive

import (
	"context"
	"time"

	"postrider/internal/mail"
)

// told is a recipient whose success the sender hears of from us.
type told struct {
	rcpt mail.Recipient
	// expanded says that the address led to several, some of them at other hosts.
	expanded bool
}

// tell notes a recipient that its sender wants to hear the success of, if that is
// this host's to tell (RFC 3461 §5.2.3, §5.2.7): not where the next host is asked.
func (w *route) tell(a *attempt) {
	if a.rcpt.Notify&mail.NotifySuccess == 0 || a.onward || len(a.forwards) > 0 && !a.split {
		return
	}
	w.told = append(w.told, told{rcpt: a.rcpt, expanded: len(a.forwards) > 0})
}

func (r *Receiver) tellOfSuccess(ctx context.Context, e mail.Envelope, all []told, arrived time.Time) {
}
