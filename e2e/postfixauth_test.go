//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// passwords is what Postfix asks whether a login is right, in the way of Dovecot's
// authentication protocol. It returns the socket.
func passwords(t *testing.T, user, password string) string {
	t.Helper()
	path := filepath.Join(openDir(t), "auth")
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go checkPasswords(conn, user, password)
		}
	}()
	return path
}

func checkPasswords(conn net.Conn, user, password string) {
	defer conn.Close()
	fmt.Fprint(conn, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		switch {
		case f[0] != "AUTH" || len(f) < 3:
		case f[2] == "PLAIN" && f[len(f)-1] == "resp="+b64("\x00"+user+"\x00"+password):
			fmt.Fprintf(conn, "OK\t%s\tuser=%s\n", f[1], user)
		default:
			fmt.Fprintf(conn, "FAIL\t%s\n", f[1])
		}
	}
}

// TestPostfixAsSmarthostTakesMailAfterALogin only: who has not logged in may not relay
// there, and a wrong password is told to the log and not to the sender.
func TestPostfixAsSmarthostTakesMailAfterALogin(t *testing.T) {
	ca := newAuthority(t)
	_, cert, key := ca.issue(openDir(t), "localhost")
	next := freeAddress(t)
	p := startPostfix(t, next, "smtpd_tls_chain_files = "+key+", "+cert, "smtpd_tls_auth_only = yes",
		"smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = dovecot", "smtpd_sasl_authenticated_header = yes",
		"smtpd_sasl_path = unix:"+passwords(t, "postrider", "p4ss word"),
		"mynetworks = 192.0.2.1", "virtual_mailbox_domains = ", "transport_maps = static:virtual")
	_, port, _ := strings.Cut(next, ":")
	route := "tls = \"verify\"\nca_file = \"" + ca.file + "\"\nusername = \"postrider\"\npassword_file = "
	hop := outgoing{to: []string{"bob@remote.test"}, text: hopLetter}

	s := startSending(t, through("localhost:"+port, route+`"`+write(t, "right", "p4ss word\n")+`"`))
	s.submit(t, 0, hop)
	if got := p.mail(t, 1)[0]; !strings.Contains(got, "(Authenticated sender: postrider)") {
		t.Errorf("there was no login:\n%s", got)
	}

	s = startSending(t, through("localhost:"+port, route+`"`+write(t, "wrong", "wr0ng\n")+`"`))
	s.submit(t, 0, hop)
	eventually(t, "the login is refused", s.log.String, func() bool {
		return strings.Contains(s.log.String(), "message deferred")
	})
	if log := s.log.String(); strings.Contains(log, "wr0ng") || !strings.Contains(log, "535 5.7.8") {
		t.Errorf("the log says:\n%s", log)
	}
	p.mail(t, 1)
}
