package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/fault"
)

// MaxPassword is the longest password in octets. Longer ones are refused when
// they are set and fit nobody at a login.
const MaxPassword = 1024

// checkPassword refuses what can't be typed at every protocol. Otherwise a
// password is octets, compared as they are.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case len(password) > MaxPassword:
		return fmt.Errorf("the password is longer than %d octets", MaxPassword)
	case strings.ContainsAny(password, "\x00\r\n"):
		return errors.New("the password has a NUL or a line end")
	}
	return nil
}

// secret is what an account is to be logged in with: a password, or the hash of
// one. At most one is set.
type secret struct {
	password string
	hash     string // checked by parseVerifier
}

// schemes are the Dovecot names for what a hash may be, with the beginnings
// that it must have.
var schemes = map[string][]string{
	"ARGON2ID":     {"$argon2id$"},
	"ARGON2I":      {"$argon2i$"},
	"BLF-CRYPT":    {"$2a$", "$2b$", "$2y$"},
	"SHA512-CRYPT": {"$6$"},
	"CRYPT":        {"$2a$", "$2b$", "$2y$", "$6$"},
}

// plainSchemes are the Dovecot names for a password as it is.
var plainSchemes = map[string]bool{"PLAIN": true, "CLEAR": true, "CLEARTEXT": true}

// parseHash reads {SCHEME} and what follows, or a hash in PHC or crypt(3) form.
// The error holds nothing of s.
func parseHash(s string) (secret, error) {
	name, rest, ok := cutScheme(s)
	if !ok {
		_, err := parseVerifier(s)
		return secret{hash: s}, err
	}
	if plainSchemes[name] {
		return secret{password: rest}, checkPassword(rest)
	}
	prefixes, ok := schemes[name]
	if !ok {
		return secret{}, errors.New("a {SCHEME} that is not known here (ARGON2ID, ARGON2I, BLF-CRYPT, SHA512-CRYPT, CRYPT and PLAIN are)")
	}
	for _, p := range prefixes {
		if strings.HasPrefix(rest, p) {
			_, err := parseVerifier(rest)
			return secret{hash: rest}, err
		}
	}
	return secret{}, fmt.Errorf("{%s} with a hash of another kind", name)
}

// cutScheme splits "{SCHEME}rest".
func cutScheme(s string) (name, rest string, ok bool) {
	if !strings.HasPrefix(s, "{") {
		return "", s, false
	}
	name, rest, ok = strings.Cut(s[1:], "}")
	if !ok {
		return "", s, false
	}
	return strings.ToUpper(name), rest, true
}

// looksHashed reports whether a text that could be a password or a hash begins
// like a hash: with {SCHEME}, or like one of crypt(3)'s methods.
func looksHashed(s string) bool {
	if name, _, ok := cutScheme(s); ok {
		return plainSchemes[name] || schemes[name] != nil || strings.Contains(name, "CRYPT") || strings.Contains(name, "SHA") || strings.Contains(name, "MD5")
	}
	if !strings.HasPrefix(s, "$") {
		return false
	}
	id, _, ok := strings.Cut(s[1:], "$")
	return ok && id != "" && len(id) <= len("argon2id") && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// verifierFor returns what is kept of a secret: "" for none. Passwords are hashed.
func (d *Directory) verifierFor(ctx context.Context, s secret) (string, error) {
	if s.password == "" {
		return s.hash, nil
	}
	if err := checkPassword(s.password); err != nil {
		return "", fault.New(fault.Invalid, "set password", err)
	}
	var made string
	err := d.hash(ctx, func() { made = newArgon2(d.o.Argon2, s.password).String() })
	return made, err
}
