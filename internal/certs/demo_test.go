package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// demo makes the demo's authority and returns it as it is in the files.
func demo(t *testing.T, dir string, now time.Time, names ...string) (ca, leaf *x509.Certificate) {
	t.Helper()
	path, pair, err := DemoAuthority(dir, names, now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := tls.LoadX509KeyPair(path, filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return a.Leaf, b.Leaf
}

func TestDemoAuthorityVouchesForItsServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	ca, leaf := demo(t, dir, time.Now(), "demo.example")
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, name := range []string{"demo.example", "localhost", "127.0.0.1", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{"ca.key": 0o600, "server.key": 0o600, "ca.pem": 0o644, "server.pem": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want mode %v", name, info.Mode(), err, want)
		}
	}
}

func TestDemoAuthoritySignsServersOnly(t *testing.T) {
	dir := t.TempDir()
	demo(t, dir, time.Now(), "demo.example")
	parent := loadIssued(Pair{Certificate: filepath.Join(dir, "ca.pem"), Key: filepath.Join(dir, "ca.key")})
	roots := x509.NewCertPool()
	roots.AddCert(parent.cert)
	for usage, good := range map[x509.ExtKeyUsage]bool{
		x509.ExtKeyUsageServerAuth: true, x509.ExtKeyUsageClientAuth: false, x509.ExtKeyUsageCodeSigning: false,
	} {
		c := serverTemplate([]string{"demo.example"}, time.Now())
		c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		made, err := issue(c, parent)
		if err != nil {
			t.Fatal(err)
		}
		_, err = made.cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: c.ExtKeyUsage})
		if (err == nil) != good {
			t.Errorf("usage %d: got %v, want it good: %v", usage, err, good)
		}
	}
}

func TestDemoAuthorityIsMadeAnewOnlyWhenItMustBe(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name           string
		later          time.Duration
		names          string
		breaks         string
		newCA, newLeaf bool
	}{
		{"nothing changed", day, "demo.example", "", false, false},
		{"other names", day, "other.example", "", false, true},
		{"leaf near its end", 250 * day, "demo.example", "", false, true},
		{"authority near its end", 4 * 365 * day, "demo.example", "", true, true},
		{"leaf's key broken", day, "demo.example", "server.key", false, true},
		{"authority broken", day, "demo.example", "ca.pem", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, now := t.TempDir(), time.Now()
			ca, leaf := demo(t, dir, now, "demo.example")
			if c.breaks != "" {
				if err := os.WriteFile(filepath.Join(dir, c.breaks), []byte("rubbish"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ca2, leaf2 := demo(t, dir, now.Add(c.later), c.names)
			if got := !ca.Equal(ca2); got != c.newCA {
				t.Errorf("new authority: got %v, want %v", got, c.newCA)
			}
			if got := !leaf.Equal(leaf2); got != c.newLeaf {
				t.Errorf("new leaf: got %v, want %v", got, c.newLeaf)
			}
			if err := leaf2.CheckSignatureFrom(ca2); err != nil {
				t.Errorf("the authority has not signed the leaf: %v", err)
			}
		})
	}
}

func TestDemoAuthorityServes(t *testing.T) {
	ca, pair, err := DemoAuthority(t.TempDir(), []string{"demo.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	m := newManager(t, Options{Files: []Pair{pair}})
	if _, err := shake(t, m.Config("pop3", nil), &tls.Config{ServerName: "localhost", RootCAs: roots}); err != nil {
		t.Error(err)
	}
}
