package netserver

import "crypto/tls"

// StrictALPN returns a copy of a configuration with which a client that offers
// application protocols (RFC 7301) must offer one of those given, or its
// handshake fails; a client that offers none is welcome. Thus what a browser was
// tricked into sending to a mail server stays unread (ALPACA; RFC 9325 §3.7).
// The names need not be registered: "smtp" is not, and some clients offer it. A
// name of the caller's (HTTP's, ACME's) is not kept.
func StrictALPN(c *tls.Config, protocol string, others ...string) *tls.Config {
	protocols := append([]string{protocol}, others...)
	strict := c.Clone()
	strict.NextProtos = protocols
	if own := c.GetConfigForClient; own != nil {
		strict.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			cfg, err := own(hello)
			if cfg == nil || err != nil {
				return nil, err
			}
			cfg = cfg.Clone()
			cfg.NextProtos = protocols
			return cfg, nil
		}
	}
	return strict
}
