package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
)

// cramMD5 is CRAM-MD5 (RFC 2195): the server challenges, and the client answers
// with its name and a digest of the challenge, keyed with the password. The
// challenge is random, so that it never comes twice.
func cramMD5(v Verifier, ch Channel) state {
	challenge := []byte("<" + rand.Text() + "@" + ch.Hostname + ">")
	return cramMD5With(v, challenge)
}

// cramMD5With is cramMD5 with a challenge that is known.
func cramMD5With(v Verifier, challenge []byte) state {
	answer := func(ctx context.Context, response []byte) (Step, state, error) {
		at := bytes.LastIndexByte(response, ' ') // a name may have spaces
		if at < 0 || !isDigest(response[at+1:]) {
			return Step{}, nil, malformed("CRAM-MD5 takes the name, a space, and 32 hexadecimal digits in lower case")
		}
		name, digest := response[:at], bytes.Clone(response[at+1:])
		if err := checkName(name); err != nil {
			return Step{}, nil, err
		}
		return verdict(v.Secret(ctx, Claim{Name: string(name)}, func(secret []byte) bool {
			mac := hmac.New(md5.New, secret)
			mac.Write(challenge)
			return sameDigest(mac.Sum(nil), digest)
		}))
	}
	return func(_ context.Context, response []byte) (Step, state, error) {
		if response != nil {
			return Step{}, nil, malformed("CRAM-MD5 begins with the server's challenge")
		}
		return Step{Challenge: challenge}, answer, nil
	}
}

// APOP returns a check of the digest that a client of POP3 gives with the APOP
// command (RFC 1939 §7): that of the greeting's timestamp, angle brackets
// included, and the secret. It returns nil for a digest that is none: not 32
// hexadecimal digits in lower case.
func APOP(timestamp, digest string) func(secret []byte) bool {
	if !isDigest([]byte(digest)) {
		return nil
	}
	return func(secret []byte) bool {
		h := md5.New()
		h.Write([]byte(timestamp))
		h.Write(secret)
		return sameDigest(h.Sum(nil), []byte(digest))
	}
}

// sameDigest compares a digest with one in hexadecimal, in constant time.
func sameDigest(sum, digits []byte) bool {
	var want [2 * md5.Size]byte
	hex.Encode(want[:], sum)
	return subtle.ConstantTimeCompare(want[:], digits) == 1
}

// isDigest reports whether b is an MD5 digest in hexadecimal, in lower case.
func isDigest(b []byte) bool {
	if len(b) != 2*md5.Size {
		return false
	}
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
