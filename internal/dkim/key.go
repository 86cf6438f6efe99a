package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// State is what a key is used for.
type State string

// The states, in the order of a key's life.
const (
	// Pending: made, not used yet: its record has to be in the DNS first.
	Pending State = "pending"
	// Active: signs. A domain has one active key of an algorithm at most.
	Active State = "active"
	// Retired: signs no more; its record stays until the mail that it signed has
	// arrived.
	Retired State = "retired"
)

// Key is what may be shown of a key: not its secret.
type Key struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm Algorithm `json:"algorithm"`
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	// Seen is since when the DNS has shown the record of a pending key, as far as
	// the server has looked.
	Seen      time.Time `json:"seen,omitzero"`
	Activated time.Time `json:"activated,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	// Name and Record are what the DNS has to hold: a TXT record.
	Name   string `json:"name"`
	Record string `json:"record"`
}

// recordPrefix begins the store's keys of our keys: dkim/DOMAIN/SELECTOR.
const recordPrefix = "dkim/"

func recordKey(domain, selector string) string { return recordPrefix + domain + "/" + selector }

// kept is a key as the store keeps it.
type kept struct {
	State     State     `json:"state"`
	Created   time.Time `json:"created"`
	Seen      time.Time `json:"seen,omitzero"`
	Activated time.Time `json:"activated,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	PKCS8     []byte    `json:"pkcs8"`
}

// secretKey is a key with its secret.
type secretKey struct {
	Key
	signer crypto.Signer
	pkcs8  []byte
}

// rsaBits is the size of the RSA keys that are made: as large as every verifier and
// one UDP answer can take (RFC 8301 §3.2).
const rsaBits = 2048

// newKey makes a key.
func newKey(domain, selector string, a Algorithm, now time.Time) (*secretKey, error) {
	const op = "make a DKIM key"
	k := &secretKey{Key: Key{Domain: domain, Selector: selector, State: Pending, Created: now}}
	var err error
	if a == RSA {
		k.signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	} else {
		_, k.signer, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, op, err)
	}
	if k.pkcs8, err = x509.MarshalPKCS8PrivateKey(k.signer); err != nil {
		return nil, fault.New(fault.Internal, op, err)
	}
	return k, k.describe()
}

// describe fills in what follows from the secret.
func (k *secretKey) describe() error {
	switch k.signer.Public().(type) {
	case *rsa.PublicKey:
		k.Algorithm = RSA
	case ed25519.PublicKey:
		k.Algorithm = Ed25519
	}
	var err error
	k.Name = keyName(k.Selector, k.Domain)
	k.Record, err = publicRecord(k.signer.Public())
	return err
}

// record returns the key as the store keeps it.
func (k *secretKey) record(now time.Time) (store.Record, error) {
	value, err := json.Marshal(kept{
		State: k.State, Created: k.Created, Seen: k.Seen, Activated: k.Activated, Retired: k.Retired, PKCS8: k.pkcs8,
	})
	if err != nil {
		return store.Record{}, fault.Newf(fault.Internal, "keep the DKIM key "+k.Name, "it can't be encoded")
	}
	return store.Record{Key: recordKey(k.Domain, k.Selector), Value: value, Changed: now.Truncate(time.Second)}, nil
}

// readKey reads a record. The error, of kind Corrupt, holds nothing of its value.
func readKey(r store.Record) (*secretKey, error) {
	domain, selector, ok := strings.Cut(strings.TrimPrefix(r.Key, recordPrefix), "/")
	bad := func(why string) error {
		return fault.Newf(fault.Corrupt, "read the DKIM key "+r.Key, "%s: remove it with \"postrider dkim remove\", and make another", why)
	}
	var v kept
	if !ok || json.Unmarshal(r.Value, &v) != nil {
		return nil, bad("it is no key")
	}
	secret, err := x509.ParsePKCS8PrivateKey(v.PKCS8)
	if err != nil {
		return nil, bad("its secret can't be read")
	}
	k := &secretKey{Key: Key{
		Domain: domain, Selector: selector, State: v.State,
		Created: v.Created, Seen: v.Seen, Activated: v.Activated, Retired: v.Retired,
	}, pkcs8: v.PKCS8}
	switch s := secret.(type) {
	case *rsa.PrivateKey:
		k.signer = s
	case ed25519.PrivateKey:
		k.signer = s
	default:
		return nil, bad("it is of a kind that can't sign mail")
	}
	if v.State != Pending && v.State != Active && v.State != Retired {
		return nil, bad("its state is unknown")
	}
	return k, k.describe()
}

// checkNames reads a domain and a selector; the selector may be empty.
func checkNames(domain, selector string) (string, string, error) {
	const op = "name a DKIM key"
	d, err := mail.ParseDomain(domain)
	if err != nil || d[0] == '[' {
		return "", "", fault.Newf(fault.Invalid, op, "%.80q is no domain", domain)
	}
	if selector == "" {
		return d, "", nil
	}
	s, err := mail.ParseDomain(selector)
	if err != nil || s[0] == '[' || len(keyName(s, d)) > mail.MaxDomain {
		return "", "", fault.Newf(fault.Invalid, op, "%.80q is no selector: use letters, digits and hyphens", selector)
	}
	return d, s, nil
}
