package smtp

import (
	"strconv"
	"strings"
	"time"
)

// extension is what EHLO announces in one line: a keyword, and its parameters
// if it has any ("" stands for none). Offered says whether the session has it; nil: each has.
type extension struct {
	keyword    string
	parameters func(s *server) string
	offered    func(s *server) bool
}

// extensions are all extensions, in the order of the answer to EHLO.
var extensions = []extension{
	{keyword: "PIPELINING"},                                   // RFC 2920
	{keyword: "SIZE", parameters: (*server).announceSize},     // RFC 1870
	{keyword: "8BITMIME"},                                     // RFC 6152
	{keyword: "CHUNKING"},                                     // RFC 3030
	{keyword: "BINARYMIME", offered: (*server).takesBinary},   // RFC 3030
	{keyword: "SMTPUTF8"},                                     // RFC 6531
	{keyword: "ENHANCEDSTATUSCODES"},                          // RFC 2034
	{keyword: "DSN"},                                          // RFC 3461
	{keyword: "DELIVERBY", parameters: (*server).announceBy},  // RFC 2852
	{keyword: "MT-PRIORITY"},                                  // RFC 6710
	{keyword: "LIMITS", parameters: (*server).announceLimits}, // RFC 9422
	{keyword: "STARTTLS", offered: (*server).offersTLS},       // RFC 3207
	{keyword: "AUTH", parameters: (*server).announceMechanisms, offered: (*server).offersLogin},   // RFC 4954
	{keyword: "FUTURERELEASE", parameters: (*server).announceHold, offered: (*server).offersHold}, // RFC 4865
	{keyword: "REQUIRETLS", offered: (*server).isSecure},                                          // RFC 8689
	{keyword: "ETRN", offered: (*server).turns},                                                   // RFC 1985
	{keyword: "ATRN", offered: (*server).offersTurn},                                              // RFC 2645
	{keyword: "HELP"}, // RFC 5321 §4.1.1.1
}

// extensions returns what EHLO announces, each line with a LF before it.
func (s *server) extensions() string {
	var b strings.Builder
	for i := range extensions {
		e := &extensions[i]
		if e.offered != nil && !e.offered(s) {
			continue
		}
		b.WriteByte('\n')
		b.WriteString(e.keyword)
		if e.parameters == nil {
			continue
		}
		if p := e.parameters(s); p != "" {
			b.WriteByte(' ')
			b.WriteString(p)
		}
	}
	return b.String()
}

func (s *server) announceSize() string { return strconv.FormatInt(s.opts.MaxSize, 10) }

func (s *server) announceLimits() string {
	limits := "RCPTMAX=" + strconv.Itoa(s.opts.MaxRecipients)
	if s.opts.MaxTransactions > 0 {
		limits += " MAILMAX=" + strconv.Itoa(s.opts.MaxTransactions)
	}
	return limits
}

// announceBy announces the least time for BY, in seconds (RFC 2852 §3).
func (s *server) announceBy() string {
	if s.opts.MinDeliverBy < time.Second {
		return ""
	}
	return strconv.FormatInt(int64(s.opts.MinDeliverBy/time.Second), 10)
}

// isSecure: REQUIRETLS is neither announced nor taken without TLS (RFC 8689 §2).
func (s *server) isSecure() bool { return s.conn.TLS != nil }

// takesBinary reports whether the backend takes BINARYMIME.
func (s *server) takesBinary() bool { return s.opts.Binary }

// offersTLS: RFC 3207 §4.2 wants STARTTLS hidden once TLS is on.
func (s *server) offersTLS() bool { return s.hasTLS() && s.conn.TLS == nil }

func (s *server) offersLogin() bool { return len(s.mechanisms()) > 0 }

func (s *server) announceMechanisms() string { return strings.Join(s.mechanisms(), " ") }

func (s *server) offersHold() bool { return s.role.hold && s.opts.MaxHold >= time.Second }

// announceHold announces for how long at most a message may be held, in seconds,
// and until when (RFC 4865 §4).
func (s *server) announceHold() string {
	return strconv.FormatInt(int64(s.opts.MaxHold/time.Second), 10) + " " +
		s.conn.Now().Add(s.opts.MaxHold).UTC().Format(time.RFC3339)
}
