package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"postrider/internal/fault"
)

// maxFile is the largest certificate or key file, in octets.
const maxFile = 1 << 20

// loadPair reads a certificate and its key. The error names the file and says
// what to do.
func loadPair(p Pair) (*entry, error) {
	chain, _, err := readFile("certificate", p.Certificate)
	if err != nil {
		return nil, err
	}
	key, mode, err := readFile("key", p.Key)
	if err != nil {
		return nil, err
	}
	cert, err := keyPair(chain, key, p)
	if err != nil {
		return nil, err
	}
	e := &entry{cert: cert, source: SourceFile, pair: p, notes: chainNotes(cert)}
	if runtime.GOOS != "windows" && mode&0o007 != 0 {
		e.notes = append(e.notes, fmt.Sprintf("everybody on this machine can read the key %s: chmod 640 or 600", p.Key))
	}
	return e, nil
}

func readFile(what, path string) ([]byte, fs.FileMode, error) {
	op := what + " file " + path
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fault.New(fault.Invalid, op, openError(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fault.New(fault.Invalid, op, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, 0, fault.New(fault.Invalid, op, err)
	case len(b) > maxFile:
		return nil, 0, fault.Newf(fault.Invalid, op, "larger than %d octets: this is no certificate or key", maxFile)
	}
	return b, info.Mode().Perm(), nil
}

// openError says what to do about a file that can't be opened.
func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file: correct the path, or make the certificate")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("the server may not read it: give its user or group the permission, also on the folders above")
	}
	return err
}

// keyPair makes a certificate of PEM octets. No error has anything of the key.
func keyPair(chain, key []byte, p Pair) (*tls.Certificate, error) {
	if err := checkChain(chain); err != nil {
		return nil, fault.New(fault.Invalid, "certificate file "+p.Certificate, err)
	}
	if err := checkKey(key); err != nil {
		return nil, fault.New(fault.Invalid, "key file "+p.Key, err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	switch {
	case err == nil:
		return &cert, nil
	case strings.Contains(err.Error(), "does not match"):
		return nil, fault.Newf(fault.Invalid, "key file "+p.Key,
			"the key doesn't belong to the certificate in %s: use the key that the certificate was made for; "+
				"the certificate must stand first in its file, before those that vouch for it", p.Certificate)
	}
	return nil, fault.Newf(fault.Invalid, "certificate file "+p.Certificate+" and key file "+p.Key, "%w", err)
}

// checkChain finds what is wrong with a file of certificates. Its key may stand
// in it too, wherever.
func checkChain(chain []byte) error {
	n, key := 0, false
	for block := range blocks(chain) {
		switch {
		case block.Type == "CERTIFICATE":
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return fmt.Errorf("certificate %d in it can't be read: %w", n+1, err)
			}
			n++
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key = true
		}
	}
	switch {
	case n > 0:
		return nil
	case key:
		return errors.New("there is a private key in it where a certificate is expected: are the two files swapped?")
	}
	return errors.New("there is no certificate in it: it must be PEM, with BEGIN CERTIFICATE")
}

func checkKey(key []byte) error {
	for block := range blocks(key) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return errors.New("the key is protected by a passphrase, which the server can't ask for: " +
				"write it without one (openssl pkey -in KEY -out NEWKEY)")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return checkKind(block)
		case block.Type == "CERTIFICATE":
			continue
		}
	}
	return errors.New("there is no private key in it: it must be PEM, with BEGIN PRIVATE KEY")
}

// checkKind tells a key of a kind that can't be used from one that is damaged.
func checkKind(block *pem.Block) error {
	_, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if block.Type == "DSA PRIVATE KEY" || err != nil && strings.Contains(err.Error(), "unknown algorithm") {
		return errors.New("the key is of a kind that can't be used here, as those of DSA, Ed448 and RSA-PSS: " +
			"make one of ECDSA or RSA (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256), " +
			"and have a certificate made for it")
	}
	return nil // what else is wrong with it is found when it is used
}

// blocks yields the PEM blocks of b.
func blocks(b []byte) func(func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for {
			var block *pem.Block
			block, b = pem.Decode(b)
			if block == nil || !yield(block) {
				return
			}
		}
	}
}

// chainNotes says what clients may find wrong with a chain, whatever the time.
func chainNotes(cert *tls.Certificate) []string {
	var notes []string
	leaf := cert.Leaf
	if len(namesOf(leaf)) == 0 {
		notes = append(notes, "it names no host in its subjectAltName, and clients look nowhere else: make one that does")
	}
	if selfIssued(leaf) {
		return notes
	}
	// An issuer that says where its own certificate is to be had is seldom one that
	// clients know; a small private authority says nothing and is a root.
	if len(cert.Certificate) == 1 && len(leaf.IssuingCertificateURL) == 0 {
		return notes
	}
	if len(cert.Certificate) == 1 {
		return append(notes, "the file has no certificate of "+leaf.Issuer.String()+
			", which has issued it: many clients need that, append it (the \"full chain\")")
	}
	prev := leaf
	for _, der := range cert.Certificate[1:] {
		next, err := x509.ParseCertificate(der)
		if err != nil || prev.CheckSignatureFrom(next) != nil {
			return append(notes, "the certificates in the file don't vouch for each other in their order: put each before its issuer's")
		}
		prev = next
	}
	return notes
}

// selfIssued reports whether a certificate is its own issuer.
func selfIssued(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
