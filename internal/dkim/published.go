package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/internal/fault"
)

// Algorithm is a kind of key, as k= in a published key names it.
type Algorithm string

// The algorithms. Signatures hash with SHA-256, whichever it is (RFC 8301 §3.1,
// RFC 8463 §3).
const (
	RSA     Algorithm = "rsa"
	Ed25519 Algorithm = "ed25519"
)

// signature is what a= says.
func (a Algorithm) signature() string { return string(a) + "-sha256" }

// published is a key as its record says (RFC 6376 §3.6.1).
type published struct {
	algorithm Algorithm
	key       crypto.PublicKey
	strict    bool // t=s: i= and d= are the same domain
}

var (
	errRevoked  = errors.New("the key has been revoked")
	errNoKey    = errors.New("no key is published")
	errManyKeys = errors.New("more than one record is published where one key has to be")
	errService  = errors.New("the key is not for mail")
	errHash     = errors.New("the key is not for SHA-256")
	errKeyKind  = errors.New("the key is of an unknown kind")
	errKeyData  = errors.New("the key can't be read")
	errKeySize  = fmt.Errorf("an RSA key has %d to %d bits", minVerifyRSA, maxVerifyRSA)
)

// parsePublished reads a key record.
func parsePublished(record string) (published, error) {
	if len(record) > maxKeyRecord {
		return published{}, errTooLong
	}
	t, err := parseTags(record)
	if err != nil {
		return published{}, err
	}
	if v, ok := t["v"]; ok && v != "DKIM1" {
		return published{}, errVersion
	}
	if s, ok := t["s"]; ok && !slices.Contains(t.list("s"), "*") && !slices.Contains(t.list("s"), "email") && s != "" {
		return published{}, errService
	}
	if h := t.list("h"); h != nil && !slices.Contains(h, "sha256") {
		return published{}, errHash
	}
	p := published{algorithm: RSA, strict: slices.Contains(t.list("t"), "s")}
	if k, ok := t["k"]; ok {
		p.algorithm = Algorithm(strings.ToLower(k))
	}
	if _, ok := t["p"]; !ok {
		return published{}, errNoTag
	}
	der, err := t.base64("p")
	switch {
	case err != nil:
		return published{}, err
	case len(der) == 0:
		return published{}, errRevoked
	}
	p.key, err = parsePublic(p.algorithm, der)
	return p, err
}

func parsePublic(a Algorithm, der []byte) (crypto.PublicKey, error) {
	switch a {
	case Ed25519:
		if len(der) != ed25519.PublicKeySize { // as it is, without ASN.1 (RFC 8463 §4)
			return nil, errKeyData
		}
		return ed25519.PublicKey(der), nil
	case RSA:
		key, err := parseRSA(der)
		if err != nil {
			return nil, errKeyData
		}
		if n := key.N.BitLen(); n < minVerifyRSA || n > maxVerifyRSA {
			return nil, errKeySize
		}
		return key, nil
	}
	return nil, errKeyKind
}

// parseRSA takes both of the ways in which the key is written: RFC 6376 says one in
// its text and the other in its example.
func parseRSA(der []byte) (*rsa.PublicKey, error) {
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		if key, ok := any.(*rsa.PublicKey); ok {
			return key, nil
		}
		return nil, errKeyData
	}
	return x509.ParsePKCS1PublicKey(der)
}

// verify holds a signature against a SHA-256 digest.
func (p published) verify(digest, signature []byte) bool {
	switch key := p.key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, digest, signature) // of the digest (RFC 8463 §3)
	}
	return false
}

// errUnknown: nobody knows whether the key is published.
var errUnknown = errors.New("the key could not be looked up")

// lookup finds the key of a selector. The error is errUnknown when a later try may
// find it.
func (find TXT) lookup(ctx context.Context, selector, domain string) (published, error) {
	records, err := find(ctx, keyName(selector, domain))
	switch {
	case fault.Is(err, fault.NotFound), err == nil && len(records) == 0:
		return published{}, errNoKey
	case err != nil:
		return published{}, errUnknown
	case len(records) > 1:
		return published{}, errManyKeys // (RFC 6376 §3.6.2.2)
	}
	return parsePublished(records[0])
}

// keyName is the name of a key's record (RFC 6376 §3.6.2.1).
func keyName(selector, domain string) string { return selector + "._domainkey." + domain }

// publicRecord returns the text of a key's record.
func publicRecord(key crypto.PublicKey) (string, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return "", err
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key), nil
	}
	return "", errKeyKind
}

// SameKey reports whether two key records have the same key, and may both be used
// for mail, however they are written.
func SameKey(a, b string) bool {
	x, errX := parsePublished(a)
	y, errY := parsePublished(b)
	return errX == nil && errY == nil && samePublic(x, y)
}

func samePublic(a, b published) bool {
	switch key := a.key.(type) {
	case *rsa.PublicKey:
		return key.Equal(b.key)
	case ed25519.PublicKey:
		return key.Equal(b.key)
	}
	return false
}

// sign signs a SHA-256 digest.
func sign(key crypto.Signer, digest []byte) ([]byte, error) {
	if _, ok := key.(ed25519.PrivateKey); ok {
		return key.Sign(nil, digest, crypto.Hash(0))
	}
	return key.Sign(nil, digest, crypto.SHA256) // PKCS #1 v1.5 needs no randomness
}

func digest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
