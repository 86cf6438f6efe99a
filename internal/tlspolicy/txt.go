package tlspolicy

import (
	"context"
	"strings"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/resolver"
)

// field is one of "key=value" in a TXT record.
type field struct{ key, value string }

// fields reads a record of the form "v=VERSION; key=value; …" (RFC 8461 §3.1,
// RFC 8460 §3); ok is false when it is of another version, or broken.
func fields(record, version string) (all []field, ok bool) {
	for i, part := range strings.Split(record, ";") {
		part = strings.Trim(part, " \t")
		if part == "" && i > 0 {
			continue
		}
		key, value, cut := strings.Cut(part, "=")
		if !cut || i == 0 && (key != "v" || value != version) {
			return nil, false
		}
		all = append(all, field{strings.TrimRight(key, " \t"), strings.TrimLeft(value, " \t")})
	}
	return all, true
}

// oneRecord returns the fields of the only TXT record of a version. With none, or
// several, there is none (RFC 8461 §3.1, RFC 8460 §3), which is no error.
func oneRecord(ctx context.Context, r *resolver.Resolver, name, version string) ([]field, error) {
	records, _, err := r.Lookup(ctx, name, dns.TypeTXT)
	if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
		return nil, err
	}
	var texts []string
	for _, rr := range records {
		if text, _ := resolver.Text(rr); strings.HasPrefix(text, "v="+version+";") {
			texts = append(texts, text)
		}
	}
	if len(texts) != 1 {
		return nil, nil
	}
	all, _ := fields(texts[0], version)
	return all, nil
}

// value returns a field's value, or "".
func value(all []field, key string) string {
	for _, f := range all {
		if f.key == key {
			return f.value
		}
	}
	return ""
}
