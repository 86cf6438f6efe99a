package sasl

import (
	"slices"
	"strings"
	"testing"

	"postrider/internal/fault"
)

func TestPlain(t *testing.T) {
	const good = "\x00" + fakeName + "\x00" + fakePassword
	alice := Claim{Name: fakeName}
	run(t, "PLAIN", fakeChannel, []row{
		{"initial response", []string{good}, alice, 1},
		{"asked for", []string{none, good}, alice, 1},
		{"as itself", []string{fakeName + good}, Claim{Name: fakeName, As: fakeName}, 1},
		{"as another", []string{"bob@example.test" + good}, fault.Denied, 1},
		{"wrong password", []string{"\x00" + fakeName + "\x00wrong"}, fault.Denied, 1},
		{"unknown name", []string{"\x00mallory\x00" + fakePassword}, fault.Denied, 1},
		{"password of 1 kB", []string{"\x00" + fakeName + "\x00" + strings.Repeat("p", 1024)}, fault.Denied, 1},
		{"password of spaces", []string{"\x00" + fakeName + "\x00   "}, fault.Denied, 1},
		{"LDAP in the name", []string{"\x00*)(uid=*\x00x"}, fault.Denied, 1},
		{"SQL in the name", []string{"\x00a' OR '1'='1\x00x"}, fault.Denied, 1},
		{"controls in the name", []string{"\x00a\x01\r\nb\x00x"}, fault.Denied, 1},
		{"empty", []string{""}, fault.Invalid, 0},
		{"asked for and none", []string{none, none}, fault.Invalid, 0},
		{"no NUL", []string{fakeName}, fault.Invalid, 0},
		{"one NUL", []string{fakeName + "\x00" + fakePassword}, fault.Invalid, 0},
		{"three NULs", []string{good + "\x00"}, fault.Invalid, 0},
		{"only NULs", []string{"\x00\x00"}, fault.Invalid, 0},
		{"empty name", []string{"\x00\x00" + fakePassword}, fault.Invalid, 0},
		{"empty password", []string{"\x00" + fakeName + "\x00"}, fault.Invalid, 0},
		{"name not UTF-8", []string{"\x00\xff\x00x"}, fault.Invalid, 0},
		{"password not UTF-8", []string{"\x00a\x00\xc3"}, fault.Invalid, 0},
		{"identity not UTF-8", []string{"\xff" + good}, fault.Invalid, 0},
	})
}

func TestLogin(t *testing.T) {
	alice := Claim{Name: fakeName}
	run(t, "LOGIN", fakeChannel, []row{
		{"name asked for", []string{none, fakeName, fakePassword}, alice, 1},
		{"name in the initial response", []string{fakeName, fakePassword}, alice, 1},
		{"wrong password", []string{none, fakeName, "wrong"}, fault.Denied, 1},
		{"empty initial response", []string{""}, fault.Invalid, 0},
		{"empty name", []string{none, ""}, fault.Invalid, 0},
		{"no name", []string{none, none}, fault.Invalid, 0},
		{"empty password", []string{none, fakeName, ""}, fault.Invalid, 0},
		{"NUL in the name", []string{none, "a\x00b"}, fault.Invalid, 0},
		{"NUL in the password", []string{none, fakeName, "a\x00b"}, fault.Invalid, 0},
		{"name not UTF-8", []string{"\xff"}, fault.Invalid, 0},
		{"password not UTF-8", []string{fakeName, "\xff"}, fault.Invalid, 0},
	})
	challenges, _, _ := converse(t, New("LOGIN", newFake(), fakeChannel), none, fakeName, fakePassword)
	if want := []string{"Username:", "Password:"}; !slices.Equal(challenges, want) {
		t.Errorf("got challenges %q, want %q", challenges, want)
	}
}

func TestExternal(t *testing.T) {
	run(t, "EXTERNAL", fakeChannel, []row{
		{"empty", []string{""}, Claim{}, 1},
		{"asked for, empty", []string{none, ""}, Claim{}, 1},
		{"as itself", []string{fakeName}, Claim{As: fakeName}, 1},
		{"as another", []string{"bob@example.test"}, fault.Denied, 1},
		{"NUL", []string{"a\x00"}, fault.Invalid, 0},
		{"not UTF-8", []string{"\xff"}, fault.Invalid, 0},
	})
}

// TestOAuthBearer has the examples of RFC 7628 §4 among its rows.
func TestOAuthBearer(t *testing.T) {
	const end = "\x01auth=Bearer " + fakeToken + "\x01\x01"
	run(t, "OAUTHBEARER", fakeChannel, []row{
		{"section 4.1", []string{"n,a=" + fakeName + ",\x01host=server.example.test\x01port=143" + end}, Claim{As: fakeName}, 1},
		{"asked for", []string{none, "n,," + end}, Claim{}, 1},
		{"flag y", []string{"y,," + end}, Claim{}, 1},
		{"scheme in lower case", []string{"n,,\x01auth=bearer " + fakeToken + "\x01\x01"}, Claim{}, 1},
		{"keys that are unknown", []string{"n,,\x01qs=a=b\x01post=\t\r\n" + end}, Claim{}, 1},
		{"wrong token", []string{"n,,\x01auth=Bearer wrong\x01\x01", "\x01"}, fault.Denied, 1},
		{"wrong token, other answer", []string{"n,,\x01auth=Bearer wrong\x01\x01", "n,," + end}, fault.Denied, 1},
		{"as another", []string{"n,a=bob@example.test," + end, "\x01"}, fault.Denied, 1},
		{"section 4.3, no token", []string{"n,a=" + fakeName + ",\x01host=h\x01port=143\x01auth=\x01\x01", "\x01"}, fault.Denied, 0},
		{"only a separator", []string{"\x01"}, fault.Invalid, 0},
		{"empty", []string{""}, fault.Invalid, 0},
		{"header alone", []string{"n,,"}, fault.Invalid, 0},
		{"channel binding", []string{"p=tls-exporter,," + end}, fault.Invalid, 0},
		{"no pairs", []string{"n,,\x01\x01"}, fault.Invalid, 0},
		{"one separator", []string{"n,,\x01"}, fault.Invalid, 0},
		{"no last separator", []string{"n,,\x01auth=Bearer x\x01"}, fault.Invalid, 0},
		{"behind the last separator", []string{"n,," + end + "x"}, fault.Invalid, 0},
		{"no equals sign", []string{"n,,\x01auth\x01\x01"}, fault.Invalid, 0},
		{"key with a digit", []string{"n,,\x01a1=x" + end}, fault.Invalid, 0},
		{"value with NUL", []string{"n,,\x01host=\x00" + end}, fault.Invalid, 0},
		{"auth twice", []string{"n,,\x01auth=Bearer x" + end}, fault.Invalid, 0},
		{"other scheme", []string{"n,,\x01auth=Basic x\x01\x01"}, fault.Invalid, 0},
		{"scheme alone", []string{"n,,\x01auth=Bearer \x01\x01"}, fault.Invalid, 0},
		{"padding alone", []string{"n,,\x01auth=Bearer ==\x01\x01"}, fault.Invalid, 0},
		{"token with a space", []string{"n,,\x01auth=Bearer a b\x01\x01"}, fault.Invalid, 0},
		{"empty identity", []string{"n,a=," + end}, fault.Invalid, 0},
	})
	challenges, _, _ := converse(t, New("OAUTHBEARER", newFake(), fakeChannel), "n,,\x01auth=Bearer wrong\x01\x01", "\x01")
	if len(challenges) != 1 || challenges[0] != `{"status":"invalid_token","schemes":"bearer"}` {
		t.Errorf("got challenges %q", challenges)
	}
}
