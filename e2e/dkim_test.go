//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/dkim"
	"postrider/internal/fault"
	"postrider/internal/store/storetest"
)

// debianPython is the one that Debian's packages are for.
const debianPython = "/usr/bin/python3"

// others is what dkimpy makes of a message: with "verify", whether each signature and
// the chain is good; with "sign", the message with a signature in each form; with
// "seal", the message with a set on top.
const others = `
import dkim, json, sys
names = json.load(open(sys.argv[2]))
def txt(name, timeout=5):
    return names.get(name.decode().rstrip("."), "").encode() or None
message = sys.stdin.buffer.read()
if sys.argv[1] == "sign":
    key = open(sys.argv[3], "rb").read()
    for form in (b"simple", b"simple"), (b"relaxed", b"simple"), (b"simple", b"relaxed"), (b"relaxed", b"relaxed"):
        message = dkim.sign(message, b"theirs", b"other.example", key, canonicalize=form) + message
    sys.stdout.buffer.write(message)
elif sys.argv[1] == "seal":
    key = open(sys.argv[5], "rb").read()
    fields = dkim.arc_sign(message, sys.argv[4].encode(), sys.argv[3].encode(), key, sys.argv[6].encode())
    sys.stdout.buffer.write(b"".join(fields) + message)
else:
    d = dkim.DKIM(message)
    def good(i):
        try:
            return d.verify(idx=i, dnsfunc=txt)
        except dkim.ValidationError:
            return False
    print([good(i) for i in range(int(sys.argv[3]))], dkim.arc_verify(message, dnsfunc=txt)[0])
`

// signers are keys of ours, one of others, and the DNS that has all of them.
type signers struct {
	t      *testing.T
	keys   *dkim.Keys
	names  map[string]string
	pem    string // a file with the others' key
	dnsTxt string // a file with names
}

func newSigners(t *testing.T, domains ...string) *signers {
	s := &signers{t: t, names: map[string]string{}}
	s.keys = dkim.NewKeys(storetest.NewModel(), slog.New(slog.DiscardHandler), nil)
	for _, d := range domains {
		if _, err := s.keys.Generate(t.Context(), d, "k1"); err != nil {
			t.Fatal(err)
		}
		now, err := s.keys.Activate(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range now {
			s.names[k.Name] = k.Record
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	s.names["theirs._domainkey.other.example"] = "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	s.pem = s.file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	text, err := json.Marshal(s.names)
	if err != nil {
		t.Fatal(err)
	}
	s.dnsTxt = s.file("names.json", text)
	return s
}

func (s *signers) file(name string, content []byte) string {
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *signers) txt(_ context.Context, name string) ([]string, error) {
	if r, ok := s.names[name]; ok {
		return []string{r}, nil
	}
	return nil, fault.Newf(fault.NotFound, "look up", "no such name")
}

func (s *signers) verifier() dkim.Verifier { return dkim.Verifier{TXT: s.txt} }

func (s *signers) run(message, command string, args ...string) string {
	s.t.Helper()
	var out, words bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), command, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(message), &out, &words
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, words.String())
	}
	return out.String()
}

func (s *signers) sign(domain, message string) string {
	s.t.Helper()
	fields, err := dkim.NewSigner(s.keys, dkim.Settings{}).Sign(s.t.Context(), domain, strings.NewReader(message), int64(len(message)))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(fields) + message
}

func (s *signers) seal(domain, message string) string {
	s.t.Helper()
	fields, err := dkim.NewSealer(s.keys, s.verifier(), "mail."+domain, dkim.Settings{}).
		Seal(s.t.Context(), domain, dkim.Forward{Stored: strings.NewReader(message)})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(fields) + message
}

// otherSeal has dkimpy seal, which takes the state of the chain from a field.
func (s *signers) otherSeal(message, state string) string {
	host := "after-" + state + ".example"
	message = "Authentication-Results: " + host + "; arc=" + state + "\r\n" + message
	return s.run(message, debianPython, "-c", others, "seal", s.dnsTxt, "other.example", "theirs", s.pem, host)
}

const signedLetter = "Received: from a by b; Sat, 28 Nov 2026 12:00:00 +0000\r\n" +
	"From: Alice <alice@example.org>\r\n" +
	"To: Bob <bob@example.net>,\r\n\tCarol <carol@example.net>\r\n" +
	"SUBJECT:  Two   words \r\n" +
	"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n" +
	"Message-ID: <1@example.org>\r\n" +
	"\r\n" +
	"A line  with\twhite space \t\r\n" +
	" \r\n.dot\r\nend\r\n\r\n \r\n\r\n"

// TestOthersVerifyWhatWeSignAndSeal asks dkimpy.
func TestOthersVerifyWhatWeSignAndSeal(t *testing.T) {
	s := newSigners(t, "example.org", "hop.example")
	signed := s.sign("example.org", signedLetter)
	for _, c := range []struct{ name, message, want string }{
		{"signed", signed, "[True, True] b'none'"},
		{"sealed", s.seal("hop.example", signed), "[True, True] b'pass'"},
		{"sealed twice", s.seal("example.org", s.seal("hop.example", signed)), "[True, True] b'pass'"},
		{"sealed by both", s.seal("hop.example", s.otherSeal(s.seal("example.org", signed), "pass")), "[True, True] b'pass'"},
		{"changed", strings.Replace(s.seal("hop.example", signed), "dot", "dots", 1), "[False, False] b'fail'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.TrimSpace(s.run(c.message, debianPython, "-c", others, "verify", s.dnsTxt, "2"))
			if got != c.want {
				t.Errorf("dkimpy says %s, want %s\n%s", got, c.want, c.message)
			}
		})
	}
}

// TestWeVerifyWhatOthersSignAndSeal takes signatures and seals of dkimpy.
func TestWeVerifyWhatOthersSignAndSeal(t *testing.T) {
	s := newSigners(t, "hop.example")
	signed := s.run(signedLetter, debianPython, "-c", others, "sign", s.dnsTxt, s.pem)
	message := s.otherSeal(s.seal("hop.example", s.otherSeal(signed, "none")), "pass")
	got, err := s.verifier().Verify(t.Context(), strings.NewReader(message), int64(len(message)))
	if err != nil || len(got) != 4 {
		t.Fatalf("%d signatures, %v\n%s", len(got), err, message)
	}
	for i, v := range got {
		if v.Value != "pass" {
			t.Errorf("signature %d: %s (%s)\n%s", i, v.Value, v.Reason, message)
		}
	}
	chain, err := s.verifier().Chain(t.Context(), strings.NewReader(message), int64(len(message)))
	if err != nil || chain.Status != dkim.ChainPass || chain.Sets != 3 {
		t.Errorf("the chain: %+v, %v\n%s", chain, err, message)
	}
}
