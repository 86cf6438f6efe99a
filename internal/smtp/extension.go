package smtp

import (
	"strconv"
	"strings"
	"time"
)

// Extension is what EHLO announces in one line (RFC 5321 §4.1.1.1).
type Extension struct {
	// Keyword is its first word.
	Keyword string
	// Parameters are the words behind it, if there are any.
	Parameters string
	// RFC is where it is specified.
	RFC string
	// Where says when it is announced; empty: always.
	Where string
}

// extension is an extension with what a session knows of it: parameters returns
// those of its line ("" stands for none), offered whether the session has it; nil:
// each has.
type extension struct {
	Extension
	parameters func(s *server) string
	offered    func(s *server) bool
}

// extensions are all extensions, in the order of the answer to EHLO.
var extensions = []extension{
	{Extension: Extension{Keyword: "PIPELINING", RFC: "RFC 2920"}},
	{
		Extension:  Extension{Keyword: "SIZE", Parameters: "octets", RFC: "RFC 1870"},
		parameters: (*server).announceSize,
	},
	{Extension: Extension{Keyword: "8BITMIME", RFC: "RFC 6152"}},
	{Extension: Extension{Keyword: "CHUNKING", RFC: "RFC 3030"}},
	{
		Extension: Extension{Keyword: "BINARYMIME", RFC: "RFC 3030", Where: "where messages that are not made of lines can be stored"},
		offered:   (*server).takesBinary,
	},
	{Extension: Extension{Keyword: "SMTPUTF8", RFC: "RFC 6531"}},
	{Extension: Extension{Keyword: "ENHANCEDSTATUSCODES", RFC: "RFC 2034"}},
	{Extension: Extension{Keyword: "DSN", RFC: "RFC 3461"}},
	{
		Extension:  Extension{Keyword: "DELIVERBY", Parameters: "[seconds]", RFC: "RFC 2852"},
		parameters: (*server).announceBy,
	},
	{Extension: Extension{Keyword: "MT-PRIORITY", RFC: "RFC 6710"}},
	{
		Extension:  Extension{Keyword: "LIMITS", Parameters: "RCPTMAX=recipients [MAILMAX=messages]", RFC: "RFC 9422"},
		parameters: (*server).announceLimits,
	},
	{
		Extension: Extension{Keyword: "STARTTLS", RFC: "RFC 3207", Where: "where there is TLS and it is not on yet"},
		offered:   (*server).offersTLS,
	},
	{
		Extension:  Extension{Keyword: "AUTH", Parameters: "mechanisms", RFC: "RFC 4954", Where: "on listeners with the role submission or relay, until a login"},
		parameters: (*server).announceMechanisms, offered: (*server).offersLogin,
	},
	{
		Extension:  Extension{Keyword: "FUTURERELEASE", Parameters: "seconds time", RFC: "RFC 4865", Where: "on listeners with the role submission, if messages may be held"},
		parameters: (*server).announceHold, offered: (*server).offersHold,
	},
	{
		Extension: Extension{Keyword: "REQUIRETLS", RFC: "RFC 8689", Where: "under TLS"},
		offered:   (*server).isSecure,
	},
	{
		Extension: Extension{Keyword: "ETRN", RFC: "RFC 1985", Where: "where mail waits for hosts that are seldom connected"},
		offered:   (*server).turns,
	},
	{
		Extension: Extension{Keyword: "ATRN", RFC: "RFC 2645", Where: "the same, on listeners with the role submission or relay"},
		offered:   (*server).offersTurn,
	},
	{Extension: Extension{Keyword: "HELP", RFC: "RFC 5321 §4.1.1.1"}},
}

// Extensions returns what EHLO may announce, in its order.
func Extensions() []Extension {
	all := make([]Extension, len(extensions))
	for i := range extensions {
		all[i] = extensions[i].Extension
	}
	return all
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
		b.WriteString(e.Keyword)
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
