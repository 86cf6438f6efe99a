package directory

import (
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/go-crypt/x/crypt"
	"golang.org/x/crypto/bcrypt"
)

// Limits of hashes that come from elsewhere, as for argon2.
const (
	MaxBcryptCost   = 15        // powers of two
	MaxSHA512Rounds = 1_000_000 // rounds
	maxVerifier     = 512       // octets
)

// What SHA-512-crypt does when nothing is said, and its own limits.
const (
	defaultSHA512Rounds = 5000
	minSHA512Rounds     = 1000
	maxSHA512Salt       = 16 // octets
	sha512KeySize       = 86 // characters
)

var (
	errTooCostly   = errors.New("a hash that costs more to compute than is allowed here")
	errUnknownHash = errors.New("a hash of a kind that is not known here (argon2id, argon2i, bcrypt and SHA-512-crypt are)")
)

// verifier tells whether a password is the one that it was made from.
type verifier interface {
	// matches hashes once and compares in constant time.
	matches(password string) bool
	// goodEnough reports whether the verifier is argon2id and costs at least p.
	goodEnough(p Argon2Params) bool
}

// hashForms are the beginnings of the hashes that are known, and how each is
// read.
var hashForms = []struct {
	prefix string
	parse  func(string) (verifier, error)
}{
	{"$argon2id$", parseArgon2},
	{"$argon2i$", parseArgon2},
	{"$2a$", parseBcrypt},
	{"$2b$", parseBcrypt},
	{"$2y$", parseBcrypt},
	{"$6$", parseSHA512},
}

// parseVerifier reads a hash in PHC or crypt(3) form. What it returns can be
// run: its costs are bounded. The error holds nothing of s.
func parseVerifier(s string) (verifier, error) {
	if len(s) > maxVerifier {
		return nil, errUnknownHash
	}
	for _, f := range hashForms {
		if strings.HasPrefix(s, f.prefix) {
			return f.parse(s)
		}
	}
	return nil, errUnknownHash
}

// bcryptVerifier is a checked $2a$, $2b$ or $2y$ hash. The three differ in how
// broken programs made them; a right program computes the same for all.
type bcryptVerifier string

const bcryptSize = 60 // characters

func parseBcrypt(s string) (verifier, error) {
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || len(s) != bcryptSize || !isBcryptText(s[7:]) {
		return nil, errors.New("bcrypt that is not like $2y$10$ and 53 characters")
	}
	if cost > MaxBcryptCost {
		return nil, errTooCostly
	}
	return bcryptVerifier(s), nil
}

func isBcryptText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isCryptChar(r) })
}

// isCryptChar reports whether r belongs to the alphabet that bcrypt and crypt(3)
// share, each in its own order.
func isCryptChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '.' && r <= '9'
}

func (v bcryptVerifier) matches(password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(v), []byte(password)) == nil
}

func (v bcryptVerifier) goodEnough(Argon2Params) bool { return false }

// sha512Verifier is a parsed $6$ hash.
type sha512Verifier struct {
	rounds    int
	salt, key string
}

// parseSHA512 reads $6$salt$key or $6$rounds=N$salt$key.
func parseSHA512(s string) (verifier, error) {
	f := strings.Split(s, "$")[2:]
	v := sha512Verifier{rounds: defaultSHA512Rounds}
	if digits, ok := strings.CutPrefix(f[0], "rounds="); ok {
		n, err := parseCost(digits)
		switch {
		case err != nil:
			return nil, err
		case n > MaxSHA512Rounds:
			return nil, errTooCostly
		case n < minSHA512Rounds:
			return nil, errors.New("SHA-512-crypt with fewer than 1000 rounds")
		}
		v.rounds, f = int(n), f[1:]
	}
	if len(f) != 2 || len(f[0]) > maxSHA512Salt || len(f[1]) != sha512KeySize || !isBcryptText(f[1]) {
		return nil, errors.New("SHA-512-crypt that is not like $6$salt$ and 86 characters")
	}
	v.salt, v.key = f[0], f[1]
	return v, nil
}

func (v sha512Verifier) matches(password string) bool {
	key := crypt.KeySHACrypt(sha512.New, []byte(password), []byte(v.salt), v.rounds)
	return subtle.ConstantTimeCompare(key, []byte(v.key)) == 1
}

func (v sha512Verifier) goodEnough(Argon2Params) bool { return false }
