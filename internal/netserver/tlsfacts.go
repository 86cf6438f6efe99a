package netserver

import (
	"crypto/tls"
	"strings"

	"postrider/internal/session"
	"postrider/internal/tlsfacts"
)

// Limits on what a peer may have in its certificate and hello.
const (
	maxServerName  = 253 // octets; RFC 1035 §2.3.4, as text
	maxClientNames = 16
	maxClientName  = 254 // octets; RFC 5321 §4.5.3.1.3, without the brackets
)

// facts returns what a session may know of a connection whose handshake is done.
func (h *handshake) facts() *session.TLS {
	cs := h.conn.ConnectionState()
	return &session.TLS{
		Version:     tlsfacts.Version(cs.Version),
		Cipher:      tls.CipherSuiteName(cs.CipherSuite),
		ServerName:  h.name,
		ClientNames: clientNames(&cs),
		Binding:     h.binding,
	}
}

// result returns the word for a handshake that succeeded.
func (h *handshake) result() string {
	if h.conn.ConnectionState().DidResume {
		return "resumed"
	}
	return "ok"
}

// serverName returns the name a client asked for in lower case, or nothing if it
// could not be a host's: logs and header fields hold it.
func serverName(name string) string {
	if len(name) > maxServerName {
		return ""
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || '9' < c) && c != '-' && c != '.' && c != '_' {
			return ""
		}
	}
	return strings.ToLower(name)
}

// clientNames returns the mail addresses in the client's certificate if it was
// verified; a certificate that nobody vouches for says nothing.
func clientNames(cs *tls.ConnectionState) []string {
	if len(cs.VerifiedChains) == 0 || len(cs.VerifiedChains[0]) == 0 {
		return nil
	}
	var names []string
	for _, name := range cs.VerifiedChains[0][0].EmailAddresses {
		if len(names) < maxClientNames && plausible(name) {
			names = append(names, name)
		}
	}
	return names
}

// plausible reports whether an address of a certificate is short and printable.
func plausible(address string) bool {
	if address == "" || len(address) > maxClientName {
		return false
	}
	for _, c := range []byte(address) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
