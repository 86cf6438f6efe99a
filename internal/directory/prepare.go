package directory

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"

	"postrider/internal/mail"
)

// MaxPassword is the longest password in octets, before its preparation and
// after it. Longer ones are refused when they are set and fit nobody at a login.
const MaxPassword = 1024

// preparePassword returns a password as it is hashed and compared: what
// OpaqueString makes of it (RFC 8265 §4.2), so that the two ways to write "é" are
// one password. Printable ASCII stays as it is. The error holds nothing of raw.
func preparePassword(raw string) (string, error) {
	switch {
	case raw == "":
		return "", errors.New("the password is empty")
	case len(raw) > MaxPassword:
		return "", errPasswordLength
	case isPrintable(raw):
		return raw, nil
	case !utf8.ValidString(raw): // the profile would take them all for U+FFFD
		return "", errors.New("the password is not UTF-8")
	}
	prepared, err := precis.OpaqueString.String(raw)
	if err != nil {
		return "", errors.New("the password has a control character, or another that passwords can't have (RFC 8265)")
	}
	if len(prepared) > MaxPassword {
		return "", errPasswordLength
	}
	return prepared, nil
}

var errPasswordLength = fmt.Errorf("the password is longer than %d octets", MaxPassword)

// isPrintable reports whether all of s is printable ASCII or spaces.
func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// attempt is a password that is tried, in the forms in which it may have been
// hashed: as it is prepared and, where that differs, as it came, since hashes
// that were imported were made of octets as they are. Printable ASCII, nearly
// every password, has one form, and costs one hash; what the number of forms
// depends on is the password alone, never the account.
type attempt struct {
	forms []string // one or two
	// usable is unset for what can be nobody's password. It is hashed all the same.
	usable bool
}

func newAttempt(raw string) attempt {
	prepared, err := preparePassword(raw)
	switch {
	case err != nil:
		return attempt{forms: []string{raw[:min(len(raw), MaxPassword)]}}
	case prepared == raw:
		return attempt{forms: []string{raw}, usable: true}
	}
	return attempt{forms: []string{prepared, raw}, usable: true}
}

// loginKeys returns the keys under which a login name is looked up, one after
// the other; none for what is no address. The second, if there is one, has wide
// and narrow letters mapped to the usual ones (RFC 8265 §3.3); normalization and
// case are mail.Address.Key's. Names are not held to the profile otherwise:
// addresses may have more than its user names, such as a space in quotes.
func loginKeys(name string) []string {
	a, err := mail.ParseAddress(name)
	if err != nil {
		return nil
	}
	keys := []string{a.Key()}
	if mapped := width.Fold.String(a.Local); mapped != a.Local {
		a.Local = mapped
		keys = append(keys, a.Key())
	}
	return keys
}

// sameName returns a text that is the same for all spellings of a login name,
// whether anybody has it or not.
func sameName(name string) string {
	if keys := loginKeys(name); len(keys) > 0 {
		return keys[len(keys)-1]
	}
	return strings.Map(unicode.ToLower, norm.NFC.String(width.Fold.String(strings.TrimSpace(name))))
}
