package netserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"postrider/internal/netconn"
)

// handshakeError is a handshake that failed.
type handshakeError struct {
	result string // for metrics
	words  string // for the log
}

// Error implements error.
func (e *handshakeError) Error() string { return "TLS handshake: " + e.words }

// failures are the words for what crypto/tls says in no other way.
var failures = []struct {
	text string // that its error contains
	handshakeError
}{
	{"client offered only unsupported versions", handshakeError{"version", "no common version"}},
	{"inappropriate protocol fallback", handshakeError{"version", "client fell back to an older version"}},
	{"no cipher suite supported by both", handshakeError{"cipher", "no common cipher suite"}},
	{"no key exchanges supported by both", handshakeError{"cipher", "no common key exchange"}},
	{"incompatible point formats", handshakeError{"cipher", "no common key exchange"}},
	{"any of the certificate's signature algorithms", handshakeError{"cipher", "client can't verify our kind of certificate"}},
	{"unsupported application protocols", handshakeError{"alpn", "client is for another application protocol (ALPN)"}},
	{"client didn't provide a certificate", handshakeError{"client_certificate", "client has no certificate"}},
	{"parse client certificate", handshakeError{"client_certificate", "client's certificate is malformed"}},
	{"client certificate", handshakeError{"client_certificate", "client's certificate is not usable"}},
}

// alerts are the words for alerts of the client (RFC 8446 §6) by the name that
// crypto/tls has for them; others stand in the log by that name.
var alerts = map[string]handshakeError{
	"bad certificate":                {"untrusted", "client does not trust our certificate: bad certificate"},
	"unsupported certificate":        {"untrusted", "client does not trust our certificate: unsupported"},
	"revoked certificate":            {"untrusted", "client does not trust our certificate: revoked"},
	"expired certificate":            {"untrusted", "client does not trust our certificate: expired"},
	"unknown certificate":            {"untrusted", "client does not trust our certificate"},
	"unknown certificate authority":  {"untrusted", "client does not trust our certificate: unknown authority"},
	"bad certificate hash value":     {"untrusted", "client does not trust our certificate: bad hash"},
	"protocol version not supported": {"version", "no common version"},
	"insufficient security level":    {"cipher", "no common cipher suite: client wants a better one"},
	"no application protocol":        {"alpn", "client is for another application protocol (ALPN)"},
	"user canceled":                  {"closed", "closed by peer"},
	"close notify":                   {"closed", "closed by peer"},
}

// handshakeFailed counts a failure and words it.
func (c *conn) handshakeFailed(h *handshake, err error) error {
	var e handshakeError
	switch {
	case c.toldToLeave():
		e = handshakeError{"shed", "ended to make room"}
	case c.srv.stopping.Load():
		e = handshakeError{"shutdown", "ended by shutdown"}
	case h.certErr != nil:
		e = handshakeError{"no_certificate", noCertificate(h)}
	default:
		e = wordHandshake(h, err)
	}
	if e.result == "timeout" {
		c.l.metrics.timeouts.Inc()
	}
	c.countHandshake(e.result, "")
	return &e
}

// countHandshake counts one handshake of the listener.
func (c *conn) countHandshake(result, version string) {
	c.srv.metrics.handshakes.WithLabelValues(c.l.Name, result, version).Inc()
}

// noCertificate words the lack of a certificate, which is the operator's to mend.
func noCertificate(h *handshake) string {
	name := h.name
	if name == "" {
		name = "a client that names no server"
	}
	return "no certificate for " + name + ": " + short(h.certErr.Error())
}

// wordHandshake words what crypto/tls or the network said.
func wordHandshake(h *handshake, err error) handshakeError {
	if alert, ok := h.heard.clearAlert(err); ok {
		err = &net.OpError{Op: "remote error", Err: alert}
	}
	var notTLS tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return handshakeError{"timeout", "timeout"}
	case errors.Is(err, io.EOF) && h.sent != nil:
		return handshakeError{"closed", "closed by peer after our certificate, which it may not trust"}
	case netconn.IsClosed(err):
		return handshakeError{"closed", "closed by peer"}
	case errors.As(err, &untrusted):
		return handshakeError{"client_certificate", "client's certificate is not trusted: " + short(untrusted.Err.Error())}
	case errors.As(err, &notTLS):
		return wordHeader(&notTLS)
	case errors.As(err, &op) && op.Op == "remote error":
		return wordAlert(strings.TrimPrefix(op.Err.Error(), "tls: "))
	case errors.As(err, &op) && op.Op != "local error":
		return handshakeError{"closed", op.Op + ": " + op.Err.Error()}
	}
	text := err.Error()
	for i := range failures {
		if strings.Contains(text, failures[i].text) {
			return failures[i].handshakeError
		}
	}
	return handshakeError{"protocol", short(text)}
}

// wordAlert words an alert of the client.
func wordAlert(name string) handshakeError {
	if e, ok := alerts[name]; ok {
		return e
	}
	return handshakeError{"alert", "client ended it: " + name}
}

// httpMethods are how a request of HTTP begins, in the octets of a record's header.
var httpMethods = []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "CONNE", "DELET", "PATCH", "TRACE", "PRI *"}

// wordHeader words the first octets of a peer that does not speak TLS. Conn is
// set when they were the first.
func wordHeader(e *tls.RecordHeaderError) handshakeError {
	switch header := string(e.RecordHeader[:]); {
	case e.Conn == nil && strings.HasPrefix(e.Msg, "unsupported SSLv2"):
		return handshakeError{"version", "no common version: SSLv2"}
	case e.Conn == nil:
		return handshakeError{"protocol", "bad record: " + e.Msg}
	case slices.Contains(httpMethods, header):
		return handshakeError{"http", "peer spoke HTTP, not TLS"}
	case printable(header):
		return handshakeError{"plaintext", "peer spoke plain text, not TLS"}
	}
	return handshakeError{"not_tls", "peer did not speak TLS"}
}

// printable reports whether s could have been typed.
func printable(s string) bool {
	for _, c := range []byte(s) {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// maxWords is how many octets of another's error text go into the log.
const maxWords = 200

// short cuts a text for the log.
func short(text string) string {
	if len(text) <= maxWords {
		return text
	}
	return strings.ToValidUTF8(text[:maxWords], "") + "…"
}
