package netserver

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// TestSecretLinesAreWiped looks for a password in the driver's buffers after the
// session has had it, in the mode SecretLine or by Step.Secret.
func TestSecretLinesAreWiped(t *testing.T) {
	server, good := ends(t)
	password := "geheim" + strings.Repeat("-geheim", 20)
	long := strings.Repeat("geheim-", 250)
	for _, tt := range []struct{ name, before, line, answer string }{
		{"mode", "secret\r\n", password, fmt.Sprintf("go on\r\nsecret of %d\r\n", len(password))},
		{"step", "", "pass " + password, fmt.Sprintf("secret of %d\r\n", len(password))},
		{"long, mode", "secret\r\n", long, fmt.Sprintf("go on\r\nsecret of %d\r\n", len(long))},
		{"long, step", "", "pass " + long, fmt.Sprintf("secret of %d\r\n", len(long))},
		{"after another", "echo a\r\necho b\r\n", "pass " + password, fmt.Sprintf("a\r\nb\r\nsecret of %d\r\n", len(password))},
	} {
		for _, teach := range []bool{false, true} {
			for _, over := range []bool{false, true} {
				for _, step := range []int{1, 7, 300, 1 << 20} {
					t.Run(fmt.Sprintf("%s/teach=%t/tls=%t/%d", tt.name, teach, over, step), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							l := Listener{}
							if over {
								l = implicit(server)
							}
							l.Teach = teach
							w := newWorld(t, Options{}, l)
							defer w.stop()
							c := w.dialMute("192.0.2.9:1000")
							if over {
								c.secure(good)
							} else {
								go c.readAll()
							}
							c.expect("hi\r\n")
							for in := tt.before + tt.line + "\r\necho"; len(in) > 0; {
								k := min(step, len(in))
								c.send(in[:k])
								in = in[k:]
							}
							c.expect(tt.answer)
							expectWiped(t, w.srv, "geheim")
							c.send(" c\r\n")
							c.expect("c\r\n")
						})
					})
				}
			}
		}
	}
}

func TestDiscardedPlaintextIsWiped(t *testing.T) {
	server, good := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, upgrading(server))
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		c.askTLS("pass geheim\r\n")
		c.secure(good)
		synctest.Wait()
		expectWiped(t, w.srv, "geheim")
	})
}

// expectWiped checks that no buffer of a connection has a secret.
func expectWiped(t *testing.T, s *Server, secret string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) == 0 {
		t.Error("no connection to look at")
	}
	for c := range s.conns {
		for name, b := range map[string][]byte{"current": c.in.b[:cap(c.in.b)], "small": c.in.small[:]} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("the %s buffer has it: %q", name, b)
			}
		}
	}
	if b := midBuffers.Get().(*[midSize]byte); bytes.Contains(b[:], []byte(secret)) {
		t.Error("a buffer given back has it")
	}
}
