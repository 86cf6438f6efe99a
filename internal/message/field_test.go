package message

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	pmail "postrider/internal/mail"
)

func TestSplitFieldsGivesEachFieldWhole(t *testing.T) {
	for _, c := range []struct {
		name, header string
		want         []string // name=value
	}{
		{"none", "", nil},
		{"blank line only", "\r\n", nil},
		{"two", "A: b\r\nC:d\r\n\r\n", []string{"A=b", "C=d"}},
		{"no blank line", "A: b\r\n", []string{"A=b"}},
		{"no line end", "A: b", []string{"A=b"}},
		{"folded", "A: b\r\n c\r\n\td \r\nE: f\r\n", []string{"A=b c\td", "E=f"}},
		{"space before the colon", "A \t: b\r\n", []string{"A=b"}},
		{"empty", "A:\r\nB: \r\n", []string{"A=", "B="}},
		{"colons in the value", "A: b: c\r\n", []string{"A=b: c"}},
		{"From line", "From a@b Sat Nov 21 10:00:00 2026\r\nA: b\r\n", []string{"=", "A=b"}},
		{"quoted From line", ">From a\r\nA: b\r\n", []string{"=", "A=b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			var raw []byte
			for f := range SplitFields([]byte(c.header)) {
				got = append(got, string(f.Name)+"="+string(f.Value()))
				raw = append(raw, f.Raw...)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if want := strings.TrimSuffix(c.header, "\r\n\r\n"); !strings.HasPrefix(string(raw)+"\r\n", want) {
				t.Errorf("the fields together are %q, want %q", raw, c.header)
			}
		})
	}
}

func TestLengthIsWhereTheHeaderEnds(t *testing.T) {
	for _, c := range []struct{ name, header, body string }{
		{"blank line", "A: b\r\n\r\n", "body\r\n"},
		{"blank line first", "\r\n", "body\r\n"},
		{"bare LF", "A: b\n\n", "body"},
		{"no body", "A: b\r\n", ""},
		{"field without an end", "A: b", ""},
		{"no blank line", "A: b\r\n", "hello there\r\n"},
		{"text", "", "hello there\r\nA: b\r\n"},
		{"one word", "", "hello"},
		{"name at the end", "A: b\r\n", "hello"},
		{"CR at the end", "A: b\r\n", "\r"},
		{"white space first", "", " a: b\r\n"},
		{"folded", "A: b\r\n c\r\n \r\n\r\n", "x"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; n <= len(c.header)+len(c.body)+1; n++ {
				if got := scan(c.header+c.body, n).Length(); got != int64(len(c.header)) {
					t.Fatalf("in pieces of %d: got %d, want %d", n, got, len(c.header))
				}
			}
		})
	}
}

func TestParseMailboxes(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		err              error
	}{
		{"plain", " alice@example.test\r\n", "alice@example.test", nil},
		{"named", ` Alice <alice@example.test>`, "alice@example.test", nil},
		{"quoted name", ` "Alice, B. <x@y>" <alice@example.test>`, "alice@example.test", nil},
		{"encoded name", ` =?utf-8?q?Al=C3=AFce?= <alice@example.test>`, "alice@example.test", nil},
		{"encoded in an unknown charset", ` =?x-odd?b?AAAA?= <alice@example.test>`, "alice@example.test", nil},
		{"8-bit name", " Al\xefce <alice@example.test>", "alice@example.test", nil},
		{"dots in the name", ` Alice B. Coe <alice@example.test>`, "alice@example.test", nil},
		{"dot alone", ` Alice . Coe <alice@example.test>`, "alice@example.test", nil},
		{"words and quotes", ` A "B" C <alice@example.test>`, "alice@example.test", nil},
		{"angle brackets only", ` <alice@example.test>`, "alice@example.test", nil},
		{"two", " a@x.test,\r\n\tB <b@x.test>\r\n", "a@x.test b@x.test", nil},
		{"comments", ` (x) alice (y (z)) @ (\)) example.test (w)`, "alice@example.test", nil},
		{"comment with an address", ` alice@example.test (bob@x.test)`, "alice@example.test", nil},
		{"folded within", " Alice\r\n <alice@example.test>\r\n", "alice@example.test", nil},
		{"quoted local part", ` "a b"@example.test`, `"a b"@example.test`, nil},
		{"escapes", ` "a\"b"@example.test`, `"a\"b"@example.test`, nil},
		{"literal", ` a@[192.0.2.1]`, "a@[192.0.2.1]", nil},
		{"U-label", " a@b\u00fccher.test", "a@xn--bcher-kva.test", nil},
		{"UTF-8 local part", " \u00fc@x.test", "\u00fc@x.test", nil},
		{"like an encoded word", " a=?b?=c@x.test", "a=?b?=c@x.test", nil},

		{"empty", "\r\n", "", ErrNoMailbox},
		{"comment only", " (x)\r\n", "", ErrNoMailbox},
		{"no domain", " alice", "", ErrMailboxSyntax},
		{"empty address", " <>", "", ErrMailboxSyntax},
		{"name with a bare @", " a@x.test <b@x.test>", "", ErrMailboxSyntax},
		{"two addresses without a comma", " a@x.test b@x.test", "", ErrMailboxSyntax},
		{"two brackets", " <a@x.test> <b@x.test>", "", ErrMailboxSyntax},
		{"text behind", " <a@x.test> b", "", ErrMailboxSyntax},
		{"two @", " a@b@x.test", "", ErrMailboxSyntax},
		{"comma last", " a@x.test,", "", ErrMailboxSyntax},
		{"comma first", " ,a@x.test", "", ErrMailboxSyntax},
		{"two commas", " a@x.test,,b@x.test", "", ErrMailboxSyntax},
		{"semicolon", " a@x.test;b@x.test", "", ErrMailboxSyntax},
		{"source route", " <@y.test:a@x.test>", "", ErrMailboxSyntax},
		{"group", " us: a@x.test, b@x.test;", "", ErrMailboxGroup},
		{"empty group", " undisclosed recipients:;", "", ErrMailboxGroup},
		{"open bracket", " <a@x.test", "", ErrMailboxSyntax},
		{"open quote", ` "a <a@x.test>`, "", ErrMailboxSyntax},
		{"open comment", ` (a a@x.test`, "", ErrMailboxSyntax},
		{"deep comment", strings.Repeat("(", 100) + strings.Repeat(")", 100) + "a@x.test", "", ErrMailboxSyntax},
		{"quote ends in a backslash", ` "a\`, "", ErrMailboxSyntax},
		{"NUL", " a\x00@x.test", "", ErrMailboxSyntax},
		{"NUL in the name", " A\x00 <a@x.test>", "", ErrMailboxSyntax},
		{"NUL in quotes", " \"A\x00\" <a@x.test>", "", ErrMailboxSyntax},
		{"bare CR", " A\r <a@x.test>", "", ErrMailboxSyntax},
		{"bare LF", " A\n <a@x.test>", "", ErrMailboxSyntax},
		{"bad domain", " a@-x-", "", ErrMailboxSyntax},
		{"dot behind the domain", " a@x.test.", "", ErrMailboxSyntax},
		{"dot behind the domain in brackets", " A <a@x.test.>", "", ErrMailboxSyntax},
		{"encoded word as local part", " =?utf-8?q?b=40y.test=00?=@x.test", "", ErrMailboxSyntax},
		{"encoded word within a local part", " <a+=?utf-8?b?AA==?=@x.test>", "", ErrMailboxSyntax},
		{"encoded word in quotes", ` "=?utf-8?q?b=40y.test?="@x.test`, "", ErrMailboxSyntax},
		{"too many", strings.Repeat("a@x.test,", MaxMailboxes) + "a@x.test", "", ErrTooManyMailboxes},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := ParseMailboxes([]byte(c.body))
			var got []string
			for _, a := range all {
				got = append(got, a.String())
			}
			if strings.Join(got, " ") != c.want || err != c.err {
				t.Errorf("got %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestAsManyMailboxesAsAllowedAreRead(t *testing.T) {
	all, err := ParseMailboxes([]byte(strings.Repeat("a@x.test,", MaxMailboxes-1) + "a@x.test"))
	if err != nil || len(all) != MaxMailboxes {
		t.Errorf("got %d, %v; want %d", len(all), err, MaxMailboxes)
	}
}

// What is taken is taken the same way when it is written again, and has nothing
// in it that an address could hide behind.
func FuzzParseMailboxes(f *testing.F) {
	for _, s := range []string{
		" Alice <alice@example.test>\r\n", "a@x.test, b@y.test", `"a b"@[192.0.2.1] (c)`, "x:;", "(((", "<@a:b@c>", "\"\\", " \u00fc@x.test",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := ParseMailboxes(body)
		if err != nil {
			if len(all) > 0 {
				t.Fatalf("%q: %v and %v", body, all, err)
			}
			return
		}
		if len(all) == 0 || len(all) > bytes.Count(body, []byte("@")) {
			t.Fatalf("%q: got %v", body, all)
		}
		var text []string
		for _, a := range all {
			text = append(text, a.String())
		}
		again, err := ParseMailboxes([]byte(strings.Join(text, ", ")))
		if err != nil || !slices.Equal(all, again) {
			t.Fatalf("%q: got %v, written again %v, %v", body, all, again, err)
		}
	})
}

func TestFieldsThatAreAdded(t *testing.T) {
	when := time.Date(2026, 11, 1, 9, 5, 3, 0, time.FixedZone("", 3600))
	b := AppendDate(nil, when)
	b = AppendMessageID(b, pmail.ID{1, 2, 3}, "mx.example.test")
	b = AppendMessageID(b, pmail.ID{1, 2, 3}, "a>\r\nBcc: x")
	b = AppendMailbox(b, "Sender", pmail.Address{Local: "a b", Domain: "x.test"})
	want := "Date: Sun, 1 Nov 2026 08:05:03 +0000\r\n" +
		"Message-ID: <04106000000000000000000000@mx.example.test>\r\n" +
		"Message-ID: <04106000000000000000000000@a___Bcc__x>\r\n" +
		"Sender: \"a b\"@x.test\r\n"
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
}
