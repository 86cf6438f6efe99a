package receive

import (
	"context"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// replyElsewhere answers VRFY and EXPN for a domain that is not ours.
var replyElsewhere = smtp.Reply{Code: 550, Enhanced: "1.2", Text: "That domain's mailboxes are not known here"}

// Verify answers VRFY: the address, when mail for it is taken.
func (r *Receiver) Verify(ctx context.Context, who string) ([]string, error) {
	a, _, err := r.inquire(ctx, who)
	if err != nil {
		return nil, err
	}
	return []string{"<" + a.String() + ">"}, nil
}

// Expand answers EXPN: the mailboxes that mail for the address goes to.
func (r *Receiver) Expand(ctx context.Context, alias string) ([]string, error) {
	_, targets, err := r.inquire(ctx, alias)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(targets))
	for i, t := range targets {
		list[i] = "<" + t.Address.String() + ">"
	}
	return list, nil
}

// inquire reads an address, with or without angle brackets, and follows it.
func (r *Receiver) inquire(ctx context.Context, who string) (mail.Address, []directory.Target, error) {
	a, rest, err := mail.ParsePath(who, true)
	if err != nil || rest != "" || a.IsZero() {
		return mail.Address{}, nil, fault.New(fault.Invalid, "read the address", err)
	}
	targets, err := r.o.Directory.Resolve(ctx, a)
	if fault.Is(err, fault.Denied) {
		return mail.Address{}, nil, &replyElsewhere
	}
	return a, targets, err
}
