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
	Addresses   []string `toml:"addresses" example:"192.0.2.25" doc:"The addresses under which others reach this machine. What the DNS leads to those that are written here, at port 25, is not sent there, for it would come back: behind a translator of addresses (NAT) write them. Default for the records: those of the listeners that name one, else those that the DNS has for hostname."`
	MTASTS      string   `toml:"mta_sts" values:"none|testing|enforce" doc:"The policy that tells others to deliver over verified TLS only (MTA-STS, RFC 8461): testing has them report what would fail, enforce has them obey."`
	MTASTSHTTPS string   `toml:"mta_sts_https" example:":443" doc:"Where the server answers https://mta-sts.DOMAIN/.well-known/mta-sts.txt, for each domain that lives here, as others ask at port 443. Its certificates have to be made for these names too: with ACME write them into acme.names, beside hostname. ACME's tls_alpn can't have the same address; its http can be used."`
	MTASTSHTTP  string   `toml:"mta_sts_http" example:"127.0.0.1:8080" doc:"The same in plain HTTP, for a web server on this machine that has port 443 and the certificates: it passes on what is asked of mta-sts.DOMAIN, with the field Host. An address of loopback."`
	Reports     string   `toml:"reports" example:"postmaster@example.org" doc:"Where others send reports about DMARC and TLS. Default: postmaster of the domain."`
}

// STSNone is the word of Publish.MTASTS for no policy; the others are the policy's own.
const STSNone = "none"

func (k *checker) publish() {
	p := k.c.Publish
	for _, s := range p.Addresses {
		if ip, err := netip.ParseAddr(s); err != nil || ip.Zone() != "" {
			k.report("publish.addresses", Problem{Message: fmt.Sprintf("%q is no address", s), Help: `write addresses like "192.0.2.25" and "2001:db8::25"`})
		}
	}
	k.policy()
	if p.Reports == "" {
		return
	}
	a, err := mail.ParseAddress(p.Reports)
	if err != nil || a.Domain == "" || strings.ContainsAny(p.Reports, ",;!%") {
		k.report("publish.reports", Problem{Message: fmt.Sprintf("reports can't go to %q", p.Reports), Help: "write a plain address"})
	}
}

// policy looks at where the MTA-STS policy is to be had.
func (k *checker) policy() {
	const setting = "publish.mta_sts"
	p := k.c.Publish
	served := p.MTASTSHTTPS != "" || p.MTASTSHTTP != ""
	switch {
	case served && p.MTASTS == STSNone:
		k.report(setting, Problem{Warning: true, Message: "there is no MTA-STS policy to answer with", Help: `write mta_sts = "testing"; or leave mta_sts_https and mta_sts_http out`})
	case !served && p.MTASTS != STSNone:
		k.report(setting, Problem{
			Warning: true, Message: "the MTA-STS policy is not answered with here, and without an answer it does nothing",
			Help: `write mta_sts_https = ":443"; or mta_sts_http = "127.0.0.1:8080" and have a web server pass requests on to it`,
		})
	}
	k.take("publish.mta_sts_https", p.MTASTSHTTPS)
	k.take("publish.mta_sts_http", p.MTASTSHTTP)
	if _, _, err := splitAddress(p.MTASTSHTTP); err == nil && !loopback(p.MTASTSHTTP) {
		k.report("publish.mta_sts_http", Problem{
			Message: p.MTASTSHTTP + " may be reached by others, who ask by HTTPS only", Help: "write an address of loopback; or mta_sts_https",
		})
	}
}
