package certs

import (
	"crypto/tls"
	"slices"
)

// shareTickets makes c use the keys of session tickets of keys, which crypto/tls
// changes each day, so that a session that began on one listener of a protocol
// may go on at another. A ticket says which protocol it was made for and is good
// for no other (ALPACA).
func shareTickets(c, keys *tls.Config, protocol string) {
	mark := "postrider " + protocol
	c.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		s.Extra = append(s.Extra, []byte(mark))
		return keys.EncryptTicket(cs, s)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		s, err := keys.DecryptTicket(ticket, cs)
		if err != nil || s == nil {
			return nil, err
		}
		if !slices.ContainsFunc(s.Extra, func(e []byte) bool { return string(e) == mark }) {
			return nil, nil
		}
		return s, nil
	}
}
