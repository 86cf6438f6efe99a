package directory

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// DefaultSCRAMIterations is what new keys for SCRAM-SHA-256 cost: a few
// milliseconds for an old telephone, which has to do them at every login. Keys
// are a quicker way to guess a password than its argon2id for who has stolen the
// store, so that more is better; but clients of Cyrus SASL refuse above 65,536.
const DefaultSCRAMIterations = 10_000

// Limits of keys for SCRAM, whatever a record or an import says.
const (
	MinSCRAMIterations = 4096 // RFC 7677 §4
	MaxSCRAMIterations = 1_000_000
	minSCRAMSalt       = 8 // octets
)

const scramForm = "SCRAM-SHA-256"

// scramSalt is how a password is salted and iterated for SCRAM.
type scramSalt struct {
	iterations int
	salt       string // octets
}

// scramKeys are a password's keys (RFC 5802 §3). As a verifier they tell
// whether a password is right that is sent in the clear.
type scramKeys struct {
	scramSalt
	stored, server []byte
}

// derive returns the keys of a password that is prepared already. It costs the
// iterations, once.
func (s scramSalt) derive(password string) (scramKeys, error) {
	salted, err := pbkdf2.Key(sha256.New, password, []byte(s.salt), s.iterations, sha256.Size)
	if err != nil {
		return scramKeys{}, fmt.Errorf("derive keys for SCRAM: %w", err)
	}
	client := sha256.Sum256(keyed(salted, "Client Key"))
	return scramKeys{scramSalt: s, stored: client[:], server: keyed(salted, "Server Key")}, nil
}

// keyed returns the HMAC-SHA-256 of a text.
func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (k scramKeys) matches(password string) bool {
	made, err := k.derive(password)
	return err == nil && subtle.ConstantTimeCompare(made.stored, k.stored) == 1
}

func (scramKeys) goodEnough(Argon2Params) bool { return false }

// String returns the form of RFC 5803 §3.
func (k scramKeys) String() string {
	b64 := base64.StdEncoding
	return fmt.Sprintf("%s$%d:%s$%s:%s", scramForm, k.iterations,
		b64.EncodeToString([]byte(k.salt)), b64.EncodeToString(k.stored), b64.EncodeToString(k.server))
}

var errSCRAMForm = errors.New("keys for SCRAM that are not like SCRAM-SHA-256$iterations:salt$stored:server")

// parseSCRAM reads SCRAM-SHA-256$iterations:salt$stored:server. The error holds
// nothing of s.
func parseSCRAM(s string) (scramKeys, error) {
	f := strings.Split(s, "$")
	if len(s) > maxVerifier || len(f) != 3 || f[0] != scramForm {
		return scramKeys{}, errSCRAMForm
	}
	iterations, salt, ok := strings.Cut(f[1], ":")
	stored, server, also := strings.Cut(f[2], ":")
	if !ok || !also {
		return scramKeys{}, errSCRAMForm
	}
	return readSCRAM(iterations, salt, stored, server)
}

// parseDovecotSCRAM reads iterations,salt,stored,server.
func parseDovecotSCRAM(s string) (scramKeys, error) {
	f := strings.Split(s, ",")
	if len(s) > maxVerifier || len(f) != 4 {
		return scramKeys{}, errors.New("{SCRAM-SHA-256} that is not like iterations,salt,stored,server")
	}
	return readSCRAM(f[0], f[1], f[2], f[3])
}

// readSCRAM reads the parts of keys: a number without leading zeros, and base64
// with padding.
func readSCRAM(iterations, salt, stored, server string) (k scramKeys, err error) {
	n, err := strconv.ParseUint(iterations, 10, 32)
	switch {
	case err != nil || iterations[0] == '0':
		return scramKeys{}, errSCRAMForm
	case n < MinSCRAMIterations:
		return scramKeys{}, fmt.Errorf("keys for SCRAM with fewer than %d iterations", MinSCRAMIterations)
	case n > MaxSCRAMIterations:
		return scramKeys{}, errTooCostly
	}
	k.iterations = int(n)
	octets, err := decodePadded(salt, minSCRAMSalt, maxSaltSize)
	if err != nil {
		return scramKeys{}, err
	}
	k.salt = string(octets)
	if k.stored, err = decodePadded(stored, sha256.Size, sha256.Size); err != nil {
		return scramKeys{}, err
	}
	if k.server, err = decodePadded(server, sha256.Size, sha256.Size); err != nil {
		return scramKeys{}, err
	}
	return k, nil
}

// decodePadded reads base64 with padding of a bounded number of octets.
func decodePadded(s string, least, most int) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errSCRAMForm
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errSCRAMForm
	}
	if len(b) < least || len(b) > most {
		return nil, errors.New("keys for SCRAM with a salt or key of an unusual length")
	}
	return b, nil
}
