package config

import (
	"fmt"
	"net/netip"
	"strings"

	"postrider/internal/mail"
)

// DKIM says how mail is signed.
type DKIM struct {
	Enabled     bool     `toml:"enabled" doc:"Sign mail for other hosts with the keys of its author's domain (\"postrider dkim\" makes them), and seal what is forwarded (ARC, RFC 8617). A domain without an active key is not signed for."`
	SignRelayed bool     `toml:"sign_relayed" doc:"Sign the mail of relay clients too, if its author's domain has keys: they may write in anybody's name."`
	Expire      Duration `toml:"expire" max:"365d" doc:"How long a signature is good for. It should be longer than mail may wait in queues. 0s: without end."`
	Settle      Duration `toml:"settle" max:"30d" doc:"How long the DNS has to show a new key before the server signs with it in place of an old one: as long as resolvers may remember that it was not there. The server looks once an hour."`
}

// Publish says what "postrider dns" writes about the domains that live here.
type Publish struct {
	Addresses []string `toml:"addresses" example:"192.0.2.25" doc:"The addresses under which others reach this machine. Default: those of the listeners that name one, else those that the DNS has for hostname."`
	MTASTS    string   `toml:"mta_sts" values:"none|testing|enforce" doc:"The policy that tells others to deliver over verified TLS only (MTA-STS, RFC 8461): testing has them report what would fail, enforce has them obey."`
	Reports   string   `toml:"reports" example:"postmaster@example.org" doc:"Where others send reports about DMARC and TLS. Default: postmaster of the domain."`
}

// The words of Publish.MTASTS.
const (
	STSNone    = "none"
	STSTesting = "testing"
	STSEnforce = "enforce"
)

func (k *checker) publish() {
	p := k.c.Publish
	for _, s := range p.Addresses {
		if ip, err := netip.ParseAddr(s); err != nil || ip.Zone() != "" {
			k.report("publish.addresses", Problem{Message: fmt.Sprintf("%q is no address", s), Help: `write addresses like "192.0.2.25" and "2001:db8::25"`})
		}
	}
	if p.Reports == "" {
		return
	}
	a, err := mail.ParseAddress(p.Reports)
	if err != nil || a.Domain == "" || strings.ContainsAny(p.Reports, ",;!%") {
		k.report("publish.reports", Problem{Message: fmt.Sprintf("reports can't go to %q", p.Reports), Help: "write a plain address"})
	}
}
