package directory

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2Params are the costs of argon2id (RFC 9106 §3.1).
type Argon2Params struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8  // lanes
}

// DefaultArgon2 is what OWASP recommends for logins at a server: 19 MiB, two
// passes, one lane.
var DefaultArgon2 = Argon2Params{Memory: 19 * 1024, Time: 2, Threads: 1}

// Octets of what this package makes.
const (
	saltSize = 16
	keySize  = 32
)

// Limits of what is ever computed, whatever a record or an import says. A hash
// that asks for more is refused.
const (
	MaxArgon2Memory  = 256 * 1024 // KiB
	MaxArgon2Time    = 32         // passes
	MaxArgon2Threads = 16         // lanes
	maxArgon2Work    = 4 * MaxArgon2Memory
	maxSaltSize      = 64 // octets
	minKeySize       = 16 // octets
	maxKeySize       = 64 // octets
)

func (p Argon2Params) withDefaults() Argon2Params {
	if p.Memory == 0 {
		p.Memory = DefaultArgon2.Memory
	}
	if p.Time == 0 {
		p.Time = DefaultArgon2.Time
	}
	if p.Threads == 0 {
		p.Threads = DefaultArgon2.Threads
	}
	return p
}

// work is how much a hash costs to compute, and to guess.
func (p Argon2Params) work() uint64 { return uint64(p.Memory) * uint64(p.Time) }

func (p Argon2Params) check() error {
	switch {
	case p.Memory > MaxArgon2Memory || p.Time > MaxArgon2Time || p.Threads > MaxArgon2Threads || p.work() > maxArgon2Work:
		return errTooCostly
	case p.Time < 1 || p.Threads < 1 || p.Memory < 8*uint32(p.Threads):
		return errors.New("argon2 with parameters that are too small")
	}
	return nil
}

// argon2Verifier is a parsed $argon2id$ or $argon2i$ hash.
type argon2Verifier struct {
	Argon2Params
	name      string // "argon2id" or "argon2i"
	salt, key []byte
}

// newArgon2 hashes a password with a fresh salt.
func newArgon2(p Argon2Params, password string) argon2Verifier {
	v := argon2Verifier{Argon2Params: p, name: "argon2id", salt: make([]byte, saltSize)}
	rand.Read(v.salt) // never fails (crypto/rand)
	v.key = v.derive(password, keySize)
	return v
}

// decoy is a verifier that costs what new ones cost and that nothing matches.
func decoy(p Argon2Params) verifier {
	v := argon2Verifier{Argon2Params: p, name: "argon2id", salt: make([]byte, saltSize), key: make([]byte, keySize)}
	rand.Read(v.salt)
	rand.Read(v.key)
	return v
}

func (v argon2Verifier) derive(password string, size int) []byte {
	if v.name == "argon2i" {
		return argon2.Key([]byte(password), v.salt, v.Time, v.Memory, v.Threads, uint32(size))
	}
	return argon2.IDKey([]byte(password), v.salt, v.Time, v.Memory, v.Threads, uint32(size))
}

func (v argon2Verifier) matches(password string) bool {
	return subtle.ConstantTimeCompare(v.derive(password, len(v.key)), v.key) == 1
}

func (v argon2Verifier) goodEnough(p Argon2Params) bool {
	return v.name == "argon2id" && v.work() >= p.work() && len(v.key) >= keySize && len(v.salt) >= saltSize
}

// String returns the PHC form.
func (v argon2Verifier) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", v.name, argon2.Version,
		v.Memory, v.Time, v.Threads, b64.EncodeToString(v.salt), b64.EncodeToString(v.key))
}

// parseArgon2 reads $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func parseArgon2(s string) (verifier, error) {
	f := strings.Split(s, "$")
	if len(f) != 6 {
		return nil, errors.New("argon2 that is not like $argon2id$v=19$m=…,t=…,p=…$salt$key")
	}
	if f[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, errors.New("argon2 of another version than 19")
	}
	v := argon2Verifier{name: f[1]}
	var err error
	if v.Argon2Params, err = parseCosts(f[3]); err != nil {
		return nil, err
	}
	if v.salt, err = decodeField(f[4], 8, maxSaltSize); err != nil {
		return nil, err
	}
	if v.key, err = decodeField(f[5], minKeySize, maxKeySize); err != nil {
		return nil, err
	}
	return v, nil
}

// parseCosts reads m=19456,t=2,p=1.
func parseCosts(s string) (Argon2Params, error) {
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return Argon2Params{}, errors.New("argon2 with other parameters than m, t and p")
	}
	var n [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(f[i], name)
		if !ok {
			return Argon2Params{}, errors.New("argon2 with other parameters than m, t and p")
		}
		var err error
		if n[i], err = parseCost(digits); err != nil {
			return Argon2Params{}, err
		}
	}
	if n[2] > MaxArgon2Threads {
		return Argon2Params{}, errTooCostly
	}
	p := Argon2Params{Memory: uint32(n[0]), Time: uint32(n[1]), Threads: uint8(n[2])}
	return p, p.check()
}

// parseCost reads a decimal number of 32 bits without sign.
func parseCost(digits string) (uint64, error) {
	n, err := strconv.ParseUint(digits, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errTooCostly
	case err != nil:
		return 0, errors.New("a cost that is not a number")
	}
	return n, nil
}

// decodeField reads unpadded base64 of a bounded number of octets.
func decodeField(s string, least, most int) ([]byte, error) {
	b64 := base64.RawStdEncoding.Strict()
	if n := b64.DecodedLen(len(s)); n < least || n > most || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("argon2 with a salt or key of an unusual length")
	}
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil, errors.New("argon2 with a salt or key that is not base64")
	}
	return b, nil
}
