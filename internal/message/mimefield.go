package message

import (
	"errors"
	"mime"
	"strings"
)

// mediaType reads the body of a Content-Type field, unfolded, also with comments
// (RFC 2045 §5.1). Of parameters that can't be read, only the boundary is looked
// for. Kind is "" if even the type can't be told.
func mediaType(body string) (kind, boundary string) {
	text, ok := withoutComments(body)
	if !ok {
		return "", ""
	}
	kind, params, err := mime.ParseMediaType(text)
	switch {
	case !strings.Contains(kind, "/"):
		return "", ""
	case errors.Is(err, mime.ErrInvalidMediaParameter):
		_, rest, _ := strings.Cut(text, ";")
		return kind, liberalBoundary(rest)
	}
	return kind, params["boundary"]
}

// withoutComments returns a field's body with a space in place of each comment
// (RFC 5322 §3.2.2). Ok is false if a comment or a quoted string does not end.
func withoutComments(body string) (text string, ok bool) {
	if !strings.ContainsRune(body, '(') {
		return body, true
	}
	var b strings.Builder
	var s lexer
	for _, c := range []byte(body) {
		within := s.depth > 0
		s.next(c)
		switch {
		case !within && s.depth == 0:
			b.WriteByte(c)
		case within && s.depth == 0:
			b.WriteByte(' ')
		}
	}
	return b.String(), s == lexer{}
}

// lexer follows quoted strings, comments and domain literals in the body of a
// structured field (RFC 5322 §3.2). The zero value stands outside of them.
type lexer struct {
	quoted, literal, escaped bool
	depth                    int // of comments
}

// next goes over an octet.
func (s *lexer) next(c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\' && *s != (lexer{}):
		s.escaped = true
	case s.quoted:
		s.quoted = c != '"'
	case s.literal:
		s.literal = c != ']'
	case c == '(':
		s.depth++
	case s.depth > 0 && c == ')':
		s.depth--
	case s.depth > 0:
	case c == '"':
		s.quoted = true
	case c == '[':
		s.literal = true
	}
}

// liberalBoundary finds the boundary in parameters of which one is malformed:
// often it is the boundary, which needs quotes for characters such as "=" and is
// sent without. Empty: there is none, or there are several.
func liberalBoundary(params string) (boundary string) {
	for param := range parameters(params) {
		name, value, _ := strings.Cut(param, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		switch {
		case strings.HasPrefix(name, "boundary*"): // RFC 2231
			return ""
		case name != "boundary":
			continue
		case boundary != "":
			return ""
		}
		if inner, ok := strings.CutPrefix(value, `"`); ok {
			value, ok = strings.CutSuffix(inner, `"`)
			if !ok {
				return ""
			}
		} else if strings.ContainsAny(value, " \t") {
			return ""
		}
		if boundary = value; strings.ContainsAny(value, `"\`) {
			return ""
		}
	}
	return boundary
}

// parameters lists what stands between semicolons outside of quotes.
func parameters(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var s lexer
		from := 0
		for i := range len(text) {
			if text[i] == ';' && !s.quoted {
				if !yield(text[from:i]) {
					return
				}
				from = i + 1
			}
			s.next(text[i])
		}
		yield(text[from:])
	}
}
