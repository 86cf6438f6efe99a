package directory

import (
	"strings"
	"testing"
)

// foreign are hashes that other programs made, with their passwords.
var foreign = []struct{ name, hash, password string }{
	{"argon2id", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
	{"argon2i", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8", "password"},
	{"bcrypt 2a", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"bcrypt 2b", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret"},
	{"bcrypt 2y, 100 octets", "$2y$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", strings.Repeat("x", 100)},
	{"SHA-512", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!"},
	{"SHA-512 with rounds", "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "Hello world!"},
	{"SHA-512, 200 octets", "$6$rounds=1000$abcdefgh$WyHuZSrkB4.Tk2TNgSOYpo.DuNw3vark98ilCJBjosAo8FSwjG3gr5AunlAHN5PiWK3cgWuRkfLUu23QzIsek.", strings.Repeat("p", 200)},
}

func TestForeignHashesAreVerified(t *testing.T) {
	for _, row := range foreign {
		t.Run(row.name, func(t *testing.T) {
			v, err := parseVerifier(row.hash)
			if err != nil {
				t.Fatal(err)
			}
			if !v.matches(row.password) {
				t.Errorf("%s does not match", row.hash)
			}
			for _, wrong := range []string{"", row.password + "x", strings.ToUpper(row.password) + "?", row.password[1:] + "y"} {
				if strings.HasPrefix(row.hash, "$2") && len(wrong) > 72 {
					continue // bcrypt reads 72 octets
				}
				if v.matches(wrong) {
					t.Errorf("%s matches %.20q", row.hash, wrong)
				}
			}
			if v.goodEnough(DefaultArgon2) {
				t.Errorf("%s is good enough", row.hash)
			}
		})
	}
}

func TestOwnHashIsGoodEnoughUntilTheCostsRise(t *testing.T) {
	made := newArgon2(cheap, "secret")
	v, err := parseVerifier(made.String())
	if err != nil {
		t.Fatal(err)
	}
	if !v.matches("secret") || v.matches("Secret") {
		t.Error("a fresh hash does not tell right from wrong")
	}
	dearer := cheap
	dearer.Time++
	if !v.goodEnough(cheap) || v.goodEnough(dearer) {
		t.Errorf("good enough for %+v: %v, for %+v: %v; want true, false", cheap, v.goodEnough(cheap), dearer, v.goodEnough(dearer))
	}
	if again := newArgon2(cheap, "secret"); again.String() == made.String() {
		t.Error("two hashes have one salt")
	}
}

func TestDecoyMatchesNothing(t *testing.T) {
	for _, password := range []string{"", "secret", string(make([]byte, 32))} {
		if decoy(cheap).matches(password) {
			t.Errorf("the decoy matches %q", password)
		}
	}
}

// badHashes are refused without being computed.
var badHashes = map[string]string{
	"empty":                 "",
	"plain":                 "secret",
	"DES":                   "rl.3StKT.4T8M",
	"MD5":                   "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
	"SHA-256":               "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
	"argon2d":               "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 old version":    "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 no version":     "$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 4 GiB":          "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 2^32 KiB":       "$argon2id$v=19$m=4294967296,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 2^64+64 KiB":    "$argon2id$v=19$m=18446744073709551680,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 many passes":    "$argon2id$v=19$m=64,t=1000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 both high":      "$argon2id$v=19$m=262144,t=32,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 257 lanes":      "$argon2id$v=19$m=65536,t=1,p=257$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 no lane":        "$argon2id$v=19$m=64,t=1,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 no pass":        "$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 no memory":      "$argon2id$v=19$m=7,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 negative":       "$argon2id$v=19$m=-64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 key id":         "$argon2id$v=19$m=64,t=1,p=1,keyid=x$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 short salt":     "$argon2id$v=19$m=64,t=1,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"argon2 short key":      "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFh",
	"argon2 no key":         "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$",
	"argon2 line end":       "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc\n",
	"argon2 long":           "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 1000),
	"bcrypt cost 31":        "$2y$31$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
	"bcrypt cost 16":        "$2y$16$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
	"bcrypt cost 3":         "$2y$03$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
	"bcrypt 2x":             "$2x$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
	"bcrypt short":          "$2y$05$abcdefghijklmnopqrstuu",
	"bcrypt other alphabet": "$2y$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg+.AySBTTZIIVFJeBu~",
	"SHA-512 10^9 rounds":   "$6$rounds=1000000000$saltstring$" + strings.Repeat("a", 86),
	"SHA-512 2^64 rounds":   "$6$rounds=18446744073709551616$saltstring$" + strings.Repeat("a", 86),
	"SHA-512 10 rounds":     "$6$rounds=10$saltstring$" + strings.Repeat("a", 86),
	"SHA-512 no salt":       "$6$" + strings.Repeat("a", 86),
	"SHA-512 no key":        "$6$saltstring$",
	"SHA-512 nothing":       "$6$",
	"SHA-512 rounds only":   "$6$rounds=5000",
	"SHA-512 long salt":     "$6$saltstringsaltstr$" + strings.Repeat("a", 86),
}

func TestHashesThatCantBeRunAreRefused(t *testing.T) {
	for name, hash := range badHashes {
		t.Run(name, func(t *testing.T) {
			v, err := parseVerifier(hash)
			if err == nil {
				t.Fatalf("%q gives %+v, want an error", hash, v)
			}
			if len(hash) > 5 && strings.Contains(err.Error(), hash[len(hash)-5:]) {
				t.Errorf("the error %q repeats the hash", err)
			}
		})
	}
}

func TestSchemesNameWhatTheHashMustBe(t *testing.T) {
	argon2id, argon2i, bcrypt, sha := foreign[0].hash, foreign[1].hash, foreign[2].hash, foreign[5].hash
	for _, row := range []struct {
		in   string
		want secret
		ok   bool
	}{
		{"{ARGON2ID}" + argon2id, secret{hash: argon2id}, true},
		{"{argon2id}" + argon2id, secret{hash: argon2id}, true},
		{"{ARGON2I}" + argon2i, secret{hash: argon2i}, true},
		{"{BLF-CRYPT}" + bcrypt, secret{hash: bcrypt}, true},
		{"{SHA512-CRYPT}" + sha, secret{hash: sha}, true},
		{"{CRYPT}" + sha, secret{hash: sha}, true},
		{"{CRYPT}" + bcrypt, secret{hash: bcrypt}, true},
		{argon2id, secret{hash: argon2id}, true},
		{"{PLAIN}pass}word", secret{password: "pass}word"}, true},
		{"{PLAIN}", secret{}, false},
		{"{PLAIN}a\x00b", secret{}, false},
		{"{ARGON2I}" + argon2id, secret{}, false},
		{"{SHA512-CRYPT}" + bcrypt, secret{}, false},
		{"{CRYPT}rl.3StKT.4T8M", secret{}, false},
		{"{MD5-CRYPT}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", secret{}, false},
		{"{SSHA}x", secret{}, false},
		{"{", secret{}, false},
		{"{}", secret{}, false},
	} {
		got, err := parseHash(row.in)
		if (err == nil) != row.ok || row.ok && got != row.want {
			t.Errorf("%q: got %+v, %v; want %+v, ok %v", row.in, got, err, row.want, row.ok)
		}
	}
}
