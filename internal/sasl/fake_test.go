package sasl

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"strings"
	"testing"

	"postrider/internal/fault"
)

// fakeVerifier knows alice, by one password, one secret and one token.
type fakeVerifier struct {
	name   string
	calls  int
	claim  Claim
	keys   []Keys
	salt   string
	iter   int
	denied bool // everything
	err    error
}

const (
	fakeName     = "alice@example.test"
	fakePassword = "open sesame"
	fakeToken    = "eyJhbGciOi.J9._-~+/=="
)

var fakeSalt = "0123456789abcdef"

func newFake() *fakeVerifier {
	return &fakeVerifier{name: fakeName, salt: fakeSalt, iter: 4096, keys: fakeKeys}
}

var fakeKeys = []Keys{
	DeriveKeys("another app password", []byte(fakeSalt), 4096), DeriveKeys(fakePassword, []byte(fakeSalt), 4096),
}

func (v *fakeVerifier) answer(c Claim, ok bool) (Identity, error) {
	v.calls++
	v.claim = c
	switch {
	case v.err != nil:
		return Identity{}, v.err
	case v.denied || !ok || c.As != "" && c.As != v.name:
		return Identity{}, fault.New(fault.Denied, "login", nil)
	}
	return Identity{Account: 7, Address: fakeName}, nil
}

func (v *fakeVerifier) Password(_ context.Context, c Claim, password string) (Identity, error) {
	return v.answer(c, c.Name == v.name && password == fakePassword)
}

func (v *fakeVerifier) Salt(context.Context, string) ([]byte, int, error) {
	return []byte(v.salt), v.iter, v.err
}

func (v *fakeVerifier) Proof(_ context.Context, c Claim, check func(Keys) bool) (Identity, error) {
	ok := false
	for _, k := range v.keys {
		ok = check(k) || ok
	}
	return v.answer(c, ok && c.Name == v.name)
}

func (v *fakeVerifier) Secret(_ context.Context, c Claim, check func([]byte) bool) (Identity, error) {
	return v.answer(c, check([]byte(fakePassword)) && c.Name == v.name)
}

func (v *fakeVerifier) Token(_ context.Context, c Claim, token string) (Identity, error) {
	return v.answer(c, token == fakeToken)
}

func (v *fakeVerifier) Certificate(_ context.Context, c Claim) (Identity, error) {
	return v.answer(c, true)
}

// fakeChannel has both kinds of channel binding.
var fakeChannel = Channel{
	Hostname: "mail.example.test",
	Plus:     true,
	Binding: func(kind string) []byte {
		switch kind {
		case "tls-exporter", "tls-server-end-point":
			return []byte("binding of " + kind)
		}
		return nil
	},
}

// none is the message of a client that sent no initial response.
const none = "(none)"

// converse gives an exchange messages up to the first error or Done. It returns
// the challenges and the end.
func converse(t *testing.T, e Exchange, messages ...string) (challenges []string, last Step, err error) {
	t.Helper()
	for _, m := range messages {
		var response []byte
		if m != none {
			response = []byte(m)
		}
		last, err = e.Respond(t.Context(), response)
		if err != nil || last.Done {
			checkOver(t, e)
			return challenges, last, err
		}
		challenges = append(challenges, string(last.Challenge))
	}
	return challenges, last, nil
}

// checkOver holds that nothing revives an exchange that has ended.
func checkOver(t *testing.T, e Exchange) {
	t.Helper()
	for _, response := range [][]byte{nil, {}, []byte("\x00" + fakeName + "\x00" + fakePassword)} {
		if step, err := e.Respond(t.Context(), response); !fault.Is(err, fault.Invalid) || step.Done {
			t.Errorf("after the end: got done %t and %v, want kind invalid", step.Done, err)
		}
	}
}

// row is a conversation and its end.
type row struct {
	name     string
	messages []string
	want     any // an Identity's Claim, or a fault.Kind
	calls    int // of the Verifier
}

// run holds a mechanism to a table.
func run(t *testing.T, mechanism string, ch Channel, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			v := newFake()
			_, last, err := converse(t, New(mechanism, v, ch), r.messages...)
			switch want := r.want.(type) {
			case fault.Kind:
				if !fault.Is(err, want) {
					t.Errorf("got %v, want kind %v", err, want)
				}
				if want == fault.Invalid {
					checkReason(t, err)
				}
			case Claim:
				if err != nil || !last.Done || last.Identity.Account != 7 || last.Identity.Mechanism != mechanism {
					t.Errorf("got %+v and %v, want a login by %s", last, err, mechanism)
				}
				if v.claim != want {
					t.Errorf("got claim %+v, want %+v", v.claim, want)
				}
			}
			if v.calls != r.calls {
				t.Errorf("the verifier was asked %d times, want %d", v.calls, r.calls)
			}
		})
	}
}

// checkReason holds what may be shown to a peer to a line of ASCII of its own.
func checkReason(t *testing.T, err error) {
	t.Helper()
	reason := Reason(err)
	outside := func(r rune) bool { return r < ' ' || r > '~' }
	if reason == "" || len(reason) > 200 || strings.IndexFunc(reason, outside) >= 0 ||
		strings.Contains(reason, "alice") || strings.Contains(reason, "secret") {
		t.Errorf("got the reason %q", reason)
	}
}

// credulous takes every proof.
type credulous struct{ *fakeVerifier }

func (credulous) Proof(_ context.Context, _ Claim, check func(Keys) bool) (Identity, error) {
	check(fakeKeys[1])
	return Identity{Account: 7}, nil
}

// saltedPassword is SaltedPassword of alice's (RFC 5802 §3).
func saltedPassword() []byte {
	salted, _ := pbkdf2.Key(sha256.New, fakePassword, []byte(fakeSalt), 4096, sha256.Size)
	return salted
}
