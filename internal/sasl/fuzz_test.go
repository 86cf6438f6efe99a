package sasl

import (
	"bytes"
	"strings"
	"testing"

	"postrider/internal/fault"
)

// maxSteps is how many messages any exchange takes at most.
const maxSteps = 4

// fuzz gives exchanges of a mechanism any messages: what is between line ends,
// the first of which may be missing. In a message {nonce} stands for the nonce
// that the server has given last.
//
// Done is for those who know the secret only: entitled looks at everything that
// was said.
func fuzz(f *testing.F, mechanism string, entitled func(said string) bool, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s), true, true)
		f.Add([]byte(s), false, false)
	}
	f.Fuzz(func(t *testing.T, said []byte, initial, plus bool) {
		v := newFake()
		ch := fakeChannel
		if !plus {
			ch = Channel{Hostname: "mail.example.test"}
		}
		e := New(mechanism, v, ch)
		messages := bytes.Split(said, []byte("\n"))
		if !initial {
			messages = append([][]byte{nil}, messages...)
		}
		nonce, ended := "", false
		for i, m := range messages {
			if m != nil || i > 0 {
				m = append([]byte{}, strings.ReplaceAll(string(m), "{nonce}", nonce)...)
			}
			step, err := e.Respond(t.Context(), m)
			switch {
			case ended && !fault.Is(err, fault.Invalid):
				t.Fatalf("message %d after the end: got %v", i, err)
			case err == nil && i >= maxSteps:
				t.Fatalf("%d messages, and it goes on", i)
			case step.Done && !entitled(string(said)):
				t.Fatalf("%q logs in", said)
			case step.Done && (err != nil || v.calls != 1 || step.Identity.Account != 7):
				t.Fatalf("done with %v, %d calls, %+v", err, v.calls, step.Identity)
			case fault.Is(err, fault.Invalid):
				checkReason(t, err)
			}
			ended = ended || step.Done || err != nil
			nonce, _, _ = strings.Cut(strings.TrimPrefix(string(step.Challenge), "r="), ",")
		}
		if v.calls > 1 {
			t.Errorf("the verifier was asked %d times", v.calls)
		}
	})
}

func has(parts ...string) func(string) bool {
	return func(said string) bool {
		for _, p := range parts {
			if !strings.Contains(said, p) {
				return false
			}
		}
		return true
	}
}

func nobody(string) bool { return false }

func FuzzPlain(f *testing.F) {
	fuzz(f, "PLAIN", has(fakeName, fakePassword),
		"\x00"+fakeName+"\x00"+fakePassword, fakeName+"\x00"+fakeName+"\x00"+fakePassword, "\x00\x00", "a\x00b", "\n\x00a\x00b")
}

func FuzzLogin(f *testing.F) {
	fuzz(f, "LOGIN", has(fakeName, fakePassword), fakeName+"\n"+fakePassword, "\n\n", "a\nb\nc")
}

func FuzzScram(f *testing.F) {
	fuzz(f, "SCRAM-SHA-256", nobody,
		"n,,n="+fakeName+",r=abc\nc=biws,r={nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"y,a=bob,n=a=2Cb,r=abc,x=y\nc=eSxhPWJvYiw=,r={nonce},x=y,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "n,,m=x,n=a,r=b")
}

func FuzzScramPlus(f *testing.F) {
	fuzz(f, "SCRAM-SHA-256-PLUS", nobody,
		"p=tls-exporter,,n="+fakeName+",r=abc\nc="+b64([]byte("p=tls-exporter,,binding of tls-exporter"))+
			",r={nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"p=tls-unique,,n=a,r=b", "n,,n=a,r=b")
}

func FuzzCramMD5(f *testing.F) {
	fuzz(f, "CRAM-MD5", nobody, fakeName+" "+strings.Repeat("0", 32), "a b "+strings.Repeat("f", 32), " ")
}

// FuzzExternal: the certificate says who it is, so that the message matters only
// where it names somebody else.
func FuzzExternal(f *testing.F) {
	fuzz(f, "EXTERNAL", func(said string) bool {
		return strings.HasPrefix(said+"\n", "\n") || strings.HasPrefix(said+"\n", fakeName+"\n")
	}, fakeName, "", "bob", "\x00", "\n\n")
}

func FuzzOAuthBearer(f *testing.F) {
	fuzz(f, "OAUTHBEARER", has(fakeToken),
		"n,a="+fakeName+",\x01host=h\x01port=1\x01auth=Bearer "+fakeToken+"\x01\x01", "n,,\x01auth=Bearer wrong\x01\x01\n\x01", "\x01", "n,,\x01auth=\x01\x01\n\x01")
}
