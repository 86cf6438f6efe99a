package login

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/mail"
)

// MaxName is how many octets of a name that a client has tried are logged.
const MaxName = 128

// noAddress stands in the log for a name that may be a password.
const noAddress = "(no address)"

// shownName is a name as the log may show it: what is no account's is shown only
// if it looks like a mail address.
func (s *Service) shownName(ctx context.Context, name string) string {
	switch {
	case name == "":
		return ""
	case looksLikeAddress(name):
		return printable(name)
	}
	if a, err := s.o.Directory.LoginAccount(ctx, name); err == nil && a.ID != 0 {
		return printable(a.Address)
	}
	return noAddress
}

// looksLikeAddress reports whether a name is a mail address whose domain has a
// dot, and letters after its last one. A password may have an @, but hardly that.
func looksLikeAddress(name string) bool {
	a, err := mail.ParseAddress(name)
	if err != nil {
		return false
	}
	dot := strings.LastIndexByte(a.Domain, '.')
	top := a.Domain[dot+1:]
	return dot > 0 && (strings.HasPrefix(top, "xn--") || strings.Trim(top, "abcdefghijklmnopqrstuvwxyz") == "")
}

// printable is a text from a client made fit for a log: at most MaxName octets,
// nothing that does not print.
func printable(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s[:min(len(s), MaxName+utf8.UTFMax)])
	if len(s) <= MaxName && len(clean) <= MaxName {
		return clean
	}
	const more = "…"
	end := min(MaxName-len(more), len(clean)) // what does not print has become shorter
	for end < len(clean) && !utf8.RuneStart(clean[end]) {
		end--
	}
	return clean[:end] + more
}
