package smtp

import "strings"

// Param is a parameter of MAIL or RCPT (RFC 5321 §4.1.2, esmtp-param).
type Param struct {
	// Keyword is its name in upper case.
	Keyword string
	// Syntax is the keyword with its value, if it takes one.
	Syntax string
	// Help says what it does, in one line.
	Help string
	// RFC is where it is specified.
	RFC string
	// Roles are those whose listeners take it.
	Roles Role

	// needs, if not nil, reports whether a session that has the role takes it.
	needs func(s *server) bool
}

// param is a parameter with what it does to a T. Set takes its value, which is
// empty when it has none, and returns the reply to a bad one.
type param[T any] struct {
	Param
	set func(into *T, value string, utf8 bool) *fixed
}

// describe returns what is said about parameters.
func describe[T any](params []param[T]) []Param {
	described := make([]Param, len(params))
	for i := range params {
		described[i] = params[i].Param
	}
	return described
}

// takes reports whether a parameter can be had in this session.
func (s *server) takes(p *Param) bool {
	return p.Roles&s.role.is != 0 && (p.needs == nil || p.needs(s))
}

// parseParams reads parameters separated by spaces. A known one given twice is
// refused (RFC 3461 §4.5). Utf8 allows UTF-8 in values that may have it.
func parseParams[T any](s *server, text string, known []param[T], into *T, utf8 bool) *fixed {
	seen := 0
	for text != "" {
		var word string
		word, text, _ = strings.Cut(text, " ")
		if word == "" {
			continue
		}
		keyword, value, valued := strings.Cut(word, "=")
		if valued && value == "" || strings.Contains(value, "=") {
			return replyBadParam
		}
		i := indexParam(known, keyword)
		switch {
		case i < 0 || !s.takes(&known[i].Param):
			return replyUnknownParam
		case seen&(1<<i) != 0:
			return replyRepeated
		}
		seen |= 1 << i
		if bad := known[i].set(into, value, utf8); bad != nil {
			return bad
		}
	}
	return nil
}

func indexParam[T any](known []param[T], keyword string) int {
	for i := range known {
		if strings.EqualFold(known[i].Keyword, keyword) {
			return i
		}
	}
	return -1
}
