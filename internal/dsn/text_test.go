package dsn

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShownTextIsHarmless(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text", "plain text"},
		{"  a \t b\r\n c\u00a0d ", "a b c d"},
		{"a\x00b\x1bc\x7fd\u0085e", "a?b?c?d?e"},
		{"a\xffb", "a?b"},
		{"\u202eab\u2066c\u200b\ufeff", "abc"},
		{"f\u00fcnf \u65e5\u672c", "f\u00fcnf \u65e5\u672c"},
		{strings.Repeat("x", 50), strings.Repeat("x", 37) + "..."},
		{strings.Repeat("\u00fc", 30), strings.Repeat("\u00fc", 18) + "..."},
	} {
		if got := shown(c.in, 40); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestAddressesBeyondASCIIHaveTwoForms(t *testing.T) {
	for _, c := range []struct{ in, plain, xtext string }{
		{"utf-8;b\u00f8b@x.test", "utf-8; b\u00f8b@x.test", `utf-8; b\x{F8}b@x.test`},
		{`utf-8;b\x{F8}b@x.test`, "utf-8; b\u00f8b@x.test", `utf-8; b\x{F8}b@x.test`},
		{`utf-8;a\x{2B}b@x.test`, "utf-8; a+b@x.test", `utf-8; a\x{2B}b@x.test`},
		{`UTF-8;\x{1F600}@x.test`, "UTF-8; \U0001f600@x.test", `UTF-8; \x{1F600}@x.test`},
		{`utf-8;a\b@x.test`, `utf-8; a\b@x.test`, `utf-8; a\b@x.test`},
		{`utf-8;a\x{0A}b@x.test`, `utf-8; a\x{0A}b@x.test`, `utf-8; a\x{0A}b@x.test`},
		{`utf-8;a\x{009B}b@x.test`, `utf-8; a\x{009B}b@x.test`, `utf-8; a\x{009B}b@x.test`}, // CSI, to terminals
		{"utf-8;a\u009bb@x.test", "utf-8; a?b@x.test", `utf-8; a\x{9B}b@x.test`},
		{`utf-8;a\x{D800}b`, `utf-8; a\x{D800}b`, `utf-8; a\x{D800}b`},
		{"rfc822;a+b=c@x.test", "rfc822; a+b=c@x.test", "rfc822; a+b=c@x.test"},
		{"x400;c=us; a=b", "x400; c=us; a=b", "x400; c=us; a=b"},
	} {
		kind, address, _ := strings.Cut(c.in, ";")
		if got := typed(kind, address, true); got != c.plain {
			t.Errorf("%q: got %q, want %q", c.in, got, c.plain)
		}
		if got := typed(kind, address, false); got != c.xtext {
			t.Errorf("%q in ASCII: got %q, want %q", c.in, got, c.xtext)
		}
	}
}

func TestFieldsAreFolded(t *testing.T) {
	var b strings.Builder
	field(&b, "Diagnostic-Code", "smtp; "+strings.Repeat("word ", 40)+strings.Repeat("x", 3000))
	for line := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\r\n"), "\r\n") {
		if len(line) > maxWord+1 || len(strings.TrimSpace(line)) == 0 {
			t.Errorf("a line of %d octets: %q", len(line), line)
		}
	}
	if unfolded := strings.ReplaceAll(b.String(), "\r\n ", " "); strings.Count(unfolded, "\r\n") != 1 {
		t.Errorf("it does not unfold: %q", b.String())
	}
}

func FuzzEmbedded(f *testing.F) {
	for _, s := range []string{"b\u00f8b@x.test", `a\x{F8}`, `\x{110000}`, `\x{`, "a+b=c \\", "\U0010ffff\u0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if plain, ok := unembed(s); ok && !utf8.ValidString(plain) {
			t.Errorf("%q means %q, which is no UTF-8", s, plain)
		}
		if !utf8.ValidString(s) || printable(s) != s {
			return
		}
		xtext := embedded(s)
		if !isASCII(xtext) || strings.ContainsAny(xtext, " +=") {
			t.Errorf("%q became %q", s, xtext)
		}
		if plain, ok := unembed(xtext); !ok || plain != s {
			t.Errorf("%q became %q, which means %q (%v)", s, xtext, plain, ok)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"", "A: b\r\n\r\nx", "From a b\r\nA: b\r\n c\r\nd", "\r\n", "A: b", "x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		header, err := Header(strings.NewReader(s), int64(len(s)))
		if err != nil || !strings.Contains(s, string(header)) || strings.Contains(string(header), "\r\n\r\n") {
			t.Fatalf("%q has the header %q (%v)", s, header, err)
		}
		Suppressed(header)
		o := &returned{header: header}
		if id := o.messageID(); id != "" && !messageIDForm.MatchString(id) {
			t.Errorf("Message-ID %q", id)
		}
		if s := o.subject() + o.date(); strings.ContainsAny(s, "\r\n\x00") {
			t.Errorf("shown %q", s)
		}
	})
}
