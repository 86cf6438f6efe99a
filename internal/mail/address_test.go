package mail

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func rep(s string, n int) string { return strings.Repeat(s, n) }

// domainOf returns a domain of n octets whose labels are short enough.
func domainOf(n int) string {
	s := rep(rep("a", 49)+".", n/50+1)[:n]
	return strings.TrimSuffix(s, ".") + rep("a", n-len(strings.TrimSuffix(s, ".")))
}

func TestParseDomain(t *testing.T) {
	tests := []struct {
		name, in, want string
		err            error
	}{
		{name: "plain", in: "example.test", want: "example.test"},
		{name: "upper case", in: "EXAMPLE.Test", want: "example.test"},
		{name: "trailing dot", in: "example.test.", want: "example.test"},
		{name: "two trailing dots", in: "example.test..", err: ErrEmptyLabel},
		{name: "empty", in: "", err: ErrNoDomain},
		{name: "only a dot", in: ".", err: ErrNoDomain},
		{name: "leading dot", in: ".example.test", err: ErrEmptyLabel},
		{name: "two dots", in: "a..b", err: ErrEmptyLabel},
		{name: "one label", in: "localhost", want: "localhost"},
		{name: "digits", in: "1.2.3.4", want: "1.2.3.4"},
		{name: "underscore", in: "my_host.example", want: "my_host.example"},
		{name: "hyphens within", in: "r3---sn-x.example", want: "r3---sn-x.example"},
		{name: "hyphen first", in: "-a.example", err: ErrHyphen},
		{name: "hyphen last", in: "a-.example", err: ErrHyphen},
		{name: "space", in: "a b", err: ErrDomainCharacter},
		{name: "at", in: "a@b", err: ErrDomainCharacter},
		{name: "NUL", in: "a\x00b", err: ErrDomainCharacter},
		{name: "label of 63", in: rep("a", 63) + ".b", want: rep("a", 63) + ".b"},
		{name: "label of 64", in: rep("a", 64) + ".b", err: ErrLabelTooLong},
		{name: "255 octets", in: domainOf(255), want: domainOf(255)},
		{name: "256 octets", in: domainOf(256), err: ErrDomainTooLong},
		{name: "a megabyte", in: rep("a", 1<<20), err: ErrDomainTooLong},
		{name: "U-label", in: "b\u00fccher.example", want: "xn--bcher-kva.example"},
		{name: "U-label not in NFC", in: "bu\u0308cher.example", want: "xn--bcher-kva.example"},
		{name: "U-label in upper case", in: "B\u00dcCHER.Example", want: "xn--bcher-kva.example"},
		{name: "sharp s keeps its own name", in: "stra\u00dfe.example", want: "xn--strae-oqa.example"},
		{name: "full-width dot and letters", in: "\uff41\u3002\uff42", want: "a.b"},
		{name: "A-label", in: "XN--bcher-KVA.example", want: "xn--bcher-kva.example"},
		{name: "U-label beside underscore", in: "\u00fc.my_host", want: "xn--tda.my_host"},
		{name: "broken A-label", in: "xn--\u007f.example", err: ErrIDNA},
		{name: "A-label of ASCII", in: "xn--abc-.example", err: ErrIDNA},
		{name: "A-label of something upper-case", in: "xn--bcher-kva8445foa.example", err: nil, want: "xn--bcher-kva8445foa.example"},
		{name: "character that maps to a slash", in: "\u2100.example", err: ErrDomainCharacter},
		{name: "only a soft hyphen", in: "\u00ad", err: ErrEmptyLabel},
		{name: "not UTF-8", in: "\xff.example", err: ErrNotUTF8},
		{name: "replacement character", in: "\ufffd.example", err: ErrIDNA},
		{name: "IPv4 literal", in: "[192.0.2.1]", want: "[192.0.2.1]"},
		{name: "IPv4 literal with leading zero", in: "[192.0.2.01]", err: ErrLiteral},
		{name: "IPv6 literal", in: "[ipv6:2001:DB8:0::1]", want: "[IPv6:2001:db8::1]"},
		{name: "IPv6 literal without tag", in: "[2001:db8::1]", err: ErrLiteral},
		{name: "IPv4 literal with IPv6 tag", in: "[IPv6:192.0.2.1]", err: ErrLiteral},
		{name: "IPv6 literal with zone", in: "[IPv6:fe80::1%eth0]", err: ErrLiteral},
		{name: "open literal", in: "[192.0.2.1", err: ErrLiteral},
		{name: "empty literal", in: "[]", err: ErrLiteral},
		{name: "only a bracket", in: "[", err: ErrLiteral},
		{name: "general literal", in: "[x:y]", err: ErrLiteral},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseDomain(tt.in)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("ParseDomain(%.80q): got %q, %v, want %q, %v", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseAddress(t *testing.T) {
	tests := []struct {
		name, in           string
		local, domain, out string
		err                error
	}{
		{name: "plain", in: "alice@example.test", local: "alice", domain: "example.test", out: "alice@example.test"},
		{name: "white space around", in: " alice@example.test\n", local: "alice", domain: "example.test", out: "alice@example.test"},
		{name: "case", in: "Alice@EXAMPLE.test", local: "Alice", domain: "example.test", out: "Alice@example.test"},
		{name: "trailing dot", in: "a@example.test.", local: "a", domain: "example.test", out: "a@example.test"},
		{name: "quoted", in: `"a b"@example.test`, local: "a b", domain: "example.test", out: `"a b"@example.test`},
		{name: "quoted without need", in: `"alice"@example.test`, local: "alice", domain: "example.test", out: "alice@example.test"},
		{name: "escapes", in: `"a\"\\\b"@example.test`, local: `a"\b`, domain: "example.test", out: `"a\"\\b"@example.test`},
		{name: "quoted at", in: `"a@b"@example.test`, local: "a@b", domain: "example.test", out: `"a@b"@example.test`},
		{name: "percent hack", in: "a%b.example@example.test", local: "a%b.example", domain: "example.test", out: "a%b.example@example.test"},
		{name: "sub-address", in: "a+b@example.test", local: "a+b", domain: "example.test", out: "a+b@example.test"},
		{name: "dots at odd places", in: ".a..b.@example.test", local: ".a..b.", domain: "example.test", out: `".a..b."@example.test`},
		{name: "literal", in: "a@[192.0.2.1]", local: "a", domain: "[192.0.2.1]", out: "a@[192.0.2.1]"},
		{name: "IPv6 literal", in: "a@[IPv6:::1]", local: "a", domain: "[IPv6:::1]", out: "a@[IPv6:::1]"},
		{name: "UTF-8", in: "\u00fc@b\u00fccher.example", local: "\u00fc", domain: "xn--bcher-kva.example", out: "\u00fc@xn--bcher-kva.example"},
		{name: "local part of 64", in: rep("a", 64) + "@b", local: rep("a", 64), domain: "b", out: rep("a", 64) + "@b"},
		{name: "local part of 65", in: rep("a", 65) + "@b", err: ErrLocalTooLong},
		{name: "quoted local part of 64", in: `"` + rep(`\"`, 64) + `"@b`, local: rep(`"`, 64), domain: "b", out: `"` + rep(`\"`, 64) + `"@b`},
		{name: "path of 256", in: "a@" + domainOf(252), local: "a", domain: domainOf(252), out: "a@" + domainOf(252)},
		{name: "path of 257", in: "a@" + domainOf(253), err: ErrPathTooLong},
		{name: "empty", in: "", err: ErrNoAddress},
		{name: "no at", in: "alice", err: ErrNoAt},
		{name: "postmaster needs a domain", in: "postmaster", err: ErrNoAt},
		{name: "no local part", in: "@example.test", err: ErrNoLocal},
		{name: "empty quoted local part", in: `""@example.test`, err: ErrNoLocal},
		{name: "no domain", in: "alice@", err: ErrNoDomain},
		{name: "space in local part", in: "a b@c", err: ErrNoAt},
		{name: "angle brackets", in: "<a@b>", err: ErrLocalCharacter},
		{name: "bracket after", in: "a@b>", err: ErrAfterPath},
		{name: "parentheses", in: "a(b)@c", err: ErrLocalCharacter},
		{name: "two at", in: "a@b@c", err: ErrDomainCharacter},
		{name: "open quote", in: `"a@b`, err: ErrQuote},
		{name: "escape at the end", in: `"a\`, err: ErrQuote},
		{name: "text after the quotes", in: `"a"b@c`, err: ErrQuote},
		{name: "control", in: "a\x01@b", err: ErrControl},
		{name: "quoted control", in: "\"a\x00\"@b", err: ErrControl},
		{name: "escaped LF", in: "\"a\\\n\"@b", err: ErrControl},
		{name: "C1 control", in: "a\u0085@b", err: ErrControl},
		{name: "control in the domain", in: "a@b\x7f", err: ErrControl},
		{name: "not UTF-8", in: "a\xff@b", err: ErrNotUTF8},
		{name: "domain not UTF-8", in: "a@\xff", err: ErrNotUTF8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAddress(tt.in)
			if got != (Address{tt.local, tt.domain}) || !errors.Is(err, tt.err) {
				t.Fatalf("ParseAddress(%.80q): got %+v, %v, want %q, %q, %v", tt.in, got, err, tt.local, tt.domain, tt.err)
			}
			if got.String() != tt.out {
				t.Errorf("got String %q, want %q", got.String(), tt.out)
			}
		})
	}
}

func TestParsePath(t *testing.T) {
	tests := []struct {
		name, in string
		utf8     bool
		want     Address
		rest     string
		err      error
	}{
		{name: "plain", in: "<a@b>", want: Address{"a", "b"}},
		{name: "null", in: "<>"},
		{name: "null with parameters", in: " <> SIZE=1", rest: "SIZE=1"},
		{name: "spaces before", in: "   <a@b>", want: Address{"a", "b"}},
		{name: "parameters", in: "<a@b>  SIZE=1 X", want: Address{"a", "b"}, rest: "SIZE=1 X"},
		{name: "no space before parameters", in: "<a@b>SIZE=1", err: ErrAfterPath},
		{name: "no brackets", in: "a@b", want: Address{"a", "b"}},
		{name: "no brackets, parameters", in: " a@b SIZE=1", want: Address{"a", "b"}, rest: "SIZE=1"},
		{name: "no brackets, quoted", in: `"a b"@c X`, want: Address{"a b", "c"}, rest: "X"},
		{name: "bracket in quotes", in: `<"a>b"@c>`, want: Address{"a>b", "c"}},
		{name: "postmaster", in: "<pOSTmaster>", want: Address{"Postmaster", ""}},
		{name: "postmaster without brackets", in: "postmaster X", want: Address{"Postmaster", ""}, rest: "X"},
		{name: "postmaster with domain", in: "<postmaster@b>", want: Address{"postmaster", "b"}},
		{name: "someone without domain", in: "<alice>", err: ErrNoAt},
		{name: "route", in: "<@one.example,@two.example:a@b>", want: Address{"a", "b"}},
		{name: "route of one", in: "<@[IPv6:::1]:a@b> X", want: Address{"a", "b"}, rest: "X"},
		{name: "route to postmaster", in: "<@x:Postmaster>", want: Address{"Postmaster", ""}},
		{name: "route without end", in: "<@one.example,@two.example>", err: ErrRoute},
		{name: "route without at", in: "<@one,two:a@b>", err: ErrRoute},
		{name: "bad domain in route", in: "<@-:a@b>", err: ErrHyphen},
		{name: "nothing behind the route", in: "<@one:>", err: ErrNoAt},
		{name: "empty", in: "", err: ErrNoAddress},
		{name: "spaces only", in: "   ", err: ErrNoAddress},
		{name: "only a bracket", in: "<", err: ErrNoAddress},
		{name: "no closing bracket", in: "<a@b", err: ErrBracket},
		{name: "no closing bracket, parameters", in: "<a@b SIZE=1", err: ErrBracket},
		{name: "two closing brackets", in: "<a@b>>", err: ErrAfterPath},
		{name: "two opening brackets", in: "<<a@b>", err: ErrLocalCharacter},
		{name: "shell", in: "<;for i in 0 1;do echo;done>", err: ErrLocalCharacter},
		{name: "NUL", in: "<a\x00@b>", err: ErrControl},
		{name: "8-bit local part", in: "<\u00fc@b>", err: ErrNotASCII},
		{name: "8-bit domain", in: "<a@\u00fc>", err: ErrNotASCII},
		{name: "8-bit route", in: "<@\u00fc:a@b>", err: ErrNotASCII},
		{name: "8-bit local part with utf8", in: "<\u00fc@\u00fc>", utf8: true, want: Address{"\u00fc", "xn--tda"}},
		{name: "no UTF-8 with utf8", in: "<\xfc@b>", utf8: true, err: ErrNotUTF8},
		{name: "local part of 65", in: "<" + rep("a", 65) + "@b>", err: ErrLocalTooLong},
		{name: "path of 256", in: "<" + rep("a", 64) + "@" + domainOf(189) + ">", want: Address{rep("a", 64), domainOf(189)}},
		{name: "path of 257", in: "<" + rep("a", 64) + "@" + domainOf(190) + ">", err: ErrPathTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, rest, err := ParsePath(tt.in, tt.utf8)
			if got != tt.want || rest != tt.rest || !errors.Is(err, tt.err) {
				t.Errorf("ParsePath(%.80q): got %+v, %q, %v, want %+v, %q, %v", tt.in, got, rest, err, tt.want, tt.rest, tt.err)
			}
		})
	}
}

func TestErrorsAreAddressErrors(t *testing.T) {
	_, err := ParseAddress("alice")
	var typed *AddressError
	if !errors.As(err, &typed) || typed.Reason == "" {
		t.Errorf("got %#v, want an *AddressError with a reason", err)
	}
}

func TestKey(t *testing.T) {
	tests := []struct {
		name string
		in   Address
		want string
	}{
		{"null", Address{}, ""},
		{"postmaster", Address{Local: "Postmaster"}, "postmaster"},
		{"lower case", Address{"ALICE+Tag", "example.test"}, "alice+tag@example.test"},
		{"without quotes", Address{"A b", "example.test"}, "a b@example.test"},
		{"NFC", Address{"u\u0308", "b"}, "\u00fc@b"},
		{"upper case beyond ASCII", Address{"\u00dc", "b"}, "\u00fc@b"},
		{"Kelvin sign", Address{"\u212a", "b"}, "k@b"},
	}
	for _, tt := range tests {
		if got := tt.in.Key(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestStringOfSpecialAddresses(t *testing.T) {
	if got := (Address{}).String(); got != "" {
		t.Errorf("null: got %q", got)
	}
	if got := (Address{Local: "postmaster"}).String(); got != "Postmaster" {
		t.Errorf("postmaster: got %q", got)
	}
	if (Address{"\u00fc", "b"}).ASCII() || !(Address{"u", "b"}).ASCII() {
		t.Error("ASCII is wrong")
	}
}

// TestParsingIsLinear fails by its timeout if some input costs more than it is
// long: each of these would take hours.
func TestParsingIsLinear(t *testing.T) {
	const n = 1 << 22
	for _, in := range []string{
		"<" + rep("@a,", n), "<" + rep("@[", n), "<" + rep("@[1.1.1.1],", n/4), `<"` + rep(`\"`, n),
		rep(" ", n), rep("a", n), "a@" + rep("a.", n), "a@[" + rep("1", n), "a@" + rep("\u00fc", n),
	} {
		if _, _, err := ParsePath(in, true); err == nil {
			t.Errorf("%.20q…: want an error", in)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<a@b>", "<>", " <a@b> SIZE=1", `<"a b\"c"@EXAMPLE.test>`, "<@a,@b:c@d>", "<Postmaster>", "a@b X", "<\u00fc@\u00fc>", "<a@[IPv6:::1]>"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, eai bool) {
		a, rest, err := ParsePath(s, eai)
		if err != nil {
			if a != (Address{}) || rest != "" {
				t.Fatalf("%q: got %+v, %q beside error %v", s, a, rest, err)
			}
			return
		}
		if !strings.HasSuffix(s, rest) {
			t.Fatalf("%q: rest %q is not its end", s, rest)
		}
		if !eai && !a.ASCII() {
			t.Fatalf("%q: got %+v, which is not ASCII", s, a)
		}
		again, rest, err := ParsePath("<"+a.String()+">", true)
		if err != nil || again != a || rest != "" {
			t.Fatalf("%q: %+v is written %q and read as %+v, %q, %v", s, a, a.String(), again, rest, err)
		}
		if a.IsZero() || a.Domain == "" {
			return
		}
		checkCanonical(t, a)
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b", `"a b"@EXAMPLE.test.`, "\u0130@b", "\u212a@b\u00fccher.example", "a@xn--bcher-kva.example", "\u1e9e\u0345@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("%q: %+v is written %q and read as %+v, %v", s, a, a.String(), again, err)
		}
		checkCanonical(t, a)
	})
}

// checkCanonical checks that a domain and a key don't change when they are made
// canonical again.
func checkCanonical(t *testing.T, a Address) {
	t.Helper()
	if d, err := ParseDomain(a.Domain); err != nil || d != a.Domain {
		t.Fatalf("domain %q becomes %q, %v", a.Domain, d, err)
	}
	if len(a.Local) > MaxLocal || len(a.Domain) > MaxDomain || !utf8.ValidString(a.Local) || !isASCII(a.Domain) {
		t.Fatalf("%+v breaks a limit", a)
	}
	key := a.Key()
	at := strings.LastIndexByte(key, '@')
	if again := (Address{key[:at], key[at+1:]}).Key(); again != key {
		t.Fatalf("%+v: key %q becomes %q", a, key, again)
	}
}

func FuzzParseDomain(f *testing.F) {
	for _, s := range []string{"example.test", "EXAMPLE.", "b\u00fccher", "xn--bcher-kva", "[192.0.2.1]", "[IPv6:::1]", "\u2100", "\uff0e", "a_b", "\u05d0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDomain(s)
		if err != nil {
			return
		}
		if again, err := ParseDomain(d); err != nil || again != d {
			t.Fatalf("%q: %q becomes %q, %v", s, d, again, err)
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	for name, s := range map[string]string{"plain": "<alice@example.test>", "upper": "<Alice@EXAMPLE.test>", "u-label": "<a@b\u00fccher.example>", "quoted": `<"a\"b"@example.test>`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ParsePath(s, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
