package cli

import (
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"postrider/internal/certs"
	"postrider/internal/config"
)

// namedFiles are what the files that the configuration names hold.
type namedFiles struct {
	// certificates are those that can be used, by their place in the configuration.
	certificates map[int]certs.Info
	// problems are what keeps the server from starting.
	problems config.Problems
	// open are files with secrets that everybody can read.
	open config.Problems
}

// examineFiles reads the files that the configuration names as the server does
// when it starts.
func examineFiles(cfg *config.Config) namedFiles {
	f := namedFiles{certificates: map[int]certs.Info{}}
	bad := func(path string, err error) {
		if err != nil {
			message := strings.TrimPrefix(err.Error(), "load certificates: ")
			f.problems = append(f.problems, cfg.Locate(path, config.Problem{Message: message}))
		}
	}
	for i, l := range cfg.Listeners {
		_, err := clientAuthorities(l.ClientCA)
		bad(fmt.Sprintf("listener[%d].client_ca", i), err)
	}
	if hasTLS(cfg) {
		_, err := authorities(cfg.ACME.CAFile)
		bad("acme.ca_file", err)
	}
	_, err := authorities(cfg.OAuth.CAFile)
	bad("oauth.ca_file", err)
	for i := range cfg.Routes {
		f.examineRoute(cfg, i, bad)
	}
	for i, c := range cfg.Certificates {
		if c.Chain == "" || c.Key == "" || !hasTLS(cfg) {
			continue // the configuration's own problem, or they are not read
		}
		m, err := certs.New(certs.Options{Files: []certs.Pair{{Certificate: c.Chain, Key: c.Key}}})
		bad(fmt.Sprintf("certificate[%d].chain", i), err)
		if err == nil {
			f.certificates[i] = m.List()[0]
		}
	}
	return f
}

// examineRoute reads the files of a route.
func (f *namedFiles) examineRoute(cfg *config.Config, i int, bad func(path string, err error)) {
	r, at := &cfg.Routes[i], fmt.Sprintf("route[%d]", i)
	_, err := authorities(r.CAFile)
	bad(at+".ca_file", err)
	if r.PasswordFile == "" {
		return
	}
	at += ".password_file"
	_, err = firstLine(r.PasswordFile)
	bad(at, err)
	if everybodyReads(r.PasswordFile) {
		f.open = append(f.open, cfg.Locate(at, config.Problem{
			Warning: true, Message: "everybody on this machine can read the password in " + r.PasswordFile, Help: "chmod 640 or 600",
		}))
	}
}

// everybodyReads reports whether a file can be read by others than its owner and group.
func everybodyReads(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}

// doubts are what is wrong with files that can be used.
func (f namedFiles) doubts(cfg *config.Config) config.Problems {
	all := slices.Clone(f.open)
	for i, c := range f.certificates {
		for _, p := range c.Problems {
			all = append(all, cfg.Locate(fmt.Sprintf("certificate[%d].chain", i), config.Problem{Warning: true, Message: p}))
		}
	}
	if len(f.problems) > 0 || len(f.certificates) == 0 || cfg.ACME.Directory != "" || madeFor(f.list(), cfg.Hostname) {
		return all
	}
	return append(all, cfg.Locate("hostname", config.Problem{
		Warning: true, Message: "no certificate is made for " + cfg.Hostname, Help: "clients that connect to that name refuse; get one for it",
	}))
}

// list returns the certificates in the order of the configuration.
func (f namedFiles) list() []certs.Info {
	var all []certs.Info
	for _, i := range slices.Sorted(maps.Keys(f.certificates)) {
		all = append(all, f.certificates[i])
	}
	return all
}

// madeFor reports whether some certificate is made for a host, if its name is known.
func madeFor(all []certs.Info, host string) bool {
	return host == "" || slices.ContainsFunc(all, func(i certs.Info) bool { return covers(i, host) })
}

// covers reports whether a certificate is made for a host, by its name or by
// *.domain (RFC 6125 §6.4.3).
func covers(i certs.Info, host string) bool {
	_, domain, _ := strings.Cut(host, ".")
	for _, name := range i.Names {
		if strings.EqualFold(name, host) || domain != "" && strings.EqualFold(name, "*."+domain) {
			return true
		}
	}
	return false
}

// clientAuthorities reads who may vouch for clients; nil when no file is named.
func clientAuthorities(path string) (*x509.CertPool, error) {
	pool, err := authorities(path)
	if err != nil {
		return nil, fmt.Errorf("client_ca: %w", err)
	}
	return pool, nil
}

// authorities reads a file of certificates; nil when none is named.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}
