package smtp

import (
	"context"
	"encoding/base64"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

const (
	aliceAddress  = "alice@example.test"
	alicePassword = "kettle & spoon"
	aliceAccount  = mail.AccountID(7)
)

var aliceIdentity = sasl.Identity{Account: aliceAccount, Address: aliceAddress}

// fakeLogins knows alice, by her password. The mechanisms are those of package
// sasl.
type fakeLogins struct {
	begin   error // of Begin
	verdict error // on every name
	nobody  bool  // succeed as nobody
	trusted sasl.Identity
}

func (f *fakeLogins) Mechanisms(c *session.Conn) (names []string) {
	for _, m := range sasl.Mechanisms() {
		if !m.Plus && !(m.Plain && f.needsTLS(c)) {
			names = append(names, m.Name)
		}
	}
	return names
}

func (f *fakeLogins) needsTLS(c *session.Conn) bool { return c.TLS == nil && !c.Listener.PlaintextAuth }

func (f *fakeLogins) Begin(c *session.Conn, name string) (sasl.Exchange, error) {
	all := sasl.Mechanisms()
	i := slices.IndexFunc(all, func(m sasl.Mechanism) bool { return m.Name == name })
	switch {
	case f.begin != nil:
		return nil, f.begin
	case i < 0:
		return nil, fault.New(fault.NotFound, "login", nil)
	case all[i].Plain && f.needsTLS(c):
		return nil, fault.New(fault.Denied, "login", nil)
	}
	return sasl.New(name, fakeVerifier{f}, sasl.Channel{Hostname: testHost}), nil
}

func (f *fakeLogins) Recognize(*session.Conn) (sasl.Identity, bool) {
	return f.trusted, f.trusted != sasl.Identity{}
}

func (f *fakeLogins) Password(*session.Conn, string, string) (sasl.Identity, error) {
	return sasl.Identity{}, fault.New(fault.Denied, "login", nil)
}

func (f *fakeLogins) PasswordOffered(*session.Conn) bool { return false }

func (f *fakeLogins) Digest(*session.Conn, string, func([]byte) bool) (sasl.Identity, error) {
	return sasl.Identity{}, fault.New(fault.Denied, "login", nil)
}

func (f *fakeLogins) DigestOffered(*session.Conn) bool { return false }

// fakeVerifier is its credentials.
type fakeVerifier struct{ f *fakeLogins }

func (v fakeVerifier) answer(c sasl.Claim, ok bool) (sasl.Identity, error) {
	switch {
	case v.f.verdict != nil:
		return sasl.Identity{}, v.f.verdict
	case v.f.nobody:
		return sasl.Identity{}, nil
	case !ok || c.Name != aliceAddress || c.As != "" && c.As != aliceAddress:
		return sasl.Identity{}, fault.New(fault.Denied, "login", nil)
	}
	return sasl.Identity{Account: aliceAccount, Address: aliceAddress, AppPassword: "telephone"}, nil
}

func (v fakeVerifier) Password(_ context.Context, c sasl.Claim, password string) (sasl.Identity, error) {
	return v.answer(c, password == alicePassword)
}

const aliceSalt, aliceIterations = "0123456789abcdef", 4096

func (v fakeVerifier) Salt(context.Context, string) ([]byte, int, error) {
	return []byte(aliceSalt), aliceIterations, nil
}

func (v fakeVerifier) Proof(_ context.Context, c sasl.Claim, check func(sasl.Keys) bool) (sasl.Identity, error) {
	return v.answer(c, check(sasl.DeriveKeys(alicePassword, []byte(aliceSalt), aliceIterations)))
}

func (v fakeVerifier) Secret(_ context.Context, c sasl.Claim, check func([]byte) bool) (sasl.Identity, error) {
	return v.answer(c, check([]byte(alicePassword)))
}

func (v fakeVerifier) Token(_ context.Context, c sasl.Claim, token string) (sasl.Identity, error) {
	return v.answer(sasl.Claim{Name: aliceAddress, As: c.As}, token == "token") // whose it is, the token says
}

func (v fakeVerifier) Certificate(_ context.Context, c sasl.Claim) (sasl.Identity, error) {
	return v.answer(c, false)
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

var (
	alicePlain = b64("\x00" + aliceAddress + "\x00" + alicePassword)
	wrongPlain = b64("\x00" + aliceAddress + "\x00" + "fork")
	authPlain  = "AUTH PLAIN " + alicePlain + "\r\n"
)

// submit connects to a submission listener, under TLS.
func submit(f *fakeLogins, o *Options) *driver {
	return connect(setup{
		Listener: session.Listener{Role: "submission"}, implicit: true,
		backend: &fakeBackend{verified: []string{"Alice <alice@example.test>"}}, logins: f, options: o,
	})
}
