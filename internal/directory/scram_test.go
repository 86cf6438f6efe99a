package directory

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// TestKeysAreThoseOfTheExample: RFC 7677 §3.
func TestKeysAreThoseOfTheExample(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	k, err := scramSalt{iterations: 4096, salt: string(salt)}.derive("pencil")
	if err != nil {
		t.Fatal(err)
	}
	const said = "n=user,r=rOprNGfwEbeRWgbNEkqO," +
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096," +
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	if got := base64.StdEncoding.EncodeToString(keyed(k.server, said)); got != "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("the server's signature is %s", got)
	}
	proof, err := base64.StdEncoding.DecodeString("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	if err != nil {
		t.Fatal(err)
	}
	client := make([]byte, sha256.Size)
	for i, b := range keyed(k.stored, said) {
		client[i] = proof[i] ^ b
	}
	if stored := sha256.Sum256(client); !hmac.Equal(stored[:], k.stored) {
		t.Error("the client's proof does not fit the stored key")
	}
	again, err := parseSCRAM(k.String())
	if err != nil || again.String() != k.String() || !again.matches("pencil") || again.matches("pencils") {
		t.Errorf("%s is read as %s, %v", k, again, err)
	}
}

func TestKeysThatCantBeUsedAreRefused(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	good := "SCRAM-SHA-256$4096:" + b64(16) + "$" + b64(32) + ":" + b64(32)
	if _, err := parseSCRAM(good); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"empty":           "",
		"another hash":    strings.Replace(good, "256", "1", 1),
		"few iterations":  strings.Replace(good, "4096", "4095", 1),
		"many iterations": strings.Replace(good, "4096", "1000001", 1),
		"leading zero":    strings.Replace(good, "4096", "04096", 1),
		"sign":            strings.Replace(good, "4096", "+4096", 1),
		"no number":       strings.Replace(good, "4096", "", 1),
		"huge number":     strings.Replace(good, "4096", "99999999999999999999", 1),
		"short salt":      "SCRAM-SHA-256$4096:" + b64(7) + "$" + b64(32) + ":" + b64(32),
		"long salt":       "SCRAM-SHA-256$4096:" + b64(65) + "$" + b64(32) + ":" + b64(32),
		"short key":       "SCRAM-SHA-256$4096:" + b64(16) + "$" + b64(31) + ":" + b64(32),
		"no server key":   "SCRAM-SHA-256$4096:" + b64(16) + "$" + b64(32) + ":",
		"three keys":      good + ":" + b64(32),
		"without padding": strings.ReplaceAll(good, "=", ""),
		"line end":        strings.Replace(good, "AAAA", "AA\nAA", 1),
		"more behind":     good + "$",
		"long":            good + strings.Repeat("A", maxVerifier),
	} {
		if k, err := parseSCRAM(s); err == nil {
			t.Errorf("%s is read as %s", name, k)
		}
	}
}

// scram asks for what a name has, which must be usable or not.
func (h *house) scram(name, protocol string, usable bool) SCRAM {
	h.t.Helper()
	s, err := h.SCRAM(h.ctx, name, protocol)
	h.ok(err)
	if s.Usable != usable || len(s.Keys) == 0 || len(s.Salt) != saltSize || s.Iterations < MinSCRAMIterations || usable != (s.Account.ID != 0) {
		h.t.Fatalf("%s in %s: got %+v, want it usable: %v", name, protocol, s, usable)
	}
	if a := s.Account; a.Password != "" || a.SCRAM != "" {
		h.t.Errorf("the account is shown with its verifiers")
	}
	return s
}

// fits returns the names of the passwords whose keys are the password's.
func (s SCRAM) fits(t *testing.T, password string) string {
	t.Helper()
	k, err := scramSalt{iterations: s.Iterations, salt: string(s.Salt)}.derive(password)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, have := range s.Keys {
		if bytes.Equal(have.Stored, k.stored) && bytes.Equal(have.Server, k.server) {
			names = append(names, "own"+have.AppPassword)
		}
	}
	return strings.Join(names, " ")
}

func TestKeysAreMadeOfEveryPasswordThatBecomesKnown(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("added@a.test", "set@a.test", "raw@a.test")
	h.ok(h.SetPassword(h.ctx, "set@a.test", "cafe\u0301"))
	h.counted(h.imported("plain@a.test:{PLAIN}secret\nhash@a.test:{CRYPT}"+foreign[3].hash+"\n", ImportOptions{}), 2, 0, 0)
	for login, password := range map[string]string{"added@a.test": "secret", "set@a.test": "caf\u00e9", "plain@a.test": "secret"} {
		if got := h.scram(login, "smtp", true).fits(t, password); got != "own" {
			t.Errorf("%s: the keys of %q fit %q", login, password, got)
		}
	}
	h.scram("hash@a.test", "smtp", false)
	h.ok(h.login("hash@a.test", foreign[3].password))
	if got := h.scram("hash@a.test", "smtp", true).fits(t, foreign[3].password); got != "own" {
		t.Errorf("after a login the keys fit %q", got)
	}
	// The verifier is strong, and only the keys are missing.
	h.put("raw@a.test", newArgon2(cheap, "other").String())
	h.ok(h.setSCRAM("raw@a.test", ""))
	h.fails("wrong password", h.login("raw@a.test", "wrong"), fault.Denied)
	h.scram("raw@a.test", "smtp", false)
	h.costs("a login that makes keys", 1, func() { h.ok(h.login("raw@a.test", "other")) })
	h.costs("the next", 0, func() { h.ok(h.login("raw@a.test", "other")) })
	if got := h.scram("raw@a.test", "pop3", true).fits(t, "other"); got != "own" {
		t.Errorf("after a login the keys fit %q", got)
	}
}

// setSCRAM writes keys past the directory.
func (h *house) setSCRAM(address, scram string) error {
	return h.update(h.ctx, "test", address, func(a *store.Account) error {
		a.SCRAM = scram
		return nil
	})
}

func TestKeysOfAFormerPasswordFitNothing(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.SetPassword(h.ctx, "alice@a.test", "other"))
	if s := h.scram("alice@a.test", "smtp", true); s.fits(t, "secret") != "" || s.fits(t, "other") != "own" {
		t.Error("the keys are not those of the new password")
	}
	h.counted(h.imported("alice@a.test,"+foreign[3].hash+"\n", ImportOptions{Update: true}), 0, 1, 0)
	h.scram("alice@a.test", "smtp", false)
}

func TestPasswordsOfAnAccountShareTheSalt(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	own := h.scram("alice@a.test", "smtp", true)
	h.ok(h.SetPassword(h.ctx, "alice@a.test", "second"))
	second := h.scram("alice@a.test", "smtp", true)
	if bytes.Equal(own.Salt, second.Salt) {
		t.Error("a new password without app passwords has the old salt")
	}
	phone, err := h.AddAppPassword(h.ctx, "alice@a.test", "phone", nil)
	h.ok(err)
	h.ok(h.SetPassword(h.ctx, "alice@a.test", "third"))
	tablet, err := h.AddAppPassword(h.ctx, "alice@a.test", "tablet", []string{"pop3"})
	h.ok(err)
	s := h.scram("alice@a.test", "pop3", true)
	if !bytes.Equal(s.Salt, second.Salt) {
		t.Error("a new password beside app passwords has another salt")
	}
	for password, want := range map[string]string{"third": "own", phone: "ownphone", tablet: "owntablet", "second": ""} {
		if got := s.fits(t, password); got != want {
			t.Errorf("the keys of %q fit %q, want %q", password, got, want)
		}
	}
	if got := h.scram("alice@a.test", "smtp", true).fits(t, tablet); got != "" {
		t.Errorf("an app password for pop3 fits %q in smtp", got)
	}
}

func TestPasswordsComeToShareTheSaltAtTheirNextLogin(t *testing.T) {
	h := newHouse(t, Options{CacheTTL: -1})
	h.accounts("alice@a.test")
	phone, err := h.AddAppPassword(h.ctx, "alice@a.test", "phone", nil)
	h.ok(err)
	tablet, err := h.AddAppPassword(h.ctx, "alice@a.test", "tablet", nil)
	h.ok(err)
	foreign, err := h.newSalt().derive("imported")
	h.ok(err)
	h.ok(h.setSCRAM("alice@a.test", foreign.String()))
	s := h.scram("alice@a.test", "smtp", true)
	if s.fits(t, "imported") != "own" || len(s.Keys) != 1 {
		t.Errorf("beside imported keys %d are usable", len(s.Keys))
	}
	h.ok(h.login("alice@a.test", tablet)) // takes the salt of the account's own
	if got := h.scram("alice@a.test", "smtp", true).fits(t, tablet); got != "owntablet" {
		t.Errorf("the keys of the app password fit %q", got)
	}
	h.ok(h.login("alice@a.test", "secret")) // its own takes that of the first app password
	h.ok(h.login("alice@a.test", tablet))
	s = h.scram("alice@a.test", "smtp", true)
	for password, want := range map[string]string{"secret": "own", phone: "ownphone", tablet: "owntablet"} {
		if got := s.fits(t, password); got != want {
			t.Errorf("the keys of %q fit %q, want %q", password, got, want)
		}
	}
}

func TestImportedPasswordSharesTheSaltOfAppPasswords(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	phone := h.app("alice@a.test", "phone")
	h.counted(h.imported("alice@a.test,other\n", ImportOptions{Update: true}), 0, 1, 0)
	s := h.scram("alice@a.test", "smtp", true)
	if s.fits(t, "other") != "own" || s.fits(t, phone) != "ownphone" {
		t.Errorf("there are %d keys", len(s.Keys))
	}
}

// TestKeysAreLeftOutWhenTheirSaltCameTooLate: an app password was made between
// the making of a password's keys and their being kept.
func TestKeysAreLeftOutWhenTheirSaltCameTooLate(t *testing.T) {
	h := newHouse(t, Options{})
	_, err := h.AddAccount(h.ctx, NewAccount{Address: "alice@a.test"})
	h.ok(err)
	before, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	made, err := h.credentials(h.ctx, owner, before, secret{password: "own"})
	h.ok(err)
	phone := h.app("alice@a.test", "phone")
	h.ok(h.update(h.ctx, "test", "alice@a.test", func(a *store.Account) error {
		made.replace(a)
		return nil
	}))
	if s := h.scram("alice@a.test", "smtp", true); s.fits(t, phone) != "ownphone" {
		t.Error("the app password's keys can't be used any more")
	}
	h.ok(h.login("alice@a.test", "own"))
	if s := h.scram("alice@a.test", "smtp", true); s.fits(t, phone) != "ownphone" || s.fits(t, "own") != "own" {
		t.Error("after a login there are not the keys of both")
	}
}

// TestKeysOfARevokedAppPasswordAreNotKept: one of the same name was made while
// the former's owner logged in.
func TestKeysOfARevokedAppPasswordAreNotKept(t *testing.T) {
	h := newHouse(t, Options{SCRAMIterations: -1})
	h.accounts("alice@a.test")
	former := h.app("alice@a.test", "phone")
	before, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	h.o.SCRAMIterations = MinSCRAMIterations
	h.ok(h.RevokeAppPassword(h.ctx, "alice@a.test", "phone"))
	now := h.app("alice@a.test", "phone")
	h.renewApp(h.ctx, before, before.AppPasswords[0], former)
	if s := h.scram("alice@a.test", "smtp", true); s.fits(t, former) != "" || s.fits(t, now) != "ownphone" {
		t.Error("the keys are those of the password that was revoked")
	}
}

func TestMoreIterationsAreMadeAtTheNextLogin(t *testing.T) {
	h := newHouse(t, Options{CacheTTL: -1})
	h.accounts("alice@a.test")
	h.o.SCRAMIterations = 5000
	h.ok(h.login("alice@a.test", "secret"))
	if s := h.scram("alice@a.test", "smtp", true); s.Iterations != 5000 || s.fits(t, "secret") != "own" {
		t.Errorf("the keys have %d iterations", s.Iterations)
	}
	h.o.SCRAMIterations = MinSCRAMIterations
	h.ok(h.login("alice@a.test", "secret"))
	if s := h.scram("alice@a.test", "smtp", true); s.Iterations != 5000 {
		t.Errorf("the keys were made weaker: %d iterations", s.Iterations)
	}
}

func TestDovecotsKeysAreImported(t *testing.T) {
	h := newHouse(t, Options{CacheTTL: -1})
	k, err := scramSalt{iterations: 4096, salt: "0123456789abcdef"}.derive("geheim")
	h.ok(err)
	b64 := base64.StdEncoding.EncodeToString
	line := fmt.Sprintf("alice@a.test:{SCRAM-SHA-256}%d,%s,%s,%s", k.iterations, b64([]byte(k.salt)), b64(k.stored), b64(k.server))
	h.counted(h.imported(line+"\nbob@a.test:{SCRAM-SHA-256}1,x,y,z\n", ImportOptions{}), 1, 0, 0, 2)
	s := h.scram("alice@a.test", "smtp", true)
	if string(s.Salt) != k.salt || s.fits(t, "geheim") != "own" {
		t.Errorf("got %+v", s)
	}
	h.fails("wrong password", h.login("alice@a.test", "secret"), fault.Denied)
	h.ok(h.login("alice@a.test", "geheim"))
	if v := h.verifier("alice@a.test"); !strings.HasPrefix(v, "$argon2id$") {
		t.Errorf("after a login in the clear the verifier is %q", v)
	}
	if s := h.scram("alice@a.test", "smtp", true); string(s.Salt) != k.salt || s.fits(t, "geheim") != "own" {
		t.Error("the login has replaced the keys")
	}
}

func TestSCRAMThatCantBeToldIsAnError(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	for given, want := range map[fault.Kind]fault.Kind{
		fault.Transient: fault.Transient, fault.Corrupt: fault.Corrupt, fault.Denied: fault.Internal,
	} {
		h.st.FailNext(storetest.OpLookup, fault.New(given, "test", nil))
		_, err := h.SCRAM(h.ctx, "alice@a.test", "smtp")
		h.fails("SCRAM", err, want)
		h.st.FailNext(storetest.OpLookup, fault.New(given, "test", nil))
		_, err = h.LoginAccount(h.ctx, "alice@a.test")
		h.fails("LoginAccount", err, want)
		h.st.FailNext(storetest.OpLookup, fault.New(given, "test", nil))
		_, _, err = h.Secret(h.ctx, "alice@a.test")
		h.fails("Secret", err, want)
	}
}
