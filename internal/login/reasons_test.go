package login

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/directory"
	"postrider/internal/store/storetest"
)

// town is a real directory in which each account has another reason for a login
// to fail. It returns alice's app passwords: for SMTP alone, and nowhere else.
func town(t *testing.T, o directory.Options) (d *directory.Directory, phone string) {
	t.Helper()
	model := storetest.NewModel()
	o.Argon2 = directory.Argon2Params{Memory: 64, Time: 1, Threads: 1}
	o.SCRAMIterations, o.Records = directory.MinSCRAMIterations, model
	o.KeyFile = filepath.Join(t.TempDir(), "key")
	d = directory.New(model, o)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	ok(d.AddDomain(ctx, "example.org"))
	for _, name := range []string{"alice", "disabled"} {
		_, err := d.AddAccount(ctx, directory.NewAccount{Address: name + "@example.org", Password: alicesPassword})
		ok(err)
	}
	ok(d.SetDisabled(ctx, "disabled@example.org", true))
	_, err := d.AddAccount(ctx, directory.NewAccount{Address: "nopassword@example.org"})
	ok(err)
	_, err = d.AddAccount(ctx, directory.NewAccount{
		Address: "imported@example.org", Hash: "$2a$04$DCGURHHHwaZQoD6iUvdxQu5vYE1xgTrNfRTSBTXJyLEbQpBNeOmwi",
	})
	ok(err)
	_, err = d.SetLegacySecret(ctx, "alice@example.org", alicesSecret)
	ok(err)
	phone, err = d.AddAppPassword(ctx, "alice@example.org", "phone", []string{"smtp"})
	ok(err)
	return d, phone
}

// TestTheLogSaysWhyAndTheClientIsNotTold: one answer after one time, and the
// reason for the operator alone.
func TestTheLogSaysWhyAndTheClientIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		people, phone := town(t, directory.Options{})
		known := tokens{"stranger": "x@example.net", "disabled": "disabled@example.org"}
		scram := func(name, password string) func(*desk, string) error {
			return func(d *desk, address string) error {
				_, err := scramWith(t, d, from(t, address), name, "", password)
				return err
			}
		}
		user := func(name, password string) func(*desk, string) error {
			return func(d *desk, address string) error {
				_, err := d.Password(from(t, address), name, password)
				return err
			}
		}
		apop := func(name string) func(*desk, string) error {
			return func(d *desk, address string) error {
				_, err := d.Digest(from(t, address), name, func(secret []byte) bool {
					return hmac.Equal(secret, []byte("wrong"))
				})
				return err
			}
		}
		token := func(token string) func(*desk, string) error {
			return func(d *desk, address string) error {
				_, err := talk(t, d, from(t, address), "OAUTHBEARER", "n,,\x01auth=Bearer "+token+"\x01\x01", "\x01")
				return err
			}
		}
		external := func(names ...string) func(*desk, string) error {
			return func(d *desk, address string) error {
				c := from(t, address)
				c.TLS.ClientNames = names
				_, err := talk(t, d, c, "EXTERNAL", "")
				return err
			}
		}
		d := newDesk(t, func(o *Options) { o.Directory, o.Tokens = people, known })
		for i, c := range []struct {
			name string
			try  func(*desk, string) error
			want string
		}{
			{"wrong password", user("alice@example.org", "wrong"), "wrong password"},
			{"unknown name", user("nobody@example.org", "wrong"), "the name is no account's"},
			{"no address", user("alice", "wrong"), "the name is no account's"},
			{"disabled", user("disabled@example.org", alicesPassword), "the account is disabled"},
			{"no password", user("nopassword@example.org", "wrong"), "the account has no password"},
			{"app password elsewhere", user("alice@example.org", phone), `the app password "phone" is not for pop3`},
			{"SCRAM, wrong password", scram("alice@example.org", "wrong"), "wrong password"},
			{"SCRAM, unknown name", scram("nobody@example.org", "wrong"), "the name is no account's"},
			{"SCRAM, disabled", scram("disabled@example.org", alicesPassword), "the account is disabled"},
			{"SCRAM, no keys", scram("imported@example.org", "wrong"), "the account's own password has no keys for SCRAM: a login that sends it makes them"},
			{"SCRAM, app password elsewhere", scram("alice@example.org", phone), `the app password "phone" is not for pop3`},
			{"APOP, wrong secret", apop("alice@example.org"), "wrong secret"},
			{"APOP, no secret", apop("imported@example.org"), "the account has no legacy secret"},
			{"APOP, unknown name", apop("nobody@example.org"), "the name is no account's"},
			{"APOP, disabled", apop("disabled@example.org"), "the account is disabled"},
			{"token of nobody", token("stranger"), "the token's name can't log in: the name is no account's"},
			{"token of a disabled account", token("disabled"), "the token's name can't log in: the account is disabled"},
			{"token that has expired", token("old"), "verify a token: it has expired"},
			{"certificate of nobody", external("x@example.net"), "no name in the certificate can log in: the name is no account's"},
		} {
			begun := time.Now()
			err := c.try(d, fmt.Sprintf("192.0.2.%d", i))
			if err == nil || err.Error() != "log in: denied" {
				t.Errorf("%s: the client's error is %v", c.name, err)
			}
			log := d.Log(LogFilter{})
			e := log[len(log)-1]
			if len(log) != i+1 || e.Reason != c.want || e.Result != Refused {
				t.Errorf("%s: the log of logins has %q, want %q", c.name, e.Reason, c.want)
			}
			if line := d.log.String(); !strings.Contains(line, c.want) && !strings.Contains(line, strings.ReplaceAll(c.want, `"`, `\"`)) {
				t.Errorf("%s: the log is\n%s", c.name, line)
			}
			if took := time.Since(begun) - e.Delay; took != 0 {
				t.Errorf("%s: the answer came %v after its time", c.name, took)
			}
		}
	})
}

// TestCRAMMD5IsOverWhenTheLastSecretIs is a server on which somebody has had a
// legacy secret, and nobody has one now.
func TestCRAMMD5IsOverWhenTheLastSecretIs(t *testing.T) {
	people, _ := town(t, directory.Options{})
	d := newDesk(t, func(o *Options) { o.Directory = people })
	c := from(t, "192.0.2.1")
	inTheClear(c)
	e, err := d.Begin(c, "CRAM-MD5")
	if err != nil {
		t.Fatal(err)
	}
	step, err := e.Respond(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(md5.New, []byte(alicesSecret))
	mac.Write(step.Challenge)
	if _, err := e.Respond(t.Context(), []byte("alice@example.org "+hex.EncodeToString(mac.Sum(nil)))); err != nil {
		t.Errorf("alice, who has a secret: %v", err)
	}
	if err := people.RemoveLegacySecret(t.Context(), "alice@example.org"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(d.Mechanisms(c), " "); got != "SCRAM-SHA-256" || d.DigestOffered(c) {
		t.Errorf("after the last secret: offered %s, APOP %v", got, d.DigestOffered(c))
	}
}
