package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseAddress reads an address as people and configuration write it:
// local@domain, "quoted local"@domain, with an internationalized domain in
// either form, or with an address literal. White space around it is ignored. A
// domain is required. The error is an *AddressError.
//
// Dots may stand anywhere in a local part without quotes: mailboxes named like
// that exist, at mobile operators most of all. An empty local part is refused
// even in quotes, since "@domain" is the key of a catch-all.
func ParseAddress(s string) (Address, error) {
	a, rest, err := parseMailbox(strings.TrimSpace(s), true)
	switch {
	case err != nil:
		return Address{}, err
	case rest != "":
		return Address{}, ErrAfterPath
	}
	return a, nil
}

// ParsePath reads the argument of MAIL or RCPT after the colon: a path in angle
// brackets, and returns what follows it, the parameters, without the spaces
// between. <> is the zero Address, and <Postmaster> in any case is the Address
// without a domain. The error is an *AddressError.
//
// Spaces before the path and missing angle brackets are accepted, as old
// clients and hands write them. A source route is read and ignored (RFC 5321
// §4.1.1.3, §F.2). Octets beyond ASCII are refused unless utf8 is set; then they
// must be UTF-8 (RFC 6531 §3.3).
func ParsePath(s string, utf8 bool) (a Address, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	if s == "" {
		return Address{}, "", ErrNoAddress
	}
	if s[0] != '<' {
		a, rest, err = parseForward(s, utf8)
	} else {
		a, rest, err = parseBracketed(s[1:], utf8)
	}
	if err != nil {
		return Address{}, "", err
	}
	if rest != "" && rest[0] != ' ' {
		return Address{}, "", ErrAfterPath
	}
	return a, strings.TrimLeft(rest, " "), nil
}

// parseBracketed reads a path from behind its opening bracket to behind the
// closing one.
func parseBracketed(s string, utf8 bool) (a Address, rest string, err error) {
	if strings.HasPrefix(s, ">") {
		return Address{}, s[1:], nil
	}
	if strings.HasPrefix(s, "@") {
		if s, err = skipRoute(s, utf8); err != nil {
			return Address{}, "", err
		}
	}
	if a, rest, err = parseForward(s, utf8); err != nil {
		return Address{}, "", err
	}
	if !strings.HasPrefix(rest, ">") {
		return Address{}, "", ErrBracket
	}
	return a, rest[1:], nil
}

// skipRoute reads @one.example,@two.example: and returns what follows.
func skipRoute(s string, utf8 bool) (rest string, err error) {
	for strings.HasPrefix(s, "@") {
		end := domainEnd(s[1:]) + 1
		if _, err := parseDomainText(s[1:end], utf8); err != nil {
			return "", err
		}
		switch {
		case strings.HasPrefix(s[end:], ":"):
			return s[end+1:], nil
		case strings.HasPrefix(s[end:], ","):
			s = s[end+1:]
		default:
			return "", ErrRoute
		}
	}
	return "", ErrRoute
}

// parseForward is parseMailbox that knows a postmaster without a domain.
func parseForward(s string, utf8 bool) (a Address, rest string, err error) {
	if n := len(postmaster); len(s) >= n && strings.EqualFold(s[:n], postmaster) {
		if rest := s[n:]; rest == "" || rest[0] == '>' || rest[0] == ' ' {
			return Address{Local: postmaster}, rest, nil
		}
	}
	return parseMailbox(s, utf8)
}

// parseMailbox reads local@domain up to what can't belong to the domain.
func parseMailbox(s string, utf8 bool) (a Address, rest string, err error) {
	if s == "" {
		return Address{}, "", ErrNoAddress
	}
	var n int
	if s[0] == '"' {
		a.Local, n, err = quotedLocal(s)
	} else {
		a.Local, n, err = plainLocal(s)
	}
	if err != nil {
		return Address{}, "", err
	}
	if err := checkLocal(a.Local, utf8); err != nil {
		return Address{}, "", err
	}
	s = s[n+1:]
	end := domainEnd(s)
	if a.Domain, err = parseDomainText(s[:end], utf8); err != nil {
		return Address{}, "", err
	}
	if len("<@>")+len(a.Local)+len(a.Domain) > MaxPath {
		return Address{}, "", ErrPathTooLong
	}
	return a, s[end:], nil
}

// plainLocal returns a local part without quotes, and where the @ after it is.
func plainLocal(s string) (local string, at int, err error) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '@':
			return s[:i], i, nil
		case c == '.' || isAtomOctet(c):
		case c == ' ' || c == '>':
			return "", 0, ErrNoAt
		case c < ' ' || c == 0x7f:
			return "", 0, ErrControl
		default:
			return "", 0, ErrLocalCharacter
		}
	}
	return "", 0, ErrNoAt
}

// quotedLocal returns what a quoted local part means, and where the @ after it
// is (Quoted-string, RFC 5321 §4.1.2).
func quotedLocal(s string) (local string, at int, err error) {
	end := 1
	escaped := false
	for ; end < len(s) && s[end] != '"'; end++ {
		if s[end] == '\\' {
			escaped = true
			end++
		}
	}
	if end+1 >= len(s) || s[end+1] != '@' {
		return "", 0, ErrQuote
	}
	local = s[1:end]
	if escaped {
		local = unescape(local)
	}
	return local, end + 1, nil
}

// unescape removes the backslash before each escaped octet.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// checkLocal checks what a local part means, however it was written.
func checkLocal(s string, eai bool) error {
	switch {
	case s == "":
		return ErrNoLocal
	case len(s) > MaxLocal:
		return ErrLocalTooLong
	}
	foreign := false
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return ErrControl
		}
		foreign = foreign || s[i] >= 0x80
	}
	switch {
	case !foreign:
		return nil
	case !eai:
		return ErrNotASCII
	case !utf8.ValidString(s):
		return ErrNotUTF8
	case strings.ContainsFunc(s, unicode.IsControl):
		return ErrControl
	}
	return nil
}

// domainEnd returns how many octets of s belong to the domain at its beginning.
func domainEnd(s string) int {
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexAny(s, "] >"); i >= 0 && s[i] == ']' {
			return i + 1
		}
	}
	if i := strings.IndexAny(s, " >,:"); i >= 0 {
		return i
	}
	return len(s)
}

// parseDomainText is ParseDomain with the rules of paths about what is not ASCII.
func parseDomainText(s string, eai bool) (string, error) {
	if !isASCII(s) {
		switch {
		case !eai:
			return "", ErrNotASCII
		case !utf8.ValidString(s):
			return "", ErrNotUTF8
		}
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", ErrControl
	}
	return ParseDomain(s)
}
