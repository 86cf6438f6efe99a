package certs

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Source says where a certificate comes from.
type Source string

// The sources.
const (
	SourceFile       Source = "file"
	SourceACME       Source = "acme"
	SourceSelfSigned Source = "self-signed"
)

// Limits beyond which a certificate is worth a word.
const (
	endsSoon   = 14 * 24 * time.Hour // before the end of one that somebody must renew
	minRSABits = 2048                // RFC 9325 §4.5
)

// Info is a certificate, for people and machines.
type Info struct {
	// Names are what it is made for: host names in lower case, and addresses.
	Names  []string `json:"names"`
	Issuer string   `json:"issuer,omitempty"`
	Source Source   `json:"source"`
	// NotBefore and NotAfter are zero for a certificate that has yet to be
	// obtained.
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	// SHA256 is the certificate's fingerprint, octets in upper-case hexadecimal
	// with colons between them, as openssl and mail clients show it.
	SHA256 string `json:"sha256,omitempty"`
	// SPKISHA256 is the SHA-256 of its public key in hexadecimal, as in TLSA
	// records "3 1 1" (RFC 6698).
	SPKISHA256 string `json:"spki_sha256,omitempty"`
	Key        string `json:"key,omitempty"` // the kind of key
	// CertificateFile and KeyFile are the paths of SourceFile.
	CertificateFile string `json:"certificate_file,omitempty"`
	KeyFile         string `json:"key_file,omitempty"`
	SelfSigned      bool   `json:"self_signed"`
	// Default: clients get it that name no host, or one without a certificate.
	Default bool `json:"default"`
	// Problems are in words, with what to do.
	Problems []string `json:"problems,omitempty"`
}

// Pin returns the public key's fingerprint as curl --pinnedpubkey takes it, "" if
// there is none.
func (i Info) Pin() string {
	b, err := hex.DecodeString(i.SPKISHA256)
	if err != nil || len(b) == 0 {
		return ""
	}
	return "sha256//" + base64.StdEncoding.EncodeToString(b)
}

// List describes the certificates, the default first, and those that have yet
// to be obtained.
func (m *Manager) List() []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []Info{}
	for i, e := range m.table.Load().all {
		info := m.describe(e)
		info.Default = i == 0
		all = append(all, info)
	}
	if m.acme == nil {
		return all
	}
	for _, name := range m.acme.names {
		if m.obtained[name] == nil {
			all = append(all, Info{Names: []string{name}, Source: SourceACME, Problems: []string{m.whyNone(name)}})
		}
	}
	return all
}

// whyNone says why a name has no certificate. The caller holds mu.
func (m *Manager) whyNone(name string) string {
	if why := m.failed[name]; why != "" {
		return "not obtained yet: " + why
	}
	return "not obtained yet"
}

// describe makes an entry's Info. The caller holds mu.
func (m *Manager) describe(e *entry) Info {
	leaf := e.cert.Leaf
	spki := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	info := Info{
		Names: e.names(), Issuer: leaf.Issuer.String(), Source: e.source,
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		SHA256: Fingerprint(leaf.Raw), SPKISHA256: hex.EncodeToString(spki[:]), Key: keyKind(e),
		CertificateFile: e.pair.Certificate, KeyFile: e.pair.Key,
		SelfSigned: selfIssued(leaf), Problems: e.problems(m.now()),
	}
	switch e.source {
	case SourceFile:
		for _, f := range m.files {
			if f.current == e && f.failure != "" {
				info.Problems = append(info.Problems, "the files have changed and can't be used, the former certificate stays: "+f.failure)
			}
		}
	case SourceACME:
		for name, why := range m.failed {
			if m.obtained[name] == e {
				info.Problems = append(info.Problems, "could not be renewed: "+why)
			}
		}
	}
	return info
}

// Fingerprint returns the SHA-256 of a certificate's DER octets as openssl
// prints it.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	parts := make([]string, 0, len(sum))
	for _, b := range sum {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}

func keyKind(e *entry) string {
	switch k := e.cert.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	}
	return e.cert.Leaf.PublicKeyAlgorithm.String()
}

// problems says what is wrong with the certificate at a time.
func (e *entry) problems(now time.Time) []string {
	leaf := e.cert.Leaf
	all := slices.Clone(e.notes)
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		all = append(all, "it expired on "+leaf.NotAfter.UTC().Format(time.DateOnly)+" and clients refuse it: renew it")
	case now.Before(leaf.NotBefore):
		all = append(all, "it is valid from "+leaf.NotBefore.UTC().Format(time.DateTime)+" UTC only: look at the clock")
	case left < endsSoon && e.source == SourceFile:
		all = append(all, fmt.Sprintf("it expires in %d days: renew it", int(left/(24*time.Hour))))
	}
	if k, ok := leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
		all = append(all, fmt.Sprintf("its RSA key has %d bits and clients refuse it: make one of %d bits or more", k.N.BitLen(), minRSABits))
	}
	if e.source == SourceSelfSigned {
		all = append(all, "the server has signed it itself: clients can't tell it from an impostor's unless they are told its fingerprint")
	}
	return all
}
