package sasl

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	xdg "github.com/xdg-go/scram"

	"postrider/internal/fault"
)

var b64 = base64.StdEncoding.EncodeToString

// TestScramVector is the example of RFC 7677 §3.
func TestScramVector(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v := &fakeVerifier{name: "user", salt: string(salt), iter: 4096, keys: []Keys{DeriveKeys("pencil", salt, 4096)}}
	e := &exchange{
		name: "SCRAM-SHA-256",
		next: newSCRAM(v, Channel{}, false, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
	}
	challenges, last, err := converse(t, e,
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "")
	want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096\n" +
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	if got := strings.Join(challenges, "\n"); got != want || err != nil || !last.Done {
		t.Errorf("got challenges %q, done %t, %v; want %q", got, last.Done, err, want)
	}
}

// TestScramWithAnotherClient speaks with an independent client, with and without
// channel binding.
func TestScramWithAnotherClient(t *testing.T) {
	type conversation = xdg.ClientConversation
	bound := func(kind xdg.ChannelBindingType, data string) func(*xdg.Client) *conversation {
		return func(c *xdg.Client) *conversation {
			return c.NewConversationWithChannelBinding(xdg.ChannelBinding{Type: kind, Data: []byte(data)})
		}
	}
	exporter := bound(xdg.ChannelBindingTLSExporter, "binding of tls-exporter")
	noPlus := Channel{Hostname: "mail.example.test"}
	for _, row := range []struct {
		name, mechanism, user, password, as string
		ch                                  Channel
		begin                               func(*xdg.Client) *conversation
		want                                fault.Kind // Internal: it succeeds
	}{
		{"flag n", "SCRAM-SHA-256", fakeName, fakePassword, "", fakeChannel, (*xdg.Client).NewConversation, 0},
		{"as itself", "SCRAM-SHA-256", fakeName, fakePassword, fakeName, noPlus, (*xdg.Client).NewConversation, 0},
		{"flag y", "SCRAM-SHA-256", fakeName, fakePassword, "", noPlus, (*xdg.Client).NewConversationAdvertisingChannelBinding, 0},
		{"tls-exporter", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", fakeChannel, exporter, 0},
		{
			"tls-server-end-point", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", fakeChannel,
			bound(xdg.ChannelBindingTLSServerEndpoint, "binding of tls-server-end-point"), 0,
		},
		{"other key of the name", "SCRAM-SHA-256", fakeName, "another app password", "", noPlus, (*xdg.Client).NewConversation, 0},
		{"wrong password", "SCRAM-SHA-256", fakeName, "wrong", "", noPlus, (*xdg.Client).NewConversation, fault.Denied},
		{"unknown name", "SCRAM-SHA-256", "mallory,=", fakePassword, "", noPlus, (*xdg.Client).NewConversation, fault.Denied},
		{"as another", "SCRAM-SHA-256", fakeName, fakePassword, "bob", noPlus, (*xdg.Client).NewConversation, fault.Denied},
		{"flag y where PLUS was offered", "SCRAM-SHA-256", fakeName, fakePassword, "", fakeChannel, (*xdg.Client).NewConversationAdvertisingChannelBinding, fault.Invalid},
		{
			"channel binding from another connection", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", fakeChannel,
			bound(xdg.ChannelBindingTLSExporter, "binding of tls-exported"), fault.Invalid,
		},
		{
			"data of one kind under the name of another", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", fakeChannel,
			bound(xdg.ChannelBindingTLSServerEndpoint, "binding of tls-exporter"), fault.Invalid,
		},
		{"tls-unique", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", fakeChannel, bound(xdg.ChannelBindingTLSUnique, "x"), fault.Invalid},
		{"PLUS without channel binding", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", fakeChannel, (*xdg.Client).NewConversation, fault.Invalid},
		{"channel binding without PLUS", "SCRAM-SHA-256", fakeName, fakePassword, "", fakeChannel, exporter, fault.Invalid},
		{"PLUS on a connection without TLS", "SCRAM-SHA-256-PLUS", fakeName, fakePassword, "", noPlus, exporter, fault.Invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			client, err := xdg.SHA256.NewClientUnprepped(row.user, row.password, row.as)
			if err != nil {
				t.Fatal(err)
			}
			v := newFake()
			c := row.begin(client)
			step, err := speak(t, c, New(row.mechanism, v, row.ch))
			if row.want == 0 {
				if err != nil || !step.Done || !c.Valid() || v.calls != 1 {
					t.Errorf("got %+v, %v, %d calls, the client content %t", step, err, v.calls, c.Valid())
				}
				if v.claim != (Claim{Name: row.user, As: row.as}) {
					t.Errorf("got claim %+v", v.claim)
				}
				return
			}
			if !fault.Is(err, row.want) || c.Valid() {
				t.Errorf("got %v, the client content %t, want kind %v", err, c.Valid(), row.want)
			}
			if denied := row.want == fault.Denied; (v.calls == 1) != denied {
				t.Errorf("the verifier was asked %d times", v.calls)
			}
		})
	}
}

// speak lets a client speak with an exchange to the end of both.
func speak(t *testing.T, c *xdg.ClientConversation, e Exchange) (step Step, err error) {
	t.Helper()
	for range 3 {
		message, err := c.Step(string(step.Challenge))
		if err != nil {
			t.Fatalf("the client says: %v", err)
		}
		if step, err = e.Respond(t.Context(), []byte(message)); err != nil || step.Done {
			checkOver(t, e)
			return step, err
		}
	}
	return step, nil
}

func TestScramFirstMessage(t *testing.T) {
	var rows []row
	for name, message := range map[string]string{
		"empty":                     "",
		"header alone":              "n,,",
		"half a header":             "n,",
		"no flag":                   ",,n=a,r=b",
		"unknown flag":              "x,,n=a,r=b",
		"flag in upper case":        "N,,n=a,r=b",
		"binding without a name":    "p=,,n=a,r=b",
		"binding with an odd name":  "p=tls_x,,n=a,r=b",
		"identity without a=":       "n,bob,n=a,r=b",
		"empty identity":            "n,a=,n=a,r=b",
		"no name":                   "n,,r=b",
		"empty name":                "n,,n=,r=b",
		"order":                     "n,,r=b,n=a",
		"no nonce":                  "n,,n=a",
		"empty nonce":               "n,,n=a,r=",
		"nonce with a space":        "n,,n=a,r=b c",
		"nonce not ASCII":           "n,,n=a,r=b\u00e9",
		"mandatory extension":       "n,,m=x,n=a,r=b",
		"mandatory behind":          "n,,n=a,r=b,m=x",
		"equals sign in the name":   "n,,n=a=b,r=b",
		"equals sign at the end":    "n,,n=a=,r=b",
		"escape in lower case":      "n,,n=a=2c,r=b",
		"escape in the identity":    "n,a=a=2,n=a,r=b",
		"NUL in the name":           "n,,n=a\x00,r=b",
		"name not UTF-8":            "n,,n=\xff,r=b",
		"identity not UTF-8":        "n,a=\xff,n=a,r=b",
		"extension without a value": "n,,n=a,r=b,x=",
		"extension without =":       "n,,n=a,r=b,x",
		"extension with two names":  "n,,n=a,r=b,xy=z",
		"extension not UTF-8":       "n,,n=a,r=b,x=\xff",
		"extension with NUL":        "n,,n=a,r=b,x=\x00",
		"name twice":                "n,,n=a,r=b,n=c",
		"comma at the end":          "n,,n=a,r=b,",
		"PLAIN":                     "\x00" + fakeName + "\x00" + fakePassword,
	} {
		rows = append(rows, row{name, []string{message}, fault.Invalid, 0})
	}
	run(t, "SCRAM-SHA-256", fakeChannel, rows)
}

// final makes a right client-final-message, in which change may change parts.
func final(first, challenge string, change func(m map[byte]string)) string {
	header, bare, _ := parseGS2(first)
	m := map[byte]string{'c': b64([]byte(header.text)), 'r': challenge[2:strings.Index(challenge, ",")]}
	if change != nil {
		change(m)
	}
	without := "c=" + m['c'] + ",r=" + m['r'] + m['x']
	if p, ok := m['p']; ok {
		return without + p
	}
	return without + ",p=" + b64(prove(bare+","+challenge+","+without))
}

// prove makes alice's proof as a client does (RFC 5802 §3).
func prove(authMessage string) []byte {
	key := mac(saltedPassword(), []byte("Client Key"))
	signature := mac(fakeKeys[1].Stored, []byte(authMessage))
	for i := range key {
		key[i] ^= signature[i]
	}
	return key
}

func TestScramFinalMessage(t *testing.T) {
	const first = "n,,n=" + fakeName + ",r=clientnonce"
	for _, row := range []struct {
		name   string
		change func(m map[byte]string)
		want   fault.Kind // Internal: it succeeds
	}{
		{"right", nil, 0},
		{"extension", func(m map[byte]string) { m['x'] = ",x=y" }, 0},
		{"nonce of another exchange", func(m map[byte]string) { m['r'] = "clientnonce" + newNonce() }, fault.Invalid},
		{"the client's nonce alone", func(m map[byte]string) { m['r'] = "clientnonce" }, fault.Invalid},
		{"nonce cut", func(m map[byte]string) { m['r'] = m['r'][:len(m['r'])-1] }, fault.Invalid},
		{"nonce longer", func(m map[byte]string) { m['r'] += "x" }, fault.Invalid},
		{"other header", func(m map[byte]string) { m['c'] = b64([]byte("y,,")) }, fault.Invalid},
		{"header with data", func(m map[byte]string) { m['c'] = b64([]byte("n,,data")) }, fault.Invalid},
		{"no header", func(m map[byte]string) { m['c'] = "" }, fault.Invalid},
		{"base64 of the header without end", func(m map[byte]string) { m['c'] = "biw" }, fault.Invalid},
		{"base64 with a line end", func(m map[byte]string) { m['c'] = "bi\r\nws" }, fault.Invalid},
		{"no proof", func(m map[byte]string) { m['p'] = "" }, fault.Invalid},
		{"empty proof", func(m map[byte]string) { m['p'] = ",p=" }, fault.Invalid},
		{"short proof", func(m map[byte]string) { m['p'] = ",p=" + b64(make([]byte, 31)) }, fault.Invalid},
		{"long proof", func(m map[byte]string) { m['p'] = ",p=" + b64(make([]byte, 33)) }, fault.Invalid},
		{"zero proof", func(m map[byte]string) { m['p'] = ",p=" + b64(make([]byte, 32)) }, fault.Denied},
		{"proof not base64", func(m map[byte]string) { m['p'] = ",p=" + strings.Repeat("*", 44) }, fault.Invalid},
		{"something behind the proof", func(m map[byte]string) { m['p'] = ",p=" + b64(make([]byte, 32)) + ",x=y" }, fault.Invalid},
		{"mandatory extension", func(m map[byte]string) { m['x'] = ",m=y" }, fault.Invalid},
		{"nonce twice", func(m map[byte]string) { m['x'] = ",r=y" }, fault.Invalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newFake()
			e := New("SCRAM-SHA-256", v, fakeChannel)
			challenges, _, err := converse(t, e, first)
			if err != nil {
				t.Fatal(err)
			}
			_, last, err := converse(t, e, final(first, challenges[0], row.change), "")
			if ok := row.want == 0; ok != last.Done || !ok && !fault.Is(err, row.want) {
				t.Errorf("got done %t and %v, want kind %v", last.Done, err, row.want)
			}
			if asked := row.want == 0 || row.want == fault.Denied; asked != (v.calls == 1) {
				t.Errorf("the verifier was asked %d times", v.calls)
			}
		})
	}
}

// TestScramTruncated cuts a right last message at every octet.
func TestScramTruncated(t *testing.T) {
	const first = "n,,n=" + fakeName + ",r=clientnonce"
	v := newFake()
	e := New("SCRAM-SHA-256", v, fakeChannel)
	challenges, _, _ := converse(t, e, first)
	whole := final(first, challenges[0], nil)
	after := e.(*exchange).next
	for n := range len(whole) {
		e := &exchange{name: "SCRAM-SHA-256", next: after}
		if _, last, err := converse(t, e, whole[:n], ""); !fault.Is(err, fault.Invalid) || last.Done {
			t.Errorf("%d octets: got done %t and %v, want kind invalid", n, last.Done, err)
		}
	}
	if v.calls != 0 {
		t.Errorf("the verifier was asked %d times", v.calls)
	}
}

func TestScramLastMessageIsEmpty(t *testing.T) {
	const first = "n,,n=" + fakeName + ",r=clientnonce"
	for last, want := range map[string]bool{"": true, none: true, "x": false} {
		e := New("SCRAM-SHA-256", newFake(), fakeChannel)
		challenges, _, _ := converse(t, e, first)
		_, step, err := converse(t, e, final(first, challenges[0], nil), last)
		if step.Done != want || !want && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got done %t and %v, want done %t", last, step.Done, err, want)
		}
	}
}

// TestScramTrustsNoVerifierWithoutAProof: whoever says yes without a fitting key
// gets nobody in.
func TestScramTrustsNoVerifierWithoutAProof(t *testing.T) {
	const first = "n,,n=" + fakeName + ",r=clientnonce"
	e := New("SCRAM-SHA-256", credulous{newFake()}, fakeChannel)
	challenges, _, _ := converse(t, e, first)
	_, last, err := converse(t, e, final(first, challenges[0], func(m map[byte]string) { m['p'] = ",p=" + b64(make([]byte, 32)) }), "")
	if !fault.Is(err, fault.Denied) || last.Done {
		t.Errorf("got done %t and %v, want kind denied", last.Done, err)
	}
}

func TestScramNoncesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		got, _, _ := converse(t, New("SCRAM-SHA-256", newFake(), fakeChannel), "n,,n=a,r=b")
		nonce, _, _ := strings.Cut(got[0], ",")
		if random, ok := decode(strings.TrimPrefix(nonce, "r=b")); !ok || len(random) < 18 || seen[nonce] {
			t.Fatalf("got nonce %q", nonce)
		}
		seen[nonce] = true
	}
}

func TestSaslNames(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"a=2Cb=3Dc", "a,b=c"},
		{"=3D2C", "=2C"},
		{"jürgen@example.test", "jürgen@example.test"},
	} {
		if got, err := parseSASLName(row.text); err != nil || got != row.want {
			t.Errorf("%q: got %q and %v, want %q", row.text, got, err, row.want)
		}
	}
}

func TestDeriveKeysOfNothing(t *testing.T) {
	if k := DeriveKeys("x", []byte("salt"), 0); k.Stored != nil || k.Server != nil {
		t.Errorf("got %v", k)
	}
	if a, b := DeriveKeys("x", []byte("salt"), 1), DeriveKeys("y", []byte("salt"), 1); bytes.Equal(a.Stored, b.Stored) {
		t.Error("two passwords have one key")
	}
}
