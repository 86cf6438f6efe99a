package mail

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of addresses, in octets of the canonical form (RFC 5321 §4.5.3.1).
const (
	MaxLocal  = 64  // local part, without quotes and escapes
	MaxDomain = 255 // domain, as A-labels
	MaxPath   = 256 // path, with its angle brackets, without a source route
)

const (
	maxLabel = 63            // RFC 1035 §2.3.4
	maxInput = 4 * MaxDomain // of a domain still in UTF-8, four octets a character

	acePrefix  = "xn--"
	ipv6Prefix = "IPv6:"
)

// hostnames converts names with U-labels or A-labels: mapped to lower case and
// NFC, validated, and written as A-labels (RFC 5890 §2.3.2.1, UTS 46 without
// transitional mappings). The ASCII in its result is checked by checkName.
var hostnames = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.StrictDomainName(false),
)

// ParseDomain reads the name of a mail domain or host, or an address literal,
// and returns its canonical form: lower case, U-labels as A-labels, one trailing
// dot removed; a literal as [192.0.2.1] or [IPv6:2001:db8::1]. The error is an
// *AddressError.
//
// An underscore is tolerated: RFC 5321 §4.1.2 forbids it, but hosts that have
// one send mail, and it can do no harm here. An A-label that decodes to nothing
// valid is refused, so that one domain never has two canonical forms.
func ParseDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return "", ErrNoDomain
	}
	if len(s) > maxInput {
		return "", ErrDomainTooLong
	}
	upper, foreign := scanName(s)
	if foreign {
		return convertName(s)
	}
	if upper {
		s = strings.ToLower(s)
	}
	if err := checkName(s); err != nil {
		return "", err
	}
	return s, nil
}

// scanName reports whether a name has upper-case ASCII letters, and whether it
// has anything that only IDNA can judge: octets beyond ASCII, or an A-label.
func scanName(s string) (upper, foreign bool) {
	start := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			return upper, true
		case 'A' <= c && c <= 'Z':
			upper = true
		case c == '.':
			start = i + 1
		case c == '-' && i == start+3 && strings.EqualFold(s[start:i+1], acePrefix):
			return upper, true
		}
	}
	return upper, false
}

// convertName is ParseDomain for names that need IDNA.
func convertName(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", ErrNotUTF8
	}
	a, err := hostnames.ToASCII(s)
	if err != nil {
		return "", ErrIDNA
	}
	// What U-labels were mapped to is not held to all the rules, for instance to
	// the bidi rule when a symbol became a letter (U+2135). A second pass is.
	if again, err := hostnames.ToASCII(a); err != nil || again != a {
		return "", ErrIDNA
	}
	a = strings.TrimSuffix(a, ".")
	if err := checkName(a); err != nil {
		return "", err
	}
	return a, nil
}

// checkName checks a lower-case ASCII name: letters, digits, hyphens within a
// label, underscores (RFC 5321 §4.1.2, RFC 1123 §2.1).
func checkName(s string) error {
	if len(s) > MaxDomain {
		return ErrDomainTooLong
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if !isNameOctet(s[i]) {
				return ErrDomainCharacter
			}
			continue
		}
		switch label := s[start:i]; {
		case label == "":
			return ErrEmptyLabel
		case len(label) > maxLabel:
			return ErrLabelTooLong
		case label[0] == '-' || label[len(label)-1] == '-':
			return ErrHyphen
		}
		start = i + 1
	}
	return nil
}

func isNameOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// parseLiteral reads an address literal (RFC 5321 §4.1.3).
func parseLiteral(s string) (string, error) {
	if len(s) > MaxDomain || !strings.HasSuffix(s, "]") {
		return "", ErrLiteral
	}
	text, tagged := s[1:len(s)-1], false
	if n := len(ipv6Prefix); len(text) >= n && strings.EqualFold(text[:n], ipv6Prefix) {
		text, tagged = text[n:], true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.Is4() == tagged {
		return "", ErrLiteral
	}
	if tagged {
		return "[" + ipv6Prefix + addr.String() + "]", nil
	}
	return "[" + addr.String() + "]", nil
}
