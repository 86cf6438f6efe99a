package receive

import (
	"postrider/internal/directory"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

type target = directory.Target

// overQuotaAttempt is a recipient at example.test that leads to a full mailbox.
func overQuotaAttempt(e mail.Envelope, local string) *attempt {
	return &attempt{
		tx: &smtp.Transaction{Client: new(smtp.Client), Envelope: e}, route: new(route),
		rcpt:    mail.Recipient{Address: mail.Address{Local: local, Domain: "example.test"}},
		targets: []target{{Account: 1, Quota: 10, Octets: 10}},
	}
}

func targetsTo(accounts ...mail.AccountID) []target {
	var all []target
	for _, a := range accounts {
		all = append(all, target{Account: a})
	}
	return all
}
