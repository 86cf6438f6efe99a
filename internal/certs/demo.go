package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"postrider/internal/fault"
)

// authorityLife is how long the demo's own authority is good for.
const authorityLife = 5 * leafLife

// DemoAuthority keeps, in the folder dir, an authority of our own (ca.pem,
// ca.key) and a server's certificate that it has signed (server.pem, server.key)
// for the names, localhost and the loopback addresses. It makes what is missing,
// broken, made for other names, or past two thirds of its life. Who trusts the
// file ca has a server to trust; nobody else should be asked to, since the
// authority's key lies beside it.
func DemoAuthority(dir string, names []string, now time.Time) (ca string, pair Pair, err error) {
	ca = filepath.Join(dir, "ca.pem")
	pair = Pair{Certificate: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", Pair{}, fault.New(fault.Invalid, "make the demo's authority", err)
	}
	caPair := Pair{Certificate: ca, Key: filepath.Join(dir, "ca.key")}
	parent := loadIssued(caPair)
	if parent == nil || !parent.cert.IsCA || due(parent.cert, now) {
		if parent, err = makeAuthority(caPair, now); err != nil {
			return "", Pair{}, err
		}
	}
	names = withLoopback(names)
	leaf := loadIssued(pair)
	if leaf == nil || due(leaf.cert, now) || !madeFor(leaf.cert, names) || leaf.cert.CheckSignatureFrom(parent.cert) != nil {
		if leaf, err = issue(serverTemplate(names, now), parent); err != nil {
			return "", Pair{}, err
		}
		if err := leaf.write(pair); err != nil {
			return "", Pair{}, err
		}
	}
	return ca, pair, nil
}

// makeAuthority makes and writes an authority that can sign servers only. Its
// name is its own, so that no client takes a former one for it.
func makeAuthority(p Pair, now time.Time) (*issued, error) {
	id := make([]byte, 4)
	rand.Read(id)
	made, err := issue(&x509.Certificate{
		Subject:   subject("postrider demo " + hex.EncodeToString(id)),
		NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	return made, made.write(p)
}

// loadIssued reads what write has written; nil: it isn't there, or broken.
func loadIssued(p Pair) *issued {
	cert, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil
	}
	key, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil
	}
	return &issued{cert: cert.Leaf, key: key}
}

// write writes a certificate and its key, the key first.
func (i *issued) write(p Pair) error {
	key, err := i.keyPEM()
	if err != nil {
		return err
	}
	if err := replaceFile(p.Key, key, 0o600); err != nil {
		return err
	}
	return replaceFile(p.Certificate, i.certPEM(), 0o644)
}

// replaceFile writes a file so that it is always there whole.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	fail := func(err error) error { return fault.New(fault.Internal, "write "+path, err) }
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
