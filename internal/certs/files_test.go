package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/fault"
)

func TestCertificateIsChosenByTheNameThatTheClientGives(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	first := ca.leaf(t, nil, "mail.example.org", "smtp.example.org")
	wild := ca.leaf(t, nil, "*.example.net")
	exact := ca.leaf(t, nil, "mx.example.net")
	m := newManager(t, Options{Files: []Pair{
		ca.put(t, first, dir, "first"), ca.put(t, wild, dir, "wild"), ca.put(t, exact, dir, "exact"),
	}})
	for _, c := range []struct {
		sni  string
		want *issued
	}{
		{"mail.example.org", first},
		{"smtp.example.org", first},
		{"MX.Example.NET", exact},
		{"pop.example.net", wild},
		{"a.b.example.net", first}, // a wildcard is one label
		{"example.net", first},
		{"unknown.invalid", first},
		{"", first},
	} {
		t.Run(c.sni, func(t *testing.T) { c.want.wants(t, served(t, m, c.sni)) })
	}
}

func TestOfTwoKindsOfKeyTheClientGetsOneItSupports(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	ec := ca.leaf(t, nil, "mail.example.org")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, serverTemplate([]string{"mail.example.org"}, time.Now()), ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{Certificate: filepath.Join(dir, "rsa.pem"), Key: filepath.Join(dir, "rsa.key")}
	writeNew(t, p.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeNew(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	m := newManager(t, Options{Files: []Pair{ca.put(t, ec, dir, "ec"), p}})
	for _, sni := range []string{"mail.example.org", "unknown.invalid", ""} {
		cs, err := shake(t, m.Config("smtp", nil), &tls.Config{
			ServerName: sni, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		})
		if err != nil {
			t.Fatalf("a client with RSA only that asks for %q: %v", sni, err)
		}
		if _, ok := cs.PeerCertificates[0].PublicKey.(*rsa.PublicKey); !ok {
			t.Errorf("asked for %q: got a key of type %T, want RSA", sni, cs.PeerCertificates[0].PublicKey)
		}
	}
	if _, ok := served(t, m, "mail.example.org").PublicKey.(*ecdsa.PublicKey); !ok {
		t.Error("a client with both got the second certificate, want the first")
	}
}

func TestFilesThatCannotBeUsedAreNamedWithWhatToDo(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	good := ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "good")
	other := ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "other")
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		writeNew(t, path, []byte(content))
		return path
	}
	sealed := write("sealed.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	empty := write("empty.pem", "")
	broken := write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	brokenKey := write("broken.key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
	dsa := write("dsa.key", keyOfKind(t, 1, 2, 840, 10040, 4, 1))
	oldDSA := write("old-dsa.key", "-----BEGIN DSA PRIVATE KEY-----\nc2VjcmV0\n-----END DSA PRIVATE KEY-----\n")
	large := write("large.pem", strings.Repeat("x", maxFile+1))
	for _, c := range []struct {
		name string
		pair Pair
		file string
		says string
	}{
		{"no certificate file", Pair{filepath.Join(dir, "none.pem"), good.Key}, "none.pem", "no such file"},
		{"no key file", Pair{good.Certificate, filepath.Join(dir, "none.key")}, "none.key", "no such file"},
		{"a folder", Pair{dir, good.Key}, dir, "directory"},
		{"empty", Pair{empty, good.Key}, empty, "BEGIN CERTIFICATE"},
		{"broken", Pair{broken, good.Key}, broken, "certificate 1 in it can't be read"},
		{"too large", Pair{large, good.Key}, large, "larger than"},
		{"swapped", Pair{good.Key, good.Certificate}, good.Key, "swapped"},
		{"key of another", Pair{good.Certificate, other.Key}, other.Key, "doesn't belong to the certificate in " + good.Certificate},
		{"key with a passphrase", Pair{good.Certificate, sealed}, sealed, "openssl pkey"},
		{"no key in the key file", Pair{good.Certificate, good.Certificate}, good.Certificate, "BEGIN PRIVATE KEY"},
		{"broken key", Pair{good.Certificate, brokenKey}, brokenKey, "parse"},
		{"DSA", Pair{good.Certificate, dsa}, dsa, "can't be used here"},
		{"DSA in its old form", Pair{good.Certificate, oldDSA}, oldDSA, "make one of ECDSA or RSA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Options{Files: []Pair{good, c.pair}})
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v, want an error of kind Invalid", err)
			}
			if !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, want it to name %q and to say %q", err, c.file, c.says)
			}
			if strings.Contains(err.Error(), "c2VjcmV0") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has the key's octets: %q", err)
			}
		})
	}
}

// keyOfKind returns a key of an algorithm, in PKCS #8 (RFC 5958 §2).
func keyOfKind(t *testing.T, algorithm ...int) string {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{Algorithm: pkix.AlgorithmIdentifier{Algorithm: algorithm}, Key: []byte("secret")})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestCertificateAndKeyMayStandInOneFile(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	leaf := ca.leaf(t, nil, "mail.example.org")
	key, err := leaf.keyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, parts := range map[string][][]byte{
		"certificate first": {leaf.certPEM(), ca.certPEM(), key},
		"key first":         {key, leaf.certPEM(), ca.certPEM()},
		"key between":       {leaf.certPEM(), key, ca.certPEM()},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, name+".pem")
			writeNew(t, file, bytes.Join(parts, nil))
			m := newManager(t, Options{Files: []Pair{{file, file}}})
			leaf.wants(t, served(t, m, "mail.example.org"))
		})
	}
}

func TestWhatToDoAboutAFileIsSaid(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{fs.ErrNotExist, "there is no such file"},
		{&fs.PathError{Op: "open", Path: "key.pem", Err: syscall.EACCES}, "the server may not read it"},
		{errors.New("input/output error"), "input/output error"},
	} {
		if got := openError(c.err); !strings.Contains(got.Error(), c.says) {
			t.Errorf("of %v: got %q, want %q in it", c.err, got, c.says)
		}
	}
}

func TestFileThatMayNotBeReadIsNamed(t *testing.T) {
	if os.Getuid() <= 0 {
		t.Skip("root may read all files, and Windows has no such permissions")
	}
	ca, dir := newTestCA(t), t.TempDir()
	p := ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "cert")
	if err := os.Chmod(p.Key, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Files: []Pair{p}}); err == nil || !strings.Contains(err.Error(), p.Key+": the server may not read it") {
		t.Errorf("got %v, want the key file named and its permission", err)
	}
}

func TestProblemsOfCertificatesInUseAreSaidInWords(t *testing.T) {
	ca := newTestCA(t)
	for _, c := range []struct {
		name string
		edit func(*x509.Certificate)
		put  func(t *testing.T, leaf *issued, dir string) Pair
		says string
	}{
		{"good", nil, nil, ""},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "expired on"},
		{"not valid yet", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil, "valid from"},
		{"ends soon", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(100 * time.Hour) }, nil, "expires in 4 days"},
		{"no names", func(c *x509.Certificate) { c.DNSNames = nil }, nil, "names no host"},
		{"signed by a root", nil, func(t *testing.T, leaf *issued, dir string) Pair {
			p := ca.put(t, leaf, dir, "cert")
			writeNew(t, p.Certificate, leaf.certPEM())
			return p
		}, ""},
		{"chain missing", func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.example/ca.der"} }, func(t *testing.T, leaf *issued, dir string) Pair {
			p := ca.put(t, leaf, dir, "cert")
			writeNew(t, p.Certificate, leaf.certPEM())
			return p
		}, "full chain"},
		{"chain out of order", nil, func(t *testing.T, leaf *issued, dir string) Pair {
			p := ca.put(t, leaf, dir, "cert")
			writeNew(t, p.Certificate, slices.Concat(leaf.certPEM(), leaf.certPEM()))
			return p
		}, "order"},
		{"key open to all", nil, func(t *testing.T, leaf *issued, dir string) Pair {
			p := ca.put(t, leaf, dir, "cert")
			if err := os.Chmod(p.Key, 0o644); err != nil {
				t.Fatal(err)
			}
			return p
		}, "chmod"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, j := t.TempDir(), newJournal()
			leaf := ca.leaf(t, c.edit, "mail.example.org")
			put := c.put
			if put == nil {
				put = func(t *testing.T, leaf *issued, dir string) Pair { return ca.put(t, leaf, dir, "cert") }
			}
			m := newManager(t, Options{Files: []Pair{put(t, leaf, dir)}, Logger: j.logger()})
			leaf.wants(t, served(t, m, ""))
			got := m.List()[0].Problems
			if c.says == "" && (len(got) > 0 || j.String() != "") {
				t.Errorf("got problems %q and log %q, want none", got, j)
			}
			if !strings.Contains(strings.Join(got, "\n"), c.says) || !strings.Contains(j.String(), c.says) {
				t.Errorf("got problems %q and log %q, want %q in both", got, j, c.says)
			}
		})
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	ca, dir, j, now := newTestCA(t), t.TempDir(), newJournal(), newClock()
	before, after := ca.leaf(t, nil, "mail.example.org"), ca.leaf(t, nil, "new.example.org")
	p := ca.put(t, before, dir, "cert")
	m := newManager(t, Options{Files: []Pair{p}, Logger: j.logger(), Now: now.now})
	now.add(lookInterval)
	before.wants(t, served(t, m, ""))
	ca.put(t, after, dir, "cert")
	before.wants(t, served(t, m, "")) // looked a moment ago
	now.add(lookInterval)
	after.wants(t, served(t, m, ""))
	after.wants(t, served(t, m, "new.example.org"))
	if got := j.count("certificate read again"); got != 1 {
		t.Errorf("got %d log lines of the change, want 1:\n%s", got, j)
	}
}

func TestCertificateWrittenBeforeItsKeyIsNoError(t *testing.T) {
	ca, dir, j, now := newTestCA(t), t.TempDir(), newJournal(), newClock()
	before, after := ca.leaf(t, nil, "mail.example.org"), ca.leaf(t, nil, "mail.example.org")
	p := ca.put(t, before, dir, "cert")
	m := newManager(t, Options{Files: []Pair{p}, Logger: j.logger(), Now: now.now})
	ca.putChain(t, after, p)
	now.add(lookInterval)
	before.wants(t, served(t, m, ""))
	putKey(t, after, p)
	now.add(lookInterval)
	after.wants(t, served(t, m, ""))
	if j.count("level=ERROR") != 0 {
		t.Errorf("got errors in the log, want none:\n%s", j)
	}
}

func TestBrokenChangeKeepsTheFormerCertificateAndIsLoggedOnce(t *testing.T) {
	ca, dir, j, now := newTestCA(t), t.TempDir(), newJournal(), newClock()
	before, after := ca.leaf(t, nil, "mail.example.org"), ca.leaf(t, nil, "mail.example.org")
	p := ca.put(t, before, dir, "cert")
	m := newManager(t, Options{Files: []Pair{p}, Logger: j.logger(), Now: now.now})
	look := func(n int) {
		for range n {
			now.add(lookInterval)
			before.wants(t, served(t, m, ""))
		}
	}
	putKey(t, after, p)
	look(5)
	if got := j.count("level=ERROR"); got != 1 {
		t.Errorf("got %d errors for one change, want 1:\n%s", got, j)
	}
	if got := strings.Join(m.List()[0].Problems, ";"); !strings.Contains(got, "doesn't belong") {
		t.Errorf("got problems %q, want the reason", got)
	}
	if err := os.Remove(p.Key); err != nil {
		t.Fatal(err)
	}
	look(5)
	if got := j.count("level=ERROR"); got != 2 {
		t.Errorf("got %d errors for two changes, want 2:\n%s", got, j)
	}
	ca.put(t, after, dir, "cert")
	now.add(lookInterval)
	after.wants(t, served(t, m, ""))
	if got := m.List()[0].Problems; len(got) > 0 {
		t.Errorf("got problems %q after the repair, want none", got)
	}
}

func TestRunLooksAtFilesWithoutHandshakes(t *testing.T) {
	ca, dir, j, now := newTestCA(t), t.TempDir(), newJournal(), newClock()
	p := ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "cert")
	m := newManager(t, Options{Files: []Pair{p}, Logger: j.logger(), Now: now.now})
	ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "cert")
	m.tend(context.Background())
	if j.count("certificate read again") != 1 {
		t.Errorf("the change was not seen:\n%s", j)
	}
}

func TestReloadAndRenewReadFilesNow(t *testing.T) {
	ca, dir := newTestCA(t), t.TempDir()
	one, two, three := ca.leaf(t, nil, "mail.example.org"), ca.leaf(t, nil, "mail.example.org"), ca.leaf(t, nil, "mail.example.org")
	p := ca.put(t, one, dir, "cert")
	m := newManager(t, Options{Files: []Pair{p}})
	ca.put(t, two, dir, "cert")
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	two.wants(t, served(t, m, ""))
	ca.put(t, three, dir, "cert")
	infos, err := m.Renew(context.Background(), "Mail.example.org")
	if err != nil || len(infos) != 1 || infos[0].SHA256 != Fingerprint(three.cert.Raw) {
		t.Errorf("got %+v, %v, want the third certificate", infos, err)
	}
	three.wants(t, served(t, m, ""))
	if _, err := m.Renew(context.Background(), "other.example.org"); !fault.Is(err, fault.NotFound) {
		t.Errorf("renewing an unknown name: got %v, want NotFound", err)
	}
	writeNew(t, p.Key, nil)
	if err := m.Reload(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), p.Key) {
		t.Errorf("reloading a broken pair: got %v, want Invalid and the file", err)
	}
	three.wants(t, served(t, m, ""))
}

func TestHandshakesGoOnWhileFilesChange(t *testing.T) {
	ca, dir, now := newTestCA(t), t.TempDir(), newClock()
	leaves := []*issued{ca.leaf(t, nil, "mail.example.org"), ca.leaf(t, nil, "mail.example.org")}
	p := ca.put(t, leaves[0], dir, "cert")
	m := newManager(t, Options{Files: []Pair{p}, Now: now.now})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				now.add(lookInterval)
				got := served(t, m, "mail.example.org")
				if !got.Equal(leaves[0].cert) && !got.Equal(leaves[1].cert) {
					t.Errorf("got a certificate that nobody has written")
				}
				m.List()
			}
		})
	}
	for i := range 20 {
		ca.putChain(t, leaves[i%2], p)
		putKey(t, leaves[i%2], p)
		_ = m.Reload()
	}
	wg.Wait()
}
