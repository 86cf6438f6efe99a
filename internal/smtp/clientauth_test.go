package smtp

import (
	"context"
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// TLS without a proof of the server's name keeps no impostor away.
func TestAPasswordIsToldToNoServerThatHasNotProvenItsName(t *testing.T) {
	for name, row := range map[string]struct {
		tls                 *session.TLS
		verified, plaintext bool
		offered, want       string // AUTH's mechanism, "" for none
	}{
		"verified":             {testTLS, true, false, "PLAIN LOGIN", "PLAIN"},
		"not verified":         {testTLS, false, false, "PLAIN LOGIN", ""},
		"not verified, SCRAM":  {testTLS, false, false, "PLAIN SCRAM-SHA-256", "SCRAM-SHA-256"},
		"not verified, wanted": {testTLS, false, true, "PLAIN LOGIN", "PLAIN"},
		"no TLS":               {nil, true, false, "PLAIN LOGIN", ""},
		"no TLS, wanted":       {nil, false, true, "PLAIN LOGIN", "PLAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			source := &oneSource{out: &Outgoing{Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: mail.Address{Local: "a", Domain: "b.test"}}}}}}
			o := ClientOptions{
				Hostname: "me.test", Verified: row.verified, Login: &ClientLogin{Username: "u", Password: "p", Plaintext: row.plaintext},
			}
			r := &clientRun{t: t, free: true, sess: NewClient(o, source), conn: &session.Conn{
				Context: context.Background(), Listener: &session.Listener{}, TLS: row.tls, Now: func() time.Time { return testTime },
			}}
			r.take(r.sess.Start(r.conn))
			r.feed([]byte("220 x\r\n250-x\r\n250 AUTH " + row.offered + "\r\n"))
			_, auth, _ := strings.Cut(r.said.String(), "AUTH ")
			if got, _, _ := strings.Cut(auth, " "); got != row.want {
				t.Errorf("got %q, want %q", r.said.String(), row.want)
			}
			r.end()
		})
	}
}
