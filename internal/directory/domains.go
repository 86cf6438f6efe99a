package directory

import (
	"context"
	"errors"
	"iter"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// AddDomain makes a domain local. Exists if it is, Invalid if it is no name.
func (d *Directory) AddDomain(ctx context.Context, name string) error {
	op := "add domain " + clip(name)
	name, err := domainName(name)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	return d.change(ctx, store.PutDomain{Domain: store.Domain{Name: name, Created: d.o.Now()}})
}

// RemoveDomain ends a domain's being local. NotFound if it is not, Exists while
// it has accounts or aliases.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	op := "remove domain " + clip(name)
	name, err := domainName(name)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	return d.change(ctx, store.RemoveDomain{Name: name})
}

// Domains lists the local domains by name.
func (d *Directory) Domains(ctx context.Context) iter.Seq2[store.Domain, error] {
	return d.st.Domains(ctx, "")
}

// domainName is ParseDomain without address literals: they are hosts' and not
// names of a site.
func domainName(s string) (string, error) {
	name, err := mail.ParseDomain(strings.TrimSpace(s))
	if err == nil && strings.HasPrefix(name, "[") {
		return "", errLiteral
	}
	return name, err
}

var errLiteral = fault.Newf(fault.Invalid, "domain", "an address literal can't be a local domain")

// change makes one change in the order of this process. The error names what
// could not be changed.
func (d *Directory) change(ctx context.Context, c store.Change) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	_, err := d.st.Change(ctx, c)
	var which *store.ChangeError
	if errors.As(err, &which) {
		return which.Err
	}
	return err
}

// clip bounds what an error repeats of its input, in octets.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
