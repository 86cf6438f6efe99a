package directory

import (
	"strings"
	"testing"
	"unicode/utf8"

	"postrider/internal/fault"
)

// FuzzSCRAMForm: what is read is within the limits and is written as it was, and
// no error repeats its input.
func FuzzSCRAMForm(f *testing.F) {
	k, err := scramSalt{iterations: 4096, salt: "0123456789abcdef"}.derive("pencil")
	if err != nil {
		f.Fatal(err)
	}
	good := k.String()
	f.Add(good)
	f.Add(strings.Replace(good, "4096", "1000001", 1))
	f.Add(strings.ReplaceAll(good, "=", ""))
	f.Add("{SCRAM-SHA-256}4096,MDEyMzQ1Njc4OWFiY2RlZg==,x,y")
	f.Add(strings.NewReplacer("SCRAM-SHA-256$", "{SCRAM-SHA-256}", "$", ",", ":", ",").Replace(good))
	f.Add("SCRAM-SHA-256$:$:")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseSCRAM(text)
		if err == nil && k.String() != text {
			t.Errorf("%q is written as %q", text, k)
		}
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("the error %q repeats its input", err)
		}
		s, err := parseHash(text)
		if err != nil || s.scram == "" {
			return
		}
		k, err = parseSCRAM(s.scram)
		if err != nil {
			t.Fatalf("%q is imported as %q, which gives %v", text, s.scram, err)
		}
		if k.iterations < MinSCRAMIterations || k.iterations > MaxSCRAMIterations || len(k.salt) < minSCRAMSalt || len(k.salt) > maxSaltSize {
			t.Errorf("%q is beyond the limits: %+v", text, k)
		}
	})
}

// FuzzAppPassword: what is read as an app password has its letters only, and is
// read the same with hyphens, spaces and in any case.
func FuzzAppPassword(f *testing.F) {
	for _, s := range []string{"", "abcd-efgh-jkmn-pqrs-tuvw-xyz2", "ABCD EFGH JKMN PQRS TUVW XYZ9", "abcdefghjkmnpqrstuvwxyz2", "abcd-efgh-ijkl-mnop-qrst-uvwx", strings.Repeat("-", 200), "ａbcdefghjkmnpqrstuvwxyz2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		letters, ok := readAppPassword(typed)
		if !ok {
			return
		}
		if len(letters) != appLetters || strings.Trim(letters, appAlphabet) != "" {
			t.Fatalf("%q is read as %q", typed, letters)
		}
		shown := showAppPassword(letters)
		for _, again := range []string{letters, shown, strings.ToUpper(shown), strings.ReplaceAll(shown, "-", " - ")} {
			if got, ok := readAppPassword(again); !ok || got != letters {
				t.Errorf("%q is read as %q, %v, want %q", again, got, ok, letters)
			}
		}
	})
}

// FuzzPassword: a password that is prepared stays so when it is prepared again,
// and is valid and bounded; a login with any name and password costs as many
// hashes as the password has forms.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{"", "   ", "secret", "cafe\u0301", "a\u00a0b", "a\x00", "\xff", "\u0378", "*)(uid=*", strings.Repeat("é", 600)} {
		f.Add("alice@a.test", s)
		f.Add(s, "secret")
	}
	f.Fuzz(func(t *testing.T, name, password string) {
		prepared, err := preparePassword(password)
		if err == nil {
			again, err := preparePassword(prepared)
			if err != nil || again != prepared || !utf8.ValidString(prepared) || len(prepared) > MaxPassword {
				t.Errorf("%q is prepared as %q, and that as %q, %v", password, prepared, again, err)
			}
		}
		h := newHouse(t, Options{SCRAMIterations: -1})
		defer h.giveBack.Stop()
		h.costs("login", int64(len(newAttempt(password).forms)), func() {
			h.fails("login", h.login(name, password), fault.Denied)
		})
	})
}
