package directory

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// secretOf returns an account's recoverable secret, "" if it has none that can
// be used.
func (h *house) secretOf(login string) string {
	h.t.Helper()
	secret, account, err := h.Secret(h.ctx, login)
	ok := err == nil
	if !ok && (!fault.Is(err, fault.Denied) || err.Error() != "log in: denied") {
		h.t.Errorf("%s: got error %v, want denied", login, err)
	}
	if ok != (account.ID != 0) || ok != (secret != nil) || account.LegacySecret != nil {
		h.t.Errorf("%s: got %q of %+v, %v", login, secret, account, ok)
	}
	return string(secret)
}

// again is the house after the server has started again.
func (h *house) again() *house {
	h.t.Helper()
	next := *h
	next.Directory = New(h.st, h.o)
	return &next
}

func TestLegacySecretIsKeptSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.key")
	h := newHouse(t, Options{KeyFile: path})
	h.accounts("alice@a.test", "bob@a.test")
	if h.LegacyPossible() {
		t.Error("a secret is possible before there is a key")
	}
	made, err := h.SetLegacySecret(h.ctx, "alice@a.test", "")
	h.ok(err)
	if letters, ok := readAppPassword(made); !ok || showAppPassword(letters) != made {
		t.Errorf("made %q", made)
	}
	given, err := h.SetLegacySecret(h.ctx, "bob@a.test", "cafe\u0301 "+strings.Repeat("x", 500))
	h.ok(err)
	if want := "caf\u00e9 " + strings.Repeat("x", 500); given != want {
		t.Errorf("a secret is kept as %q", given)
	}
	info, err := os.Stat(path)
	h.ok(err)
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key file's mode is %v", info.Mode())
	}
	for _, h := range []*house{h, h.again()} {
		if !h.LegacyPossible() {
			t.Error("with a key no secret is possible")
		}
		if h.secretOf("Alice@a.test") != made || h.secretOf("bob@a.test") != given {
			t.Error("the secrets are not those that were set")
		}
	}
	kept, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	if strings.Contains(string(kept.LegacySecret), made) {
		t.Error("the secret is kept as it is")
	}
	shownAs, err := json.Marshal(kept)
	h.ok(err)
	if strings.Contains(string(shownAs), "egacy") {
		t.Errorf("the account is shown as %s", shownAs)
	}
	// It is no password.
	h.fails("the secret as a password", h.login("alice@a.test", made), fault.Denied)
	if h.scram("alice@a.test", "smtp", true).fits(t, made) != "" {
		t.Error("the secret fits SCRAM")
	}
	h.ok(h.SetPassword(h.ctx, "alice@a.test", "other"))
	if h.secretOf("alice@a.test") != made {
		t.Error("a new password has changed the secret")
	}
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", true))
	for _, login := range []string{"alice@a.test", "nobody@a.test", "carol", ""} {
		if h.secretOf(login) != "" {
			t.Errorf("%q has a secret", login)
		}
	}
	h.ok(h.RemoveLegacySecret(h.ctx, "bob@a.test"))
	if h.secretOf("bob@a.test") != "" {
		t.Error("a secret that was removed is good")
	}
	h.fails("removing again", h.RemoveLegacySecret(h.ctx, "bob@a.test"), fault.NotFound)
}

func TestSealedSecretsAreGoodForTheirAccountOnly(t *testing.T) {
	h := newHouse(t, Options{KeyFile: filepath.Join(t.TempDir(), "key")})
	h.accounts("alice@a.test", "bob@a.test")
	_, err := h.SetLegacySecret(h.ctx, "alice@a.test", "geheim")
	h.ok(err)
	alice, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	for name, sealed := range map[string][]byte{
		"another's":    alice.LegacySecret,
		"empty":        {},
		"one octet":    {sealedForm},
		"another form": append([]byte{9}, alice.LegacySecret[1:]...),
		"cut short":    alice.LegacySecret[:len(alice.LegacySecret)-1],
	} {
		h.ok(h.update(h.ctx, "test", "bob@a.test", func(a *store.Account) error {
			a.LegacySecret = sealed
			return nil
		}))
		if got := h.secretOf("bob@a.test"); got != "" {
			t.Errorf("%s: it is opened as %q", name, got)
		}
	}
	if got := strings.Count(h.log.String(), "legacy secret can't be used"); got != 4 || strings.Contains(h.log.String(), "geheim") {
		t.Errorf("the log says so %d times:\n%s", got, h.log)
	}
}

func TestKeyFileThatCantBeUsed(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(path string) error
		says  string
	}{
		{"gone", os.Remove, "no such file"},
		{"another key", func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("A", 43)+"=\n"), 0o600)
		}, "another key"},
		{"empty", func(path string) error { return os.Truncate(path, 0) }, "it is empty"},
		{"not base64", func(path string) error { return os.WriteFile(path, []byte("geheim!"), 0o600) }, "not 32 octets"},
		{"short key", func(path string) error { return os.WriteFile(path, []byte("Z2VoZWlt\n"), 0o600) }, "not 32 octets"},
		{"long file", func(path string) error { return os.WriteFile(path, make([]byte, 1000), 0o600) }, "longer than"},
		{"a folder", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}, "not a file"},
		{"readable by others", func(path string) error { return os.Chmod(path, 0o640) }, "chmod 600"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("files have no such modes and messages here")
			}
			path := filepath.Join(t.TempDir(), "key")
			h := newHouse(t, Options{KeyFile: path})
			h.accounts("alice@a.test", "bob@a.test")
			_, err := h.SetLegacySecret(h.ctx, "alice@a.test", "geheim")
			h.ok(err)
			right, err := os.ReadFile(path)
			h.ok(err)
			h.ok(row.spoil(path))
			h.log.Reset()
			next := h.again()
			const noneCan = "nobody can log in with a legacy secret"
			if log := h.log.String(); row.name != "another key" && (!strings.Contains(log, noneCan) || !strings.Contains(log, row.says)) {
				t.Errorf("at the start the log says %q", log)
			}
			h.log.Reset()
			if got := next.secretOf("alice@a.test"); got != "" {
				t.Errorf("it is opened as %q", got)
			}
			if log := h.log.String(); !strings.Contains(log, row.says) || !strings.Contains(log, "alice@a.test") || strings.Contains(log, "geheim") {
				t.Errorf("the log says %s", log)
			}
			if row.name != "another key" {
				if next.LegacyPossible() {
					t.Error("a secret is possible")
				}
				_, err = next.SetLegacySecret(h.ctx, "bob@a.test", "")
				h.fails("setting another", err, fault.Invalid)
			}
			if secret, _, err := next.Secret(h.ctx, "bob@a.test"); !fault.Is(err, fault.Denied) || secret != nil {
				t.Errorf("bob has %q, %v", secret, err)
			}
			// With the right file again it goes on, without a new start unless another
			// key was taken.
			h.ok(os.RemoveAll(path))
			h.ok(os.WriteFile(path, right, 0o600))
			if row.name == "another key" {
				next = h.again()
			}
			if next.secretOf("alice@a.test") != "geheim" || !next.LegacyPossible() {
				t.Error("the right file is not used")
			}
		})
	}
}

func TestLegacySecretsThatCantBeSet(t *testing.T) {
	none := newHouse(t, Options{})
	none.accounts("alice@a.test")
	_, err := none.SetLegacySecret(none.ctx, "alice@a.test", "")
	none.fails("without a key file", err, fault.Invalid)

	h := newHouse(t, Options{KeyFile: filepath.Join(t.TempDir(), "no such folder", "key")})
	h.accounts("alice@a.test")
	_, err = h.SetLegacySecret(h.ctx, "alice@a.test", "")
	if err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("in a folder that is not there: %v", err)
	}
	h = newHouse(t, Options{KeyFile: filepath.Join(t.TempDir(), "key")})
	h.accounts("alice@a.test")
	for name, row := range map[string]struct {
		address, secret string
		kind            fault.Kind
	}{
		"unknown":   {"nobody@a.test", "", fault.NotFound},
		"too long":  {"alice@a.test", strings.Repeat("x", MaxPassword+1), fault.Invalid},
		"line end":  {"alice@a.test", "a\r\n", fault.Invalid},
		"no UTF-8":  {"alice@a.test", "\xff", fault.Invalid},
		"malformed": {"alice", "x", fault.Invalid},
	} {
		secret, err := h.SetLegacySecret(h.ctx, row.address, row.secret)
		h.fails(name, err, row.kind)
		if secret != "" {
			t.Errorf("%s: it returns %q", name, secret)
		}
	}
	if h.LegacyPossible() {
		t.Error("a key was made for nobody")
	}
}

func TestKeyFileIsMadeOnceByMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	h := newHouse(t, Options{KeyFile: path})
	h.accounts("alice@a.test", "bob@a.test")
	other := h.again()
	var wg sync.WaitGroup
	for _, d := range []*house{h, h, h, other, other, other} {
		wg.Go(func() {
			// Between another process's making the file and writing it, it is empty.
			if _, err := d.keys.create(); err != nil && !strings.Contains(err.Error(), "it is empty") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := h.SetLegacySecret(h.ctx, "alice@a.test", "geheim")
	h.ok(err)
	if other.secretOf("alice@a.test") != "geheim" {
		t.Error("two processes have two keys")
	}
}
