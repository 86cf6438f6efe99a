package sasl

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"

	"postrider/internal/fault"
)

// answer answers a CRAM-MD5 challenge.
func answer(challenge, secret string) string {
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write([]byte(challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

// TestCramMD5Vector is the example of RFC 2195 §2.
func TestCramMD5Vector(t *testing.T) {
	const challenge = "<1896.697170952@postoffice.reston.mci.net>"
	if got, want := answer(challenge, "tanstaaftanstaaf"), "b913a602c7eda7a495b4e6e7334d3890"; got != want {
		t.Fatalf("got digest %s, want %s", got, want)
	}
	v := newFake()
	e := &exchange{name: "CRAM-MD5", next: cramMD5With(v, []byte(challenge))}
	_, last, err := converse(t, e, none, fakeName+" "+answer(challenge, fakePassword))
	if err != nil || !last.Done || v.calls != 1 {
		t.Errorf("got %+v, %v and %d calls, want a login", last, err, v.calls)
	}
}

func TestCramMD5(t *testing.T) {
	zeros := strings.Repeat("0", 32)
	run(t, "CRAM-MD5", fakeChannel, []row{
		{"wrong digest", []string{none, fakeName + " " + zeros}, fault.Denied, 1},
		{"name with spaces", []string{none, "a b  c " + zeros}, fault.Denied, 1},
		{"initial response", []string{fakeName + " " + zeros}, fault.Invalid, 0},
		{"empty initial response", []string{""}, fault.Invalid, 0},
		{"empty", []string{none, ""}, fault.Invalid, 0},
		{"no answer", []string{none, none}, fault.Invalid, 0},
		{"no name", []string{none, zeros}, fault.Invalid, 0},
		{"empty name", []string{none, " " + zeros}, fault.Invalid, 0},
		{"31 digits", []string{none, "a " + zeros[1:]}, fault.Invalid, 0},
		{"33 digits", []string{none, "a 0" + zeros}, fault.Invalid, 0},
		{"upper case", []string{none, "a " + strings.Repeat("A", 32)}, fault.Invalid, 0},
		{"no digits", []string{none, "a " + strings.Repeat("g", 32)}, fault.Invalid, 0},
		{"space behind", []string{none, "a " + zeros + " "}, fault.Invalid, 0},
		{"name not UTF-8", []string{none, "\xff " + zeros}, fault.Invalid, 0},
		{"NUL in the name", []string{none, "a\x00 " + zeros}, fault.Invalid, 0},
	})
}

func TestCramMD5NeverChallengesTwiceAlike(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		got, _, _ := converse(t, New("CRAM-MD5", newFake(), fakeChannel), none)
		if !strings.HasPrefix(got[0], "<") || !strings.HasSuffix(got[0], "@mail.example.test>") || seen[got[0]] {
			t.Fatalf("got challenge %q", got[0])
		}
		seen[got[0]] = true
	}
}

// TestAPOPVector is the example of RFC 1939 §7.
func TestAPOPVector(t *testing.T) {
	const timestamp, digest = "<1896.697170952@dbc.mtview.ca.us>", "c4c9334bac560ecc979e58001b3e22fb"
	for _, row := range []struct {
		name, digest, secret string
		want                 bool
	}{
		{"the example", digest, "tanstaaf", true},
		{"other secret", digest, "tanstaag", false},
		{"no secret", digest, "", false},
	} {
		if got := APOP(timestamp, row.digest)([]byte(row.secret)); got != row.want {
			t.Errorf("%s: got %t, want %t", row.name, got, row.want)
		}
	}
	for _, digest := range []string{"", digest[1:], digest + "0", strings.ToUpper(digest), "g" + digest[1:]} {
		if APOP(timestamp, digest) != nil {
			t.Errorf("%q is taken for a digest", digest)
		}
	}
}
