package admin

import (
	"context"
	"iter"

	"postrider/internal/certs"
	"postrider/internal/fault"
)

// certArgument names certificates; an empty name is all.
type certArgument struct {
	Name string `json:"name,omitempty"`
}

// Certificates lists the server's certificates: none when no listener has TLS.
// NotFound: no server runs.
func (c *Client) Certificates(ctx context.Context) iter.Seq2[certs.Info, error] {
	return list[certs.Info](ctx, c, "cert.list", certArgument{})
}

// RenewCertificates gets certificates anew now: from their files, from the ACME
// authority, or self-signed; those of one name if it is not empty.
func (c *Client) RenewCertificates(ctx context.Context, name string) ([]certs.Info, error) {
	var now []certs.Info
	err := c.ask(ctx, "cert.renew", certArgument{name}, &now)
	return now, err
}

func certList(s *service, c *call, _ certArgument) (any, error) {
	if s.logins == nil {
		return nil, errNoServer("list certificates")
	}
	if s.certs == nil {
		return nil, nil
	}
	for _, i := range s.certs.List() {
		if err := c.emit(i); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func certRenew(s *service, c *call, a certArgument) (any, error) {
	if s.logins == nil {
		return nil, errNoServer("renew certificates")
	}
	if s.certs == nil {
		return nil, fault.Newf(fault.NotFound, "renew certificates", "there are none: no listener has TLS")
	}
	now, err := s.certs.Renew(c, a.Name)
	if _, one := err.(*fault.Error); !one { // those of several certificates, joined
		err = fault.Wrap("renew certificates", err)
	}
	return now, err
}
