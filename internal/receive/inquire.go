package receive

import (
	"context"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// replyElsewhere answers VRFY and EXPN for a domain that is not ours.
var replyElsewhere = smtp.Reply{Code: 550, Enhanced: "1.2", Text: "That domain's mailboxes are not known here"}

// Verify answers VRFY (RFC 5321 §3.5.1): the mailboxes and aliases that an
// address, or a local part alone, names.
func (r *Receiver) Verify(ctx context.Context, who string) ([]string, error) {
	return listed(r.o.Directory.Find(ctx, who))
}

// Expand answers EXPN (RFC 5321 §3.5.1): the members of an alias.
func (r *Receiver) Expand(ctx context.Context, alias string) ([]string, error) {
	return listed(r.o.Directory.Expand(ctx, alias))
}

// listed writes addresses as an answer has them.
func listed(found []mail.Address, err error) ([]string, error) {
	if fault.Is(err, fault.Denied) {
		return nil, &replyElsewhere
	}
	if err != nil {
		return nil, err
	}
	list := make([]string, len(found))
	for i, a := range found {
		list[i] = "<" + a.String() + ">"
	}
	return list, nil
}
