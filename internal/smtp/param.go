package smtp

import (
	"math"
	"strings"

	"postrider/internal/mail"
)

// Limits of DSN's parameters, in octets as they are sent (RFC 3461 §4.2, §4.4).
const (
	maxEnvID = 100
	maxORcpt = 500
)

// setSize takes a number of octets. One that has too many digits for us is
// larger than every limit, and no syntax error.
func setSize(tx *transaction, value string, _ bool) *fixed {
	n, ok := parseOctets(value)
	if !ok {
		return replyBadParam
	}
	tx.Envelope.Size = n
	return nil
}

// parseOctets reads a count of octets; ok is false when it is not all digits.
// What exceeds 63 bits is math.MaxInt64.
func parseOctets(s string) (n int64, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if d := int64(c - '0'); n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + d
		}
	}
	return n, s != ""
}

func setBody(tx *transaction, value string, _ bool) *fixed {
	switch {
	case strings.EqualFold(value, mail.Body7Bit.String()):
		tx.Envelope.Body = mail.Body7Bit
	case strings.EqualFold(value, mail.Body8BitMIME.String()):
		tx.Envelope.Body = mail.Body8BitMIME
	case !strings.EqualFold(value, mail.BodyBinaryMIME.String()):
		return replyBadParam
	case !tx.of.takesBinary():
		return replyBinary
	default:
		tx.Envelope.Body = mail.BodyBinaryMIME
	}
	return nil
}

func setSMTPUTF8(tx *transaction, value string, _ bool) *fixed {
	if value != "" {
		return replyBadParam
	}
	tx.Envelope.SMTPUTF8 = true
	return nil
}

// setRequireTLS: the parameter has no value (RFC 8689 §2).
func setRequireTLS(tx *transaction, value string, _ bool) *fixed {
	if value != "" {
		return replyBadParam
	}
	tx.Envelope.RequireTLS = true
	return nil
}

func setRet(tx *transaction, value string, _ bool) *fixed {
	switch {
	case strings.EqualFold(value, "FULL"):
		tx.Envelope.Ret = mail.RetFull
	case strings.EqualFold(value, "HDRS"):
		tx.Envelope.Ret = mail.RetHeaders
	default:
		return replyBadParam
	}
	return nil
}

func setEnvID(tx *transaction, value string, _ bool) *fixed {
	id, ok := decodeXtext(value)
	if !ok || value == "" || len(value) > maxEnvID || !isPrintable(id) {
		return replyBadParam
	}
	tx.Envelope.EnvID = id
	return nil
}

// notifyWords are NOTIFY's words.
var notifyWords = []struct {
	word string
	flag mail.Notify
}{
	{"NEVER", mail.NotifyNever},
	{"SUCCESS", mail.NotifySuccess},
	{"FAILURE", mail.NotifyFailure},
	{"DELAY", mail.NotifyDelay},
}

func setNotify(r *mail.Recipient, value string, _ bool) *fixed {
	for word := range strings.SplitSeq(value, ",") {
		var flag mail.Notify
		for _, w := range notifyWords {
			if strings.EqualFold(w.word, word) {
				flag = w.flag
			}
		}
		if flag == 0 {
			return replyBadParam
		}
		r.Notify |= flag
	}
	if r.Notify&mail.NotifyNever != 0 && r.Notify != mail.NotifyNever {
		return replyBadParam
	}
	return nil
}

// decodeXtext decodes xtext (RFC 3461 §4): "+" and two upper-case hexadecimal
// digits are one octet; everything else stands for itself. Octets beyond ASCII
// are let through for the caller to judge.
func decodeXtext(s string) (text string, ok bool) {
	if strings.IndexByte(s, '+') < 0 {
		return s, !hasControl(s) && strings.IndexByte(s, '=') < 0
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c == 0x7f || c == '=' {
			return "", false
		}
		if c == '+' {
			if i+2 >= len(s) {
				return "", false
			}
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b = append(b, c)
	}
	return string(b), true
}

// hexDigit returns the value of an upper-case hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// isPrintable reports whether s is printable ASCII and spaces only.
func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return !hasControl(s)
}

func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// isAtom reports whether s is an atom of letters, digits and hyphens, which all
// registered address types are (RFC 3461 §4.2).
func isAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

// maxSubmitter is how long AUTH's value may be, in octets (RFC 4954 §5).
const maxSubmitter = 500

// setAuth takes who submitted the message first, according to the client. Nobody
// is trusted to know that, so that it is checked and dropped, as if it were <>
// (RFC 4954 §5).
func setAuth(tx *transaction, value string, _ bool) *fixed {
	if value == "<>" {
		return nil
	}
	submitter, ok := decodeXtext(value)
	if !ok || len(value) > maxSubmitter || !isPrintable(submitter) {
		return replyBadParam
	}
	if _, err := mail.ParseAddress(submitter); err != nil {
		return replyBadParam
	}
	return nil
}
