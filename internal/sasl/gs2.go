package sasl

import "strings"

// gs2Header is what a client's first message begins with in SCRAM and
// OAUTHBEARER (RFC 5801 §4, RFC 5802 §7).
type gs2Header struct {
	text string // the whole, with its last comma
	// flag is 'n': the client has no channel binding; 'y': it has, and thinks that
	// the server has not; 'p': it uses the one called binding.
	flag    byte
	binding string
	as      string // the authorization identity
}

// parseGS2 takes the header off a message.
func parseGS2(message string) (h gs2Header, rest string, err error) {
	flag, rest, ok := strings.Cut(message, ",")
	as, rest, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		return h, "", malformed("the message must begin with n,, or the like")
	}
	h.text = message[:len(message)-len(rest)]
	switch {
	case flag == "n", flag == "y":
		h.flag = flag[0]
	case strings.HasPrefix(flag, "p=") && isBindingName(flag[2:]):
		h.flag, h.binding = 'p', flag[2:]
	default:
		return h, "", malformed("the message must begin with n, y or p=")
	}
	if as == "" {
		return h, rest, nil
	}
	as, ok = strings.CutPrefix(as, "a=")
	if !ok {
		return h, "", malformed("an authorization identity is written a=")
	}
	h.as, err = parseSASLName(as)
	return h, rest, err
}

// isBindingName checks the form of a channel binding's name (RFC 5802 §7, cb-name).
func isBindingName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '-') {
			return false
		}
	}
	return s != ""
}

// parseSASLName reads a name in which =2C stands for a comma and =3D for an
// equals sign, and neither for itself (RFC 5802 §5.1, §7, saslname).
func parseSASLName(s string) (string, error) {
	if err := checkName([]byte(s)); err != nil {
		return "", err
	}
	var b strings.Builder
	for {
		text, after, escaped := strings.Cut(s, "=")
		b.WriteString(text)
		if !escaped {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", malformed("in a name, = must be written =3D and a comma =2C")
		}
		s = after[2:]
	}
}
