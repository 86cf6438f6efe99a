package message

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// scan feeds content in pieces of n octets.
func scan(content string, n int) *HeaderScanner {
	s := new(HeaderScanner)
	for p := []byte(content); len(p) > 0; {
		m := min(n, len(p))
		s.Write(bytes.Clone(p[:m]))
		p = p[m:]
	}
	s.End()
	return s
}

func TestHeaderScannerSeesTheHeaderAndNothingElse(t *testing.T) {
	long := strings.Repeat("x", 1_000_000)
	name := strings.Repeat("n", MaxFieldName)
	for _, c := range []struct {
		name, content string
		opening       Opening
		want          Header
	}{
		{"empty", "", Undecided, Header{}},
		{"blank line first", "\r\nReceived: x\r\n", Fields, Header{}},
		{"bare LF first", "\nReceived: x\r\n", Fields, Header{}},
		{"one field", "Subject: hi\r\n\r\nbody\r\n", Fields, Header{Fields: 1}},
		{"no blank line, no body", "Subject: hi\r\n", Fields, Header{Fields: 1}},
		{"field without line ending", "Received: x", Fields, Header{Fields: 1, Received: 1}},
		{"name without colon at the end", "Received", Text, Header{}},
		{"CR at the end", "\r", Text, Header{}},
		{"CR and text", "\rReceived: x\r\n", Text, Header{}},
		{"text", "Hello, how are you?\r\nReceived: x\r\n", Text, Header{}},
		{"one word", "Hello\r\nReceived: x\r\n", Text, Header{}},
		{"white space first", " Received: x\r\nReceived: x\r\n", Text, Header{}},
		{"colon first", ": x\r\nReceived: x\r\n", Text, Header{}},
		{"no blank line before the body", "A: b\r\nHello there\r\nReceived: x\r\n", Fields, Header{Fields: 1}},
		{"case and space before the colon", "RECEIVED \t: a\r\nreceived:b\r\n", Fields, Header{Fields: 2, Received: 2}},
		{"two words before the colon", "Received it: a\r\n", Text, Header{}},
		{"folded", "Received: a\r\n Received: b\r\n\tReceived: c\r\n \r\nReceived: d\r\n", Fields, Header{Fields: 2, Received: 2}},
		{"not in the body", "A: b\r\n\r\nReceived: x\r\nDelivered-To: a\r\n", Fields, Header{Fields: 1}},
		{"names that only look alike", "Received-SPF: x\r\nX-Received: x\r\nReceive: x\r\nDelivered: x\r\n", Fields, Header{Fields: 4}},
		{
			"delivered-to", "Delivered-To:  a@b.test \r\ndelivered-TO:c@d.test\r\n\r\n", Fields,
			Header{Fields: 2, DeliveredTo: []string{"a@b.test", "c@d.test"}},
		},
		{
			"delivered-to folded", "Delivered-To:\r\n a@b\r\n\t.test\r\nA: b\r\n", Fields,
			Header{Fields: 2, DeliveredTo: []string{"a@b\t.test"}},
		},
		{"TLS not required", "TLS-Required: No\r\n\r\n", Fields, Header{Fields: 1, TLSOptional: true}},
		{"TLS not required, folded", "tls-required:\r\n no\r\nA: b\r\n", Fields, Header{Fields: 2, TLSOptional: true}},
		{"TLS not required, unfinished", "TLS-Required:No", Fields, Header{Fields: 1, TLSOptional: true}},
		{"TLS not required, twice", "TLS-Required: No\r\nTLS-Required: No\r\n", Fields, Header{Fields: 2}},
		{"TLS required, whatever that is", "TLS-Required: Nope\r\n", Fields, Header{Fields: 1}},
		{"TLS not required in the body", "A: b\r\n\r\nTLS-Required: No\r\n", Fields, Header{Fields: 1}},
		{"TLS not required at length", "TLS-Required: No" + strings.Repeat(" ", 1000) + "\r\n", Fields, Header{Fields: 1}},
		{"delivered-to last, unfinished", "Delivered-To: a@b", Fields, Header{Fields: 1, DeliveredTo: []string{"a@b"}}},
		{
			"delivered-to too long", "Delivered-To: " + long + "\r\nDelivered-To: a\r\n", Fields,
			Header{Fields: 2, DeliveredTo: []string{"a"}},
		},
		{"very long value", "A: " + long + "\r\nReceived: " + long + "\r\n", Fields, Header{Fields: 2, Received: 1}},
		{"very long first line", long + ": x\r\nReceived: x\r\n", Text, Header{}},
		{"longest name", name + ": x\r\nReceived: x\r\n", Fields, Header{Fields: 2, Received: 1}},
		{"name one octet too long", name + "n: x\r\nReceived: x\r\n", Text, Header{}},
		{"NUL in a name", "Re\x00ceived: x\r\nReceived: x\r\n", Text, Header{}},
		{"NUL in a value", "A: \x00\r\nReceived: \x00\r\n", Fields, Header{Fields: 2, Received: 1}},
		{"8-bit name", "Gr\xc3\xbc\xc3\x9fe: x\r\n", Text, Header{}},
		{"From line", "From a@b Sat Nov 21 10:00:00 2026\r\nReceived: x\r\n", Fields, Header{Fields: 1, Received: 1}},
		{"quoted From line", ">From a@b Sat Nov 21 10:00:00 2026\r\nReceived: x\r\n", Fields, Header{Fields: 1, Received: 1}},
		{"From line that is a field", "From : a@b\r\n\r\n", Fields, Header{Fields: 1}},
		{"From line that is folded", "From a@b\r\n x\r\nReceived: x\r\n", Fields, Header{}},
		{"From line later", "A: b\r\nFrom a@b Sat\r\nReceived: x\r\n", Fields, Header{Fields: 1}},
		{"From and nothing", "From \r\nReceived: x\r\n", Text, Header{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1 << 20, 1 << 30} {
				s := scan(c.content, n)
				if s.Opening() != c.opening {
					t.Errorf("pieces of %d: got opening %d, want %d", n, s.Opening(), c.opening)
				}
				if got := s.Header(); !reflect.DeepEqual(got, c.want) {
					t.Errorf("pieces of %d: got %+v, want %+v", n, got, c.want)
				}
			}
		})
	}
}

func TestHeaderScannerCollectsABoundedNumberOfDeliveredTo(t *testing.T) {
	var b strings.Builder
	for i := range MaxDeliveredTo {
		fmt.Fprintf(&b, "Delivered-To: u%d@example.test\r\n", i)
	}
	if h := scan(b.String(), 100).Header(); len(h.DeliveredTo) != MaxDeliveredTo || h.DeliveredToOverflow {
		t.Errorf("at the limit: got %d, overflow %v", len(h.DeliveredTo), h.DeliveredToOverflow)
	}
	b.WriteString("Delivered-To: more@example.test\r\n more\r\n")
	h := scan(b.String(), 100).Header()
	if len(h.DeliveredTo) != MaxDeliveredTo || !h.DeliveredToOverflow {
		t.Errorf("over the limit: got %d, overflow %v", len(h.DeliveredTo), h.DeliveredToOverflow)
	}
	if last := h.DeliveredTo[MaxDeliveredTo-1]; last != "u63@example.test" {
		t.Errorf("last one: got %q", last)
	}
}

func TestHeaderScannerDecidesTheOpeningEarly(t *testing.T) {
	for _, c := range []string{strings.Repeat("x", 10_000), strings.Repeat("x ", 5_000), strings.Repeat("\r", 10)} {
		var s HeaderScanner
		n := 0
		for ; s.Opening() == Undecided && n < len(c); n++ {
			s.Write([]byte{c[n]})
		}
		if n > MaxFieldName+1 {
			t.Errorf("%.10q: decided after %d octets, want at most %d", c, n, MaxFieldName+1)
		}
	}
}

// reference is the scanner written again for content that is all there: slow
// and plain.
func reference(content string) (h Header, o Opening) {
	lines := strings.SplitAfter(content, "\n")
	if content == "" {
		return h, Undecided
	}
	var fields []string
	o = Text
	for i, line := range lines {
		if line == "\r\n" || line == "\n" {
			if i == 0 {
				o = Fields
			}
			break
		}
		if line == "" {
			break
		}
		if i == 0 && (strings.HasPrefix(line, "From ") || strings.HasPrefix(line, ">From ")) {
			_, rest, _ := strings.Cut(line, "From ")
			if rest != "" && !strings.ContainsAny(rest[:1], " \t:\r\n") {
				o = Fields
				continue
			}
		}
		if len(fields) > 0 && (line[0] == ' ' || line[0] == '\t') {
			fields[len(fields)-1] += line
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if bare := strings.TrimRight(name, " \t"); !ok || len(name) > MaxFieldName || bare == "" ||
			strings.ContainsFunc(bare, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			break
		}
		o = Fields
		fields = append(fields, line)
	}
	for _, f := range fields {
		h.Fields++
		name, value, _ := strings.Cut(f, ":")
		switch strings.ToLower(strings.TrimRight(name, " \t")) {
		case "received":
			h.Received++
		case "delivered-to":
			value = strings.ReplaceAll(value, "\n", "")
			raw := strings.TrimSuffix(value, "\r")
			switch {
			case len(h.DeliveredTo) == MaxDeliveredTo:
				h.DeliveredToOverflow = true
			case len(raw) < MaxDeliveredValue: // near the limit they may differ by the last CR
				h.DeliveredTo = append(h.DeliveredTo, strings.Trim(strings.ReplaceAll(value, "\r", ""), " \t"))
			}
		}
	}
	return h, o
}

func FuzzHeaderScannerDoesNotDependOnPieces(f *testing.F) {
	for _, s := range []string{
		"", "Subject: hi\r\n\r\nbody", "From x y\r\nReceived: a\r\n b\r\n", "Delivered-To: a@b\r\n c\r\n\r\n",
		"\r\n", "\r", " x", "a b: c", "Received : x\r\nhello\r\nReceived: y", ">From a\nReceived:\x00\r\r\n",
	} {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, content string, n uint8) {
		whole, pieces := scan(content, len(content)+1), scan(content, int(n)+1)
		if whole.Opening() != pieces.Opening() || !reflect.DeepEqual(whole.Header(), pieces.Header()) {
			t.Fatalf("%q: whole %+v %d, in pieces %+v %d", content, whole.Header(), whole.Opening(), pieces.Header(), pieces.Opening())
		}
		for _, v := range whole.Header().DeliveredTo {
			if len(v) > MaxDeliveredValue || strings.ContainsAny(v, "\r\n") {
				t.Fatalf("value %q", v)
			}
		}
		if len(content) >= MaxDeliveredValue {
			return
		}
		if h, o := reference(content); o != whole.Opening() || !reflect.DeepEqual(h, whole.Header()) {
			t.Fatalf("%q: got %+v %d, reference %+v %d", content, whole.Header(), whole.Opening(), h, o)
		}
	})
}

func BenchmarkHeaderScanner(b *testing.B) {
	var header strings.Builder
	header.WriteString("Received: from a (b [192.0.2.1])\r\n\tby c with ESMTP id d; Sat, 21 Nov 2026 10:00:00 +0000\r\n")
	for i := range 20 {
		fmt.Fprintf(&header, "X-Field-%d: some text that is as long as they are\r\n", i)
	}
	content := []byte(header.String() + "\r\n" + strings.Repeat("body of the message\r\n", 1000))
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		var s HeaderScanner
		for p := content; len(p) > 0 && !s.Done(); {
			n := min(4096, len(p))
			s.Write(p[:n])
			p = p[n:]
		}
		if s.Header().Fields != 21 {
			b.Fatal(s.Header())
		}
	}
}
