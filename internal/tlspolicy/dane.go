package tlspolicy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/resolver"
)

// Values of TLSA records (RFC 6698 §2.1, RFC 7218 §2).
const (
	usageTA, usageEE              = 2, 3
	selectorCert, selectorSPKI    = 0, 1
	matchFull, match256, match512 = 0, 1, 2
)

// ErrTLSA says that a server's certificate is none of those that its TLSA
// records allow.
var ErrTLSA = errors.New("the certificate is none that the TLSA records allow")

// dane looks for TLSA records and, if there are any, sets the host up by them
// (RFC 7672 §2.2). Found is false when DANE does not apply.
func (d *Domain) dane(ctx context.Context, h *Host, addresses resolver.Addresses, port uint16) (found bool) {
	if !d.mx.Authentic || !d.p.o.Resolver.Validating() || isAddress(h.Name) {
		return false
	}
	for _, base := range d.bases(ctx, h.Name, addresses) {
		tlsa, err := d.p.o.Resolver.TLSA(ctx, port, base)
		if err != nil {
			// RFC 7672 §2.1.2: they may have been suppressed. Only this host has to wait.
			h.Kind, h.Skip, h.failure = KindDANE, "its TLSA records can't be looked up now", FailureDNSSEC
			h.Unknown = true
			return true
		}
		if tlsa.Authentic && len(tlsa.Records) > 0 {
			d.byTLSA(h, base, tlsa.Records)
			return true
		}
	}
	return false
}

// bases returns the names at which TLSA records may be: the host's name after its
// aliases, then its own; only the latter if it is an alias that is authentic of
// something that isn't; none if nothing is (RFC 7672 §2.2.2).
func (d *Domain) bases(ctx context.Context, host string, a resolver.Addresses) []string {
	alias := a.Canonical != "" && a.Canonical != host
	switch {
	case a.Authentic && alias:
		return []string{a.Canonical, host}
	case a.Authentic:
		return []string{host}
	case alias:
		if _, authentic, err := d.p.o.Resolver.Lookup(ctx, host, dns.TypeCNAME); err == nil && authentic {
			return []string{host}
		}
	}
	return nil
}

// byTLSA sets a host up by records that are authentic (RFC 7672 §2.2).
func (d *Domain) byTLSA(h *Host, base string, records []resolver.TLSARecord) {
	h.MustTLS, h.records = true, tlsaStrings(records)
	h.Config = &tls.Config{
		ServerName: base, InsecureSkipVerify: true, // VerifyConnection does it
		MinVersion: tls.VersionTLS12,
	}
	usable := usableTLSA(records)
	if len(usable) == 0 { // RFC 7672 §2.2: TLS, but nobody is authenticated
		h.Kind = KindDANEUnusable
		return
	}
	h.Kind, h.Verified = KindDANE, true
	// RFC 7672 §3.2.2: the base, the next hop, and the next hop after its aliases.
	names := []string{base, d.name}
	if d.mx.Domain != "" && d.mx.Domain != d.name {
		names = append(names, d.mx.Domain)
	}
	h.Config.VerifyConnection = func(s tls.ConnectionState) error { return verifyDANE(s, usable, names) }
}

// usableTLSA returns the records that can be used for SMTP: usages 2 and 3
// (RFC 7672 §3.1.3), with what is known of selectors and matching types. Of two
// digests of the same the stronger counts (RFC 7671 §9).
func usableTLSA(records []resolver.TLSARecord) []resolver.TLSARecord {
	var all []resolver.TLSARecord
	for _, r := range records {
		length := map[uint8]int{matchFull: len(r.Data), match256: sha256.Size, match512: sha512.Size}
		n, known := length[r.Matching]
		usage := r.Usage == usageTA || r.Usage == usageEE
		if usage && r.Selector <= selectorSPKI && known && n > 0 && len(r.Data) == n {
			all = append(all, r)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(r resolver.TLSARecord) bool {
		return r.Matching == match256 && slices.ContainsFunc(all, func(o resolver.TLSARecord) bool {
			return o.Matching == match512 && o.Usage == r.Usage && o.Selector == r.Selector
		})
	})
}

// verifyDANE holds a server's certificate to TLSA records. With usage 3 neither
// names nor times count (RFC 7672 §3.1.1); with usage 2 they do.
func verifyDANE(s tls.ConnectionState, records []resolver.TLSARecord, names []string) error {
	if len(s.PeerCertificates) == 0 {
		return errNoCertificate
	}
	result := ErrTLSA
	for _, r := range records {
		if r.Usage == usageEE {
			if matches(r, s.PeerCertificates[0]) {
				return nil
			}
			continue
		}
		err := verifyAnchor(s.PeerCertificates, r, names)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrTLSA) { // it says more
			result = err
		}
	}
	return result
}

// verifyAnchor holds a chain to a record of usage 2: one of its certificates, or
// the record's own, is the anchor (RFC 7672 §3.1.2).
func verifyAnchor(chain []*x509.Certificate, r resolver.TLSARecord, names []string) error {
	anchors, rest := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain {
		if matches(r, c) {
			anchors.AddCert(c)
			found = true
		} else {
			rest.AddCert(c)
		}
	}
	if r.Selector == selectorCert && r.Matching == matchFull {
		if c, err := x509.ParseCertificate(r.Data); err == nil {
			anchors.AddCert(c)
			found = true
		}
	}
	if !found {
		return ErrTLSA
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: anchors, Intermediates: rest, CurrentTime: time.Now()}); err != nil {
		return err
	}
	return hasName(chain[0], names)
}

// matches reports whether a record is of this certificate.
func matches(r resolver.TLSARecord, c *x509.Certificate) bool {
	data := c.Raw
	if r.Selector == selectorSPKI {
		data = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case match256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case match512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return bytes.Equal(data, r.Data)
}

// tlsaStrings writes records as reports have them (RFC 8460 §4.4, policy-string).
func tlsaStrings(records []resolver.TLSARecord) []string {
	var all []string
	for _, r := range records {
		if len(all) == maxPolicyStrings {
			break
		}
		data := r.Data[:min(len(r.Data), sha512.Size)]
		all = append(all, fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Matching, data))
	}
	return all
}
