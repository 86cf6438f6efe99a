package certs

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
)

// entry is a certificate that can be served. It never changes.
type entry struct {
	cert   *tls.Certificate // with Leaf
	source Source
	pair   Pair     // of SourceFile
	notes  []string // what was found wrong when it was loaded
}

// names are what the certificate is made for, in lower case; addresses come
// after host names.
func (e *entry) names() []string { return namesOf(e.cert.Leaf) }

func namesOf(c *x509.Certificate) []string {
	var all []string
	for _, n := range c.DNSNames {
		all = append(all, strings.ToLower(n))
	}
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// table finds certificates. It never changes.
type table struct {
	all    []*entry            // the first is the default
	byName map[string][]*entry // host names and wildcards, in lower case
}

// newTable makes a table in which earlier entries come before later ones.
func newTable(all []*entry) *table {
	t := &table{all: all, byName: map[string][]*entry{}}
	for _, e := range all {
		for _, n := range e.names() {
			t.byName[n] = append(t.byName[n], e)
		}
	}
	return t
}

// has reports whether an entry is served.
func (t *table) has(e *entry) bool { return slices.Contains(t.all, e) }

// choose returns the entry for the name that a client gives: one made for just
// this name, else one for all names beside it (RFC 6125 §6.4.3), else the
// default. Among several of one name, the default's too, the first wins whose key
// the client supports. Nil: the table is empty.
func (t *table) choose(hello *tls.ClientHelloInfo) *entry {
	name := strings.ToLower(hello.ServerName)
	for _, n := range []string{name, wildcard(name)} {
		if es := t.byName[n]; n != "" && len(es) > 0 {
			return supported(es, hello)
		}
	}
	if len(t.all) == 0 {
		return nil
	}
	names := t.all[0].names()
	if len(names) == 0 {
		return t.all[0]
	}
	unnamed := *hello
	unnamed.ServerName = "" // none of these is made for it
	return supported(t.byName[names[0]], &unnamed)
}

// wildcard returns the name with its first label made "*", or "".
func wildcard(name string) string {
	if _, rest, ok := strings.Cut(name, "."); ok && rest != "" {
		return "*." + rest
	}
	return ""
}

func supported(es []*entry, hello *tls.ClientHelloInfo) *entry {
	if len(es) > 1 {
		for _, e := range es {
			if hello.SupportsCertificate(e.cert) == nil {
				return e
			}
		}
	}
	return es[0]
}
