package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"postrider/internal/store"
)

// secret is what an account is to be logged in with: a password, the hash of
// one, or its keys for SCRAM. At most one is set.
type secret struct {
	password string // prepared
	hash     string // checked by parseVerifier
	scram    string // checked by parseSCRAM
}

// plain is the secret of a password, which is prepared here.
func plain(password string) (secret, error) {
	prepared, err := preparePassword(password)
	return secret{password: prepared}, err
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
		return plain(rest)
	}
	if name == scramForm {
		keys, err := parseDovecotSCRAM(rest)
		if err != nil {
			return secret{}, err
		}
		return secret{scram: keys.String()}, nil
	}
	prefixes, ok := schemes[name]
	if !ok {
		return secret{}, errors.New("a {SCHEME} that is not known here (ARGON2ID, ARGON2I, BLF-CRYPT, SHA512-CRYPT, CRYPT, SCRAM-SHA-256 and PLAIN are)")
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

// credentials are what is kept of a secret.
type credentials struct{ hash, scram string }

// credentials makes what is kept of a secret as the account's own. It takes the
// time of a hash and of keys for SCRAM, if the secret is a password.
func (d *Directory) credentials(ctx context.Context, from netip.Addr, a store.Account, s secret) (credentials, error) {
	c := credentials{hash: s.hash, scram: s.scram}
	if s.password == "" {
		return c, nil
	}
	err := d.hash(ctx, from, func() { c.hash = newArgon2(d.o.Argon2, s.password).String() })
	if err == nil {
		c.scram, err = d.ownKeys(a, s.password)
	}
	return c, err
}

// replace makes the credentials those of an account, instead of what it had. Keys
// that don't have the salt of its app passwords, which it has got meanwhile, are
// left out; the next login makes others.
func (c credentials) replace(a *store.Account) {
	a.Password, a.SCRAM = c.hash, c.scram
	k, err := parseSCRAM(c.scram)
	if err != nil || c.hash == "" {
		return
	}
	if shared, ok := saltOfApps(*a); ok && shared != k.scramSalt {
		a.SCRAM = ""
	}
}
