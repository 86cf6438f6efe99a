package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// converted returns a message as lines, or why that is not possible.
func converted(t testing.TB, content string, eightBit bool) (string, error) {
	t.Helper()
	var b bytes.Buffer
	err := Lines(&b, strings.NewReader(content), int64(len(content)), eightBit)
	var e *FormError
	if err != nil {
		if !errors.As(err, &e) || b.Len() > 0 {
			t.Fatalf("got %v after %d octets, want a *FormError and nothing written", err, b.Len())
		}
		return "", err
	}
	n := needs(b.String(), 1<<20)
	if n.Binary() || n.OpenEnd || !eightBit && (n.EightBit || n.HeaderEightBit) {
		t.Fatalf("%q became %q, which needs %+v", content, b.String(), n)
	}
	return b.String(), nil
}

// needs returns what a message needs that comes in pieces.
func needs(content string, piece int) Needs {
	var s NeedsScanner
	for p := range slices.Chunk([]byte(content), piece) {
		s.Write(p)
	}
	return s.Needs()
}

func TestNeedsScannerSaysWhatAMessageNeeds(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          Needs
	}{
		{"empty", "", Needs{}},
		{"plain", "A: b\r\n\r\nx\r\n", Needs{}},
		{"header beyond ASCII", "A: ü\r\n\r\nx\r\n", Needs{HeaderEightBit: true}},
		{"folded header beyond ASCII", "A: b\r\n ü\r\n\r\nx\r\n", Needs{HeaderEightBit: true}},
		{"body beyond ASCII", "A: b\r\n\r\nü\r\n", Needs{EightBit: true}},
		{"both", "A: ü\r\n\r\nü\r\n", Needs{EightBit: true, HeaderEightBit: true}},
		{"no header", "hü\r\n", Needs{EightBit: true}},
		{"header that a line ends", "A: b\r\nhello wörld\r\n", Needs{EightBit: true}},
		{"header of a part", "A: b\r\n\r\n--b\r\nA: ü\r\n\r\n", Needs{EightBit: true}},
		{"NUL", "A: b\r\n\r\n\x00\r\n", Needs{NUL: true}},
		{"bare CR", "A: b\r\n\r\nx\ry\r\n", Needs{BareCR: true}},
		{"two CRs", "A: b\r\n\r\nx\r\r\n", Needs{BareCR: true}},
		{"CR at the end", "A: b\r\n\r\nx\r", Needs{BareCR: true, OpenEnd: true}},
		{"bare LF", "A: b\r\n\r\nx\ny\r\n", Needs{BareLF: true}},
		{"two LFs", "A: b\r\n\r\nx\r\n\n", Needs{BareLF: true}},
		{"LF first", "\n", Needs{BareLF: true}},
		{"LF in the header", "A: b\nC: d\r\n\r\n", Needs{BareLF: true}},
		{"no end", "A: b\r\n\r\nx", Needs{OpenEnd: true}},
		{"long line", "A: b\r\n\r\n" + strings.Repeat("x", MaxLine+1) + "\r\n", Needs{LongLine: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 1 << 20} {
				if got := needs(c.content, n); got != c.want {
					t.Errorf("in pieces of %d: got %+v, want %+v", n, got, c.want)
				}
			}
		})
	}
}

const (
	versioned = "MIME-Version: 1.0\r\n"
	mixed     = versioned + "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)

func TestAMessageBecomesSevenBit(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"nothing to do", "A: b\r\n\r\n=\r\n", "A: b\r\n\r\n=\r\n"},
		{"labels alone", mixed + "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n--b--\r\n", mixed + "--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n--b--\r\n"},
		{"a label that is never allowed", versioned + "Content-Transfer-Encoding: binary\r\n\r\nplain\r\n", versioned + "Content-Transfer-Encoding: 7bit\r\n\r\nplain\r\n"},
		{"plain text", "A: b\r\n\r\nIt is fünf.\r\n", "A: b\r\nContent-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\nIt is f=C3=BCnf.\r\n"},
		{
			"label in its place", versioned + "Content-Transfer-Encoding: 8BIT\r\nA: b\r\n\r\nIt is fünf.\r\n",
			versioned + "Content-Transfer-Encoding: quoted-printable\r\nA: b\r\n\r\nIt is f=C3=BCnf.\r\n",
		},
		{
			"no text", versioned + "Content-Type: image/x\r\n\r\n\xff\xfe\r\n",
			versioned + "Content-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("\xff\xfe\r\n")) + "\r\n",
		},
		{
			"parts, and what encloses them",
			mixed + "Vorwort, hübsch\r\nplain\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nIt is fünf.\r\n--b--\r\nende ü\r\nende ü\r\nend\r\n",
			strings.Replace(mixed, "8bit", "7bit", 1) + "plain\r\n--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nplain\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nIt is f=C3=BCnf.\r\n--b--\r\nend\r\n",
		},
		{
			"message within", mixed + "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + versioned + "Content-Transfer-Encoding: 8bit\r\n\r\nIt is fünf.\r\n--b--\r\n",
			strings.Replace(mixed, "8bit", "7bit", 1) + "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + versioned + "Content-Transfer-Encoding: quoted-printable\r\n\r\nIt is f=C3=BCnf.\r\n--b--\r\n",
		},
		{
			"a signed part that is ASCII", mixed + "--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain=\r\n--s--\r\n--b\r\n\r\nIt is fünf.\r\n--b--\r\n",
			strings.Replace(mixed, "8bit", "7bit", 1) + "--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain=\r\n--s--\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nIt is f=C3=BCnf.\r\n--b--\r\n",
		},
		{
			"a report by RFC 6533", versioned + "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: It is fünf\r\n",
			versioned + "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: It is f=C3=BCnf\r\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			err := Lines(&b, strings.NewReader(c.content), int64(len(c.content)), false)
			if err != nil || b.String() != c.want {
				t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), c.want)
			}
		})
	}
}

func TestABinaryMessageBecomesLines(t *testing.T) {
	const image, text = "Content-Type: image/x\r\n", "Content-Type: text/plain; charset=utf-8\r\n"
	const binary = "Content-Transfer-Encoding: binary\r\n"
	b64 := func(s string) string {
		return "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(s))
	}
	for _, c := range []struct{ name, content, want string }{
		{"eight bits stay", versioned + "Content-Transfer-Encoding: 8bit\r\n\r\nfünf\r\n", versioned + "Content-Transfer-Encoding: 8bit\r\n\r\nfünf\r\n"},
		{"binary that is none", versioned + binary + "\r\nfünf\r\n", versioned + "Content-Transfer-Encoding: 8bit\r\n\r\nfünf\r\n"},
		{"an image", versioned + image + binary + "\r\nA\r\n\x00\nB\r", versioned + image + b64("A\r\n\x00\nB\r") + "\r\n"},
		{
			"an image in parts", versioned + "Content-Type: multipart/mixed; boundary=b\r\n" + binary + "\r\nx\x00\n\r\n--b\r\n" + image + binary + "\r\nA\n\r\n\r\n--b--\r\n\x00",
			versioned + "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\r\n--b\r\n" + image + b64("A\n\r\n") + "\r\n--b--\r\n",
		},
		{"lines of a text", versioned + text + binary + "\r\none\ntwo\rthree\r\nfour\n", versioned + text + "Content-Transfer-Encoding: quoted-printable\r\n\r\none\r\ntwo\r\nthree\r\nfour\r\n"},
		{"a text with NULs is left", versioned + text + binary + "\r\none\x00\ntwo and more of the same\r\n", versioned + text + "Content-Transfer-Encoding: quoted-printable\r\n\r\none=00=0Atwo and more of the same\r\n"},
		{"no line end at the end", "A: b\r\n\r\nx", "A: b\r\n\r\nx\r\n"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := converted(t, c.content, true); err != nil || got != c.want {
				t.Errorf("%v, got\n%q\nwant\n%q", err, got, c.want)
			}
		})
	}
}

func TestWhatCannotBeConvertedIsSaid(t *testing.T) {
	within := "something would have to be encoded in "
	multi := func(kind, part string) string {
		return "Content-Type: multipart/" + kind + "; boundary=b\r\n\r\n--b\r\n" + part + "\r\n--b--\r\n"
	}
	for _, c := range []struct {
		name, content, why string
		header             bool
	}{
		{"header beyond ASCII", "A: ü\r\n\r\n", errHeaderEightBit.Why, true},
		{"header of a part beyond ASCII", multi("mixed", "A: ü\r\n\r\nx"), errHeaderEightBit.Why, true},
		{"header of a message within beyond ASCII", "Content-Type: message/rfc822\r\n\r\nA: ü\r\n\r\nx\r\n", errHeaderEightBit.Why, true},
		{"NUL in a header", "A: \x00\r\n\r\n", errHeaderBinary.Why, false},
		{"LF alone in a header", "A: b\nC: d\r\n\r\n", errHeaderBinary.Why, false},
		{"LF alone after a header", "A: b\r\n\n", errHeaderBinary.Why, false},
		{"CR in a header", "A: b\rC: d\r\n\r\n", errHeaderBinary.Why, false},
		{"signed", multi("signed", "\r\nfünf"), within + "a part that is signed or encrypted", false},
		{"encrypted", multi("encrypted", "\r\nfünf"), within + "a part that is signed or encrypted", false},
		{"report", "Content-Type: message/delivery-status\r\n\r\nA: ü\r\n", within + "a part of the type message that is no whole message", false},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n\r\nü\r\n", within + "a part that is encoded already", false},
		{"base64", "Content-Transfer-Encoding: base64\r\n\r\nü\r\n", within + "a part whose structure can't be told", false},
		{"base64 in lines that end with LF", "Content-Transfer-Encoding: base64\r\n\r\nAAAA\nAAAA\r\n", within + "a part whose structure can't be told", false},
		{"boundary after LF", multi("mixed", "\r\nx\n--b\r\n\r\ny"), errHalfBoundary.Why, false},
		{"boundary before LF", multi("mixed", "\r\nx\r\n--b\n\r\ny"), errHalfBoundary.Why, false},
		{"boundary before CR", multi("mixed", "\r\nx\r\n--b \r \r\n\r\ny") + "ü", "", false},
		{"long header line", "A: " + strings.Repeat("x", 2000) + "\r\n\r\n", errLongHeader.Why, false},
		{"too many parts", multi("mixed", strings.Repeat("\r\n--b\r\n", MaxParts)), "it has too many parts to be encoded anew", false},
		{"too much in a preamble", strings.Replace(multi("mixed", "\r\nx"), "\r\n\r\n", "\r\n\r\n"+strings.Repeat("x\r\nü\r\n", maxDrops+1), 1), errTooManyDrops.Why, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := converted(t, c.content, false)
			var e *FormError
			switch {
			case c.why == "" && err == nil:
			case !errors.As(err, &e) || e.Why != c.why || e.HeaderEightBit != c.header:
				t.Errorf("got %v, want %s (for a header: %v)", err, c.why, c.header)
			}
		})
	}
}

func TestAStoreThatFailsIsNoFormError(t *testing.T) {
	down := errors.New("disk on fire")
	content := "A: b\r\n\r\n" + strings.Repeat("ü", 40<<10)
	f := &failing{after: 100, err: down}
	if err := Lines(f, strings.NewReader(content), int64(len(content)), false); err != down {
		t.Errorf("got %v, want %v", err, down)
	}
	if err := Lines(io.Discard, strings.NewReader(content[:100]), int64(len(content)), false); err == nil {
		t.Error("a message that ends early: got nil")
	}
}

func TestConversionTakesNoMoreMemoryForMore(t *testing.T) {
	used := func(lines int) float64 {
		content := versioned + "Content-Type: image/x\r\n\r\n" + strings.Repeat("\xff\x00\n\r\n", lines)
		return testing.AllocsPerRun(1, func() {
			if err := Lines(io.Discard, strings.NewReader(content), int64(len(content)), false); err != nil {
				t.Fatal(err)
			}
		})
	}
	if small, large := used(1000), used(1_000_000); large > small+10 {
		t.Errorf("%v allocations for a small message, %v for a large one", small, large)
	}
}

// asText returns parts with one kind of line end in those that are text, and without
// what ends the message.
func asText(all []leaf) []leaf {
	ends := strings.NewReplacer("\r\n", "\n", "\r", "\n")
	for i, l := range all {
		kind := regexp.MustCompile(`(?m)^Content-Type: "(.*)`).FindStringSubmatch(l.header)
		isText := kind == nil || strings.HasPrefix(kind[1], "text/")
		if isText && strings.IndexByte(l.content, 0) < 0 {
			all[i].content = ends.Replace(l.content)
		}
	}
	if n := len(all) - 1; n >= 0 {
		all[n].content = strings.TrimRight(all[n].content, "\r\n")
	}
	return all
}

func TestConvertedTheMessageIsWhatItWas(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		words := []string{"a", "=", "--b1", "--b2--", "-", " ", "\t", ".", "From ", "\x00", "\xff", "ü", "=3D", "\r\n", "\r\n--", "\r", "\n", strings.Repeat("long", 400)}
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, "words"), "")
	})
	rapid.Check(t, func(t *rapid.T) {
		content := drawEntity(t, text, versioned+"Subject: x\r\n", 0) + "\r\n"
		content = strings.ReplaceAll(strings.ReplaceAll(content, "\n--b", "\n-b"), "\r\n-b", "\r\n--b") // no boundary after LF
		eightBit := rapid.Bool().Draw(t, "8bit")
		var b bytes.Buffer
		if err := Lines(&b, strings.NewReader(content), int64(len(content)), eightBit); err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		want, err1 := leaves(content)
		got, err2 := leaves(b.String())
		if err1 != nil || err2 != nil || !slices.Equal(asText(got), asText(want)) {
			t.Fatalf("%v, %v\n%q became\n%q\ngot  %q\nwant %q", err1, err2, content, b.String(), got, want)
		}
	})
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{
		"", "A: b\r\n\r\nü", mixed + "ü\r\n--b\r\n\r\n\x00\r\n--b--\r\nü\r\n", "Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\nAA=\r\n",
		"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\n\r\r\n\n",
		"XContent-Type: multipart/digest; boundary=b\r\n\r\n-b\r\n\r\ny\r\xff\r\n",
		"Content-Type :message/rfc822\r\n\r\nA: b\r\n\r\n\r",
		"Content-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\xff\x00 \n",
		"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\nContent-Type: message/rfc822\r\n\r\n\r\nü\r\n--b--\r\n",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, content string, eightBit bool) {
		if len(content) > 1<<16 {
			return
		}
		got, err := converted(t, content, eightBit)
		if err != nil {
			return
		}
		if again, err := converted(t, got, eightBit); err != nil || again != got {
			t.Fatalf("%q became %q, and then %q (%v)", content, got, again, err)
		}
		want, err := leaves(content)
		if err != nil {
			return
		}
		if now, err := leaves(got); err != nil || !slices.Equal(asText(now), asText(want)) {
			t.Fatalf("%q became\n%q (%v)\ngot  %q\nwant %q", content, got, err, now, want)
		}
	})
}

func FuzzNeedsScanner(f *testing.F) {
	f.Add([]byte("A: b\r\n\r\nx\r\n"), 3)
	f.Add([]byte("A: \xff\n\r\n\x00\r\r"), 1)
	f.Fuzz(func(t *testing.T, content []byte, piece int) {
		if piece < 1 {
			return
		}
		if got, want := needs(string(content), piece), needs(string(content), len(content)+1); got != want {
			t.Fatalf("in pieces of %d: got %+v, want %+v", piece, got, want)
		}
	})
}
