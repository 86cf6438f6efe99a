package tlspolicy

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"time"

	"postrider/internal/mail"
)

// OwnPolicy is the policy that one of our own domains publishes (RFC 8461 §3).
type OwnPolicy struct {
	Mode   Mode
	MX     []string      // hosts; "*." before a name stands for one label
	MaxAge time.Duration // zero: a week
}

// File returns the octets of the policy's file.
func (o OwnPolicy) File() string {
	p := STSPolicy(o)
	if p.MaxAge == 0 {
		p.MaxAge = 7 * 24 * time.Hour
	}
	return strings.Join(p.lines(), "\r\n") + "\r\n"
}

// ID returns the id of the policy: another one when the file is.
func (o OwnPolicy) ID() string {
	sum := sha256.Sum256([]byte(o.File()))
	return hex.EncodeToString(sum[:10])
}

// TXT returns what the TXT record of _mta-sts has to say.
func (o OwnPolicy) TXT() string { return "v=" + stsVersion + "; id=" + o.ID() + ";" }

// Handler serves the policies of our domains as /.well-known/mta-sts.txt of the
// hosts mta-sts.DOMAIN (RFC 8461 §3.3). Own returns that of a domain; ok is false
// if it has none.
func Handler(own func(domain string) (policy OwnPolicy, ok bool)) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /.well-known/mta-sts.txt", func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		name, err := mail.ParseDomain(host)
		domain, ours := strings.CutPrefix(name, "mta-sts.")
		if err != nil || !ours {
			http.NotFound(w, r)
			return
		}
		policy, ok := own(domain)
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write([]byte(policy.File()))
	})
	return m
}
