package resolver

import (
	"strings"

	"github.com/miekg/dns"
)

// Text returns the octets of a TXT record, its strings put together (RFC 7208
// §3.3), and not as a zone's file would write them. Ok is false for other records.
func Text(rr dns.RR) (text string, ok bool) {
	txt, ok := rr.(*dns.TXT)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, s := range txt.Txt {
		for len(s) > 0 {
			c, n := octet(s)
			b.WriteByte(c)
			s = s[n:]
		}
	}
	return b.String(), true
}

// octet reads the first octet of a string in the form of RFC 1035 §5.1, \X and
// \DDD; n is how much of the string it takes.
func octet(s string) (c byte, n int) {
	if s[0] != '\\' || len(s) == 1 {
		return s[0], 1
	}
	if len(s) < 4 || !isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[3]) {
		return s[1], 2
	}
	return (s[1]-'0')*100 + (s[2]-'0')*10 + s[3] - '0', 4
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
