//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
)

// stsZone has domains with a policy (MTA-STS, RFC 8461). %[1]s begins the addresses.
const stsZone = `
mx1 IN A %[1]s1
enforced IN MX 10 mx1
named IN MX 10 mx1.named
mx1.named IN A %[1]s1
unlisted IN MX 10 mx1
lax IN MX 10 mx1.lax
mx1.lax IN A %[1]s1
`

// policies are what the web servers of these domains say.
var policies = map[string]string{
	"enforced": "version: STSv1\r\nmode: enforce\r\nmx: mx1.test\r\nmax_age: 86400\r\n",
	"named":    "version: STSv1\r\nmode: enforce\r\nmx: mx1.named.test\r\nmax_age: 86400\r\n",
	"unlisted": "version: STSv1\r\nmode: enforce\r\nmx: mx9.test\r\nmax_age: 86400\r\n",
	"lax":      "version: STSv1\r\nmode: testing\r\nmx: mx1.lax.test\r\nmax_age: 86400\r\n",
}

// servePolicies answers for the web servers of all these domains.
func servePolicies(t *testing.T, ca *authority, address string) {
	t.Helper()
	certificates := map[string]*tls.Certificate{}
	dir := openDir(t)
	for d := range policies {
		name := "mta-sts." + d + ".test"
		_, cert, key := ca.issue(dir, name)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		certificates[name] = &pair
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			domain, _, _ := strings.Cut(strings.TrimPrefix(r.Host, "mta-sts."), ".")
			if r.URL.Path != "/.well-known/mta-sts.txt" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, policies[domain])
		}),
		TLSConfig: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificates[h.ServerName], nil
		}},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	t.Cleanup(func() { server.Close() })
	go server.ServeTLS(l, "", "")
}

// TestMTASTSIsEnforcedAgainstPostfix: only a host that the policy lists, and that has
// a certificate for its name, gets the mail; a policy in testing stops nothing.
func TestMTASTSIsEnforcedAgainstPostfix(t *testing.T) {
	b, ca := newBlock(), newAuthority(t)
	t.Setenv("SSL_CERT_FILE", ca.file) // the system's authorities, for the server
	zone := fmt.Sprintf(stsZone, b.prefix)
	for d := range policies {
		zone += fmt.Sprintf("_mta-sts.%s IN TXT \"v=STSv1; id=1;\"\nmta-sts.%s IN A %s\n", d, d, b.host(4))
	}
	n := serveNames(t, b, zone, "", nil)
	servePolicies(t, ca, b.host(4)+":443")
	_, cert, key := ca.issue(openDir(t), "mx1.test")
	p := startPostfixes(t, map[string]string{"mx1.test": b.host(1) + ":25"},
		"smtpd_tls_chain_files = "+key+", "+cert, "smtpd_tls_received_header = yes",
		"virtual_mailbox_domains = enforced.test named.test unlisted.test lax.test")
	s := startSending(t, n.config())
	for _, c := range []struct{ domain, deferred string }{
		{"enforced.test", ""},
		{"lax.test", ""},
		{"named.test", "the certificate is for another name"},
		{"unlisted.test", "the MTA-STS policy of unlisted.test does not list it"},
	} {
		s.submit(t, 0, outgoing{to: []string{"bob@" + c.domain}, text: "From: alice@example.test\nSubject: to " + c.domain + "\n\nx\n"})
		line := ""
		eventually(t, "the fate of mail for "+c.domain, s.log.String, func() bool {
			for _, l := range strings.Split(s.log.String(), "\n") {
				if strings.Contains(l, "to=bob@"+c.domain+" ") && strings.Contains(l, "status=") {
					line = l
				}
			}
			return line != ""
		})
		if sent := strings.Contains(line, `msg="message sent"`); sent != (c.deferred == "") {
			t.Errorf("%s: got %s", c.domain, line)
		}
		if c.deferred != "" && (!strings.Contains(line, "status=4.7.5 ") || !strings.Contains(line, c.deferred)) {
			t.Errorf("%s: got %s\nwant 4.7.5 and %q", c.domain, line, c.deferred)
		}
	}
	all := strings.Join(p.mail(t, 2), "")
	for _, want := range []string{"Delivered-To: bob@enforced.test\n", "Delivered-To: bob@lax.test\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("Postfix lacks %q:\n%s", want, all)
		}
	}
}
