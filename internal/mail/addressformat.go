package mail

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// postmaster is the one local part that may stand without a domain (RFC 5321
// §4.5.1), as it is written.
const postmaster = "Postmaster"

// String returns the address in the form of RFC 5321's Mailbox, with the local
// part in quotes when it has to be; "" for the null reverse-path and "Postmaster"
// for a postmaster without a domain.
func (a Address) String() string {
	switch {
	case a.IsZero():
		return ""
	case a.Domain == "":
		return postmaster
	case isDotString(a.Local):
		return a.Local + "@" + a.Domain
	}
	b := make([]byte, 0, 2*len(a.Local)+3+len(a.Domain))
	b = append(b, '"')
	for i := 0; i < len(a.Local); i++ {
		if c := a.Local[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, a.Local[i])
	}
	b = append(b, '"', '@')
	return string(append(b, a.Domain...))
}

// Key returns the form under which an address is looked up: the local part
// without quotes, in NFC and lower case, "@", the domain. The domain begins
// after the last "@". Key is "" for the null reverse-path and "postmaster" for a
// postmaster without a domain.
//
// RFC 5321 §2.4 lets local parts differ in case; no mailbox here does.
func (a Address) Key() string {
	switch {
	case a.IsZero():
		return ""
	case a.Domain == "":
		return foldLocal(a.Local)
	}
	return foldLocal(a.Local) + "@" + a.Domain
}

// ASCII reports whether the address can be sent without SMTPUTF8.
func (a Address) ASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// maxFolds bounds the search for a form that folding no longer changes: lower
// case can undo NFC, and NFC lower case. Two rounds settle all of Unicode 15.
const maxFolds = 4

func foldLocal(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	for range maxFolds {
		t := norm.NFC.String(strings.Map(unicode.ToLower, norm.NFC.String(s)))
		if t == s {
			break
		}
		s = t
	}
	return s
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isDotString reports whether a local part needs no quotes: atoms separated by
// single dots (RFC 5321 §4.1.2).
func isDotString(s string) bool {
	last := byte('.')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '.' && last == '.' || c != '.' && !isAtomOctet(c) {
			return false
		}
		last = s[i]
	}
	return last != '.'
}

// atomSpecials are the octets besides letters and digits that an atom may have
// (atext, RFC 5322 §3.2.3). RFC 6531 §3.3 adds everything beyond ASCII.
const atomSpecials = "!#$%&'*+-/=?^_`{|}~"

func isAtomOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c >= 0x80 || strings.IndexByte(atomSpecials, c) >= 0
}
