package resolver

import (
	"context"
	"encoding/hex"
	"strconv"

	"github.com/miekg/dns"

	"postrider/internal/fault"
)

// TLSA is what a host publishes about its certificates (RFC 6698).
type TLSA struct {
	// Records are all of them, also those that nobody can use; at most 64.
	Records []TLSARecord
	// Authentic says that DNSSEC vouches for them, or for there being none. Records
	// that are not authentic mean nothing (RFC 7672 §2.1.1).
	Authentic bool
}

// TLSARecord is one association of a certificate (RFC 6698 §2.1).
type TLSARecord struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// TLSA returns the TLSA records for a port of a host over TCP, aliases of the
// records' own name followed. That there are none is no error, but that they
// can't be had is: the host must not be used then, since they may have been
// suppressed (RFC 7672 §2.1.2).
func (r *Resolver) TLSA(ctx context.Context, port uint16, host string) (TLSA, error) {
	a, err := r.lookup(ctx, "_"+strconv.Itoa(int(port))+"._tcp."+host, dns.TypeTLSA)
	if fault.Is(err, fault.Invalid) { // a name too long for it: nobody can publish any
		return TLSA{}, nil
	}
	if err != nil {
		return TLSA{}, err
	}
	all := TLSA{Authentic: a.authentic}
	for _, rr := range a.records {
		t, ok := rr.(*dns.TLSA)
		if !ok || len(all.Records) == maxTLSA {
			continue
		}
		data, err := hex.DecodeString(t.Certificate)
		if err != nil {
			continue
		}
		all.Records = append(all.Records, TLSARecord{t.Usage, t.Selector, t.MatchingType, data})
	}
	return all, nil
}
