package login

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"alice@example.org", "ＡＬＩＣＥ@example.org", `"a b"@example.org`, "P@ssw0rd", "*)(uid=*", "a' OR '1'='1",
		strings.Repeat("\u202e", 50) + "@x.example",
		"\x00", "\xff\xfe@example.org", "a\u0301@example.org", strings.Repeat("é", 100) + "@example.org", "\u202e@x.example",
	} {
		f.Add(s)
	}
	d := New(Options{Directory: newPeople()})
	f.Fuzz(func(t *testing.T, name string) {
		key := accountKey(name)
		if len(key) > 1000 {
			t.Errorf("the key of %q has %d octets", name, len(key))
		}
		if !strings.HasPrefix(key, "\x00") && keyOf(key) != key {
			t.Errorf("the key of %q is %q, whose key is %q", name, key, keyOf(key))
		}
		shown := d.shownName(t.Context(), name)
		for _, s := range []string{printable(name), shown} {
			if len(s) > MaxName || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is shown as %q", name, s)
			}
		}
		if !strings.Contains(name, "@") && shown != noAddress && shown != "" {
			t.Errorf("%q, no address, is shown as %q", name, shown)
		}
	})
}

func FuzzExchanges(f *testing.F) {
	f.Add(uint8(0), []byte("\x00alice@example.org\x00wrong"), []byte{}, []byte{})
	f.Add(uint8(1), []byte("alice@example.org"), []byte("wrong"), []byte{})
	f.Add(uint8(2), []byte("n,,n=alice@example.org,r=abc"), []byte("c=biws,r=abc,p=AAAA"), []byte{})
	f.Add(uint8(3), []byte("n,,\x01auth=Bearer good\x01\x01"), []byte("\x01"), []byte{})
	f.Add(uint8(4), []byte("bob@example.org"), []byte{}, []byte{})
	f.Add(uint8(5), []byte("alice@example.org 00000000000000000000000000000000"), []byte{}, []byte{})
	f.Add(uint8(6), []byte("alice@example.org 00000000000000000000000000000000"), []byte{}, []byte{})
	all := sasl.Mechanisms()
	var names []string // CRAM-MD5 is offered beside PLAIN only if it is named
	for _, m := range all {
		names = append(names, m.Name)
	}
	f.Fuzz(func(t *testing.T, which uint8, a, b, c []byte) {
		var log bytes.Buffer
		s := New(Options{
			Directory: newPeople(), Tokens: tokens{"good": "alice@example.org"}, Mechanisms: names,
			Policy: Policy{MaxDelay: -1}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		conn := from(t, "192.0.2.1")
		conn.TLS = &session.TLS{ClientNames: []string{"alice@example.org"}, Binding: func(string) []byte { return []byte("x") }}
		e, err := s.Begin(conn, all[int(which)%len(all)].Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range [][]byte{nil, a, b, c} {
			step, err := e.Respond(t.Context(), message)
			if err != nil && !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
			if step.Done && (err != nil || step.Identity.Account == 0 || step.Identity.Address == "") {
				t.Errorf("done as %v with %v", step.Identity, err)
			}
			if err != nil || step.Done {
				break
			}
		}
		if n := s.guard.pairs.len(); n > 1 {
			t.Errorf("%d pairs after one exchange", n)
		}
	})
}
