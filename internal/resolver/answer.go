package resolver

import (
	"context"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// answer is what is known of a name and a type of record.
type answer struct {
	// name is what the chain of aliases ended in, lower case without final dot; of
	// a chain that leads nowhere its last name.
	name string
	// records are those of the type; none: missing says that there is no such name
	// either.
	records []dns.RR
	missing bool
	// authentic is for the whole chain, or for the proof that there is nothing.
	authentic bool
	fresh     time.Duration // how long it may be kept
	octets    int           // of its messages
}

// notFound is the error for an answer without records.
func (a *answer) notFound(name string, kind uint16) error {
	if a.missing {
		return fault.Newf(fault.NotFound, operation(name, kind), "there is no such name")
	}
	return fault.Newf(fault.NotFound, operation(name, kind), "there is no such record")
}

// follow asks for records and follows aliases: through one message as far as it
// goes, and with a further question where a server has left the rest to us.
func (r *Resolver) follow(ctx context.Context, name string, kind uint16) (answer, error) {
	c := chain{kind: kind, seen: map[string]bool{name: true}}
	c.name, c.authentic, c.fresh = name, r.validating, maxFresh
	for {
		m, err := r.ask(ctx, c.name, kind)
		if err != nil {
			return answer{}, err
		}
		if more, err := c.take(m); err != nil || !more {
			return c.answer, err
		}
	}
}

// chain is an answer while aliases are followed.
type chain struct {
	answer
	kind uint16
	seen map[string]bool // names, to find loops
}

// take walks through one message; more says that the name it arrived at has to
// be asked for.
func (c *chain) take(m *dns.Msg) (more bool, err error) {
	c.authentic = c.authentic && m.AuthenticatedData
	c.octets += m.Len()
	for moved := false; ; moved = true {
		found, alias := c.pick(m.Answer)
		if len(found) > 0 {
			c.records = found
			return false, nil
		}
		if alias == nil {
			return c.end(m, moved), nil
		}
		c.keep(alias.Hdr.Ttl)
		c.name = plain(alias.Target)
		if to, err := mail.ParseDomain(c.name); err != nil || to != c.name {
			return false, fault.Newf(fault.Transient, "follow aliases", "a CNAME record leads to what is no name of a host")
		}
		if c.seen[c.name] || len(c.seen) > maxAliases {
			return false, fault.Newf(fault.Transient, "follow aliases", "the CNAME records of the zone go round in a loop or are more than %d", maxAliases)
		}
		c.seen[c.name] = true
	}
}

// pick returns the records that the name has, or its alias.
func (c *chain) pick(all []dns.RR) (found []dns.RR, alias *dns.CNAME) {
	for _, rr := range all {
		h := rr.Header()
		if h.Class != dns.ClassINET || plain(h.Name) != c.name {
			continue
		}
		if h.Rrtype == c.kind {
			found = append(found, rr)
			c.keep(h.Ttl)
		} else if to, ok := rr.(*dns.CNAME); ok {
			alias = to
		}
	}
	return found, alias
}

// end is for a message that has nothing of the name: it says that there is
// nothing, or has stopped at an alias.
func (c *chain) end(m *dns.Msg, moved bool) (more bool) {
	soa := authority(m)
	if moved && m.Rcode == dns.RcodeSuccess && soa == nil {
		return true
	}
	c.missing = m.Rcode == dns.RcodeNameError
	if soa == nil { // RFC 2308 §5: not to be kept
		c.fresh = 0
		return false
	}
	c.keep(min(soa.Hdr.Ttl, soa.Minttl))
	c.fresh = min(c.fresh, maxMissing)
	return false
}

func authority(m *dns.Msg) *dns.SOA {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa
		}
	}
	return nil
}

// keep bounds how long the answer is kept by one more TTL, in seconds.
func (c *chain) keep(ttl uint32) {
	if ttl > 1<<31-1 { // RFC 2181 §8
		ttl = 0
	}
	c.fresh = min(c.fresh, time.Duration(ttl)*time.Second)
}

// plain is a name of a message as the rest of the house writes it.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
