package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// shortened returns a message with short lines, or why there is none.
func shortened(t testing.TB, content string) (string, error) {
	t.Helper()
	var b bytes.Buffer
	err := ShortenLines(&b, strings.NewReader(content), int64(len(content)))
	var e *LineError
	switch {
	case err != nil && !errors.As(err, &e):
		t.Fatalf("got %v, want a *LineError", err)
	case err != nil && b.Len() > 0:
		t.Fatalf("%d octets were written before %v", b.Len(), err)
	case err == nil && tooLong(b.String()):
		t.Fatalf("a line is too long in %.3000q", b.String())
	}
	return b.String(), err
}

func tooLong(content string) bool {
	var w LineWatcher
	w.Write([]byte(content))
	return w.Long()
}

func TestLineWatcherCountsWithoutTheLineEnd(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, content string
		want          bool
	}{
		{"empty", "", false},
		{"998", "a\r\n" + x(998) + "\r\nb\r\n", false},
		{"999", "a\r\n" + x(999) + "\r\nb\r\n", true},
		{"999 with a CR in it", x(500) + "\r" + x(498) + "\r\n", true},
		{"998 last", x(998), false},
		{"999 last", x(999), true},
		{"998 and bare LF", x(998) + "\n", false},
		{"999 and bare LF", x(999) + "\n", true},
		{"a million", x(1_000_000), true},
		{"many short ones", strings.Repeat("x\r\n", 1000), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 7, 998, 999, 1000, 1001, 1 << 20} {
				var w LineWatcher
				for p := range slices.Chunk([]byte(c.content), n) {
					w.Write(p)
				}
				if w.Long() != c.want {
					t.Errorf("in pieces of %d: got %v, want %v", n, w.Long(), c.want)
				}
			}
		})
	}
}

const lineOf = 2500

func TestPartsWithLongLinesAreEncodedAndNothingElse(t *testing.T) {
	long := strings.Repeat("0123456789", lineOf/10)
	quoted := strings.Repeat(strings.Repeat("0123456789", 8)[:75]+"=\r\n", 0)
	for p := long; len(p) > 0; {
		n := min(75, len(p))
		quoted += p[:n]
		if p = p[n:]; len(p) > 0 {
			quoted += "=\r\n"
		}
	}
	wrapped := func(s string) string {
		b := base64.StdEncoding.EncodeToString([]byte(s))
		return strings.Join(slices.Collect(func(yield func(string) bool) {
			for len(b) > 76 && yield(b[:76]) {
				b = b[76:]
			}
			yield(b)
		}), "\r\n")
	}
	const multi = "Content-Type: multipart/mixed; boundary=\"b=b\"\r\n\r\npreamble\r\n--b=b\r\n"
	for _, c := range []struct{ name, content, want string }{
		{"nothing to do", "A: b\r\n\r\n" + long[:998] + "\r\n", "A: b\r\n\r\n" + long[:998] + "\r\n"},
		{
			"plain text", "A: b\r\n\r\nx=y \r\n" + long + "\r\n",
			"A: b\r\nContent-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\nx=3Dy=20\r\n" + quoted + "\r\n",
		},
		{
			"an encoding is replaced in its place", "MIME-Version: 1.0\r\nContent-transfer-encoding:\r\n 8bit\r\nA: b\r\n\r\n" + long + "\r\n",
			"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\nA: b\r\n\r\n" + quoted + "\r\n",
		},
		{
			"no text", "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\r\n" + long + "\r\n",
			"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + wrapped(long+"\r\n") + "\r\n",
		},
		{
			"text that is hardly ASCII", "MIME-Version: 1.0\r\n\r\n" + strings.Repeat("ü", lineOf) + "\r\n",
			"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n" + wrapped(strings.Repeat("ü", lineOf)+"\r\n") + "\r\n",
		},
		{
			"one of several parts",
			"MIME-Version: 1.0\r\n" + multi + "\r\nshort \r\n--b=b\r\nContent-Type: text/html\r\n\r\n" + long + "\r\n--b=b  \r\nContent-Type: image/x\r\n\r\n" + long + "\r\n--b=b--\r\nepilogue\r\n",
			"MIME-Version: 1.0\r\n" + multi + "\r\nshort \r\n--b=b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted +
				"\r\n--b=b  \r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + wrapped(long) + "\r\n--b=b--\r\nepilogue\r\n",
		},
		{
			"a part without a header, the last boundary missing", multi + "\r\n" + long + "\r\n",
			strings.Replace(multi, "\r\n\r\n", "\r\nMIME-Version: 1.0\r\n\r\n", 1) + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted + "\r\n",
		},
		{
			"base64 in one line", "Content-Transfer-Encoding: BASE64\r\n\r\n" + long + "\r\nAA==\r\n",
			"Content-Transfer-Encoding: BASE64\r\n\r\n" + strings.Join(breakAt(long, 76), "\r\n") + "\r\nAA==\r\n",
		},
		{
			"a header line", "A: b\r\nX-Long: " + strings.Repeat(strings.Repeat("x", 19)+" ", 60) + "\r\nC: d\r\n\r\n",
			"A: b\r\nX-Long: " + strings.Repeat("x", 19) + strings.Repeat(" "+strings.Repeat("x", 19), 2) + "\r\n" +
				strings.Repeat(strings.Repeat(" "+strings.Repeat("x", 19), 3)+"\r\n", 18) + strings.Repeat(" "+strings.Repeat("x", 19), 3) + " \r\nC: d\r\n\r\n",
		},
		{
			"a header line with white space before its colon", "X" + strings.Repeat(" ", 60) + ":" + long[:100] + " " + long[:900] + "\r\nC: d\r\n\r\n",
			"X" + strings.Repeat(" ", 60) + ":" + long[:100] + "\r\n " + long[:900] + "\r\nC: d\r\n\r\n",
		},
		{
			"comments about the encoding and the type", "Content-Transfer-Encoding: (x (y\\))) 8bit (comment)\r\nMIME-Version: 1.0\r\nContent-Type: image/x (an; image)\r\n\r\n" + long + "\r\n",
			"Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\nContent-Type: image/x (an; image)\r\n\r\n" + wrapped(long+"\r\n") + "\r\n",
		},
		{
			"a boundary that lacks its quotes", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; (a) boundary=--=_x;\r\n\r\n----=_x\r\n\r\n" + long + "\r\n----=_x--\r\n",
			"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; (a) boundary=--=_x;\r\n\r\n----=_x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted + "\r\n----=_x--\r\n",
		},
		{
			"addresses without a space between them", "A: b\r\nTo:" + strings.Repeat(long[:30]+"@x.test,", 40) + "z@x.test\r\nC: d\r\n\r\n",
			"A: b\r\nTo:" + long[:30] + "@x.test,\r\n" + strings.Repeat(strings.Repeat(" "+long[:30]+"@x.test,", 2)+"\r\n", 19) + " " + long[:30] + "@x.test, z@x.test\r\nC: d\r\n\r\n",
		},
		{
			"addresses with commas in names", "Cc: \"" + long[:40] + ",b\r\n \\\"" + long[:40] + ",b\",(" + long[:40] + ",b)[" + long[:40] + ",b],x," + strings.Repeat("a", 900) + "\r\n\r\n",
			"Cc: \"" + long[:40] + ",b\r\n \\\"" + long[:40] + ",b\",\r\n (" + long[:40] + ",b)[" + long[:40] + ",b],\r\n x," + strings.Repeat("a", 900) + "\r\n\r\n",
		},
		{
			"messages within the message",
			"MIME-Version: 1.0\r\n" + multi + "Content-Type: message/rfc822; x=y\r\n\r\nA: b\r\n\r\n" + long + "\r\n--b=b\r\nContent-Type: message/rfc822\r\n\r\n" +
				"MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\nC: d\r\nContent-Type: image/x\r\n\r\n" + long + "\r\n--c--\r\n\r\n--b=b\r\n\r\n" + long + "\r\n--b=b--\r\n",
			"MIME-Version: 1.0\r\n" + multi + "Content-Type: message/rfc822; x=y\r\n\r\nA: b\r\nContent-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\n" + quoted +
				"\r\n--b=b\r\nContent-Type: message/rfc822\r\n\r\nMIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\nC: d\r\nContent-Type: image/x\r\n" +
				"Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\n" + wrapped(long) + "\r\n--c--\r\n\r\n--b=b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted + "\r\n--b=b--\r\n",
		},
		{
			"a line that would look like the boundary", multi + "\r\n" + long[:75] + "--b=b \r\n" + long + "\r\n--b=b--\r\n",
			strings.Replace(multi, "\r\n\r\n", "\r\nMIME-Version: 1.0\r\n\r\n", 1) + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + long[:75] + "=\r\n=2D-b=3Db=20\r\n" + quoted + "\r\n--b=b--\r\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := shortened(t, c.content)
			if err != nil || got != c.want {
				t.Errorf("%v, got\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
}

func TestEncodingMakesAMessageLongerByLessThanHalf(t *testing.T) {
	for _, filling := range []string{"x", "x \u00fc words ", "12345=", "1234=", "=", "\u00fc", "\x00", "\xff\r\n", "\t", "x \r\n", " \r\n", "-", "-\r\n"} {
		for _, kind := range []string{"text/html", "image/x"} {
			body := strings.Repeat(filling, 1<<20/len(filling)) + "\r\n" + strings.Repeat("x", lineOf) + "\r\n"
			got, err := shortened(t, "MIME-Version: 1.0\r\nContent-Type: "+kind+"\r\n\r\n"+body)
			if most := len(body) * 3 / 2; err != nil || len(got) > most {
				t.Errorf("%s of %q: %d octets became %d, want at most %d (%v)", kind, filling, len(body), len(got), most, err)
			}
		}
	}
}

func breakAt(s string, n int) (lines []string) {
	for ; len(s) > n; s = s[n:] {
		lines = append(lines, s[:n])
	}
	return append(lines, s)
}

func TestWhatCannotBeShortenedIsSaid(t *testing.T) {
	long := strings.Repeat("x", lineOf)
	multi := func(kind, part string) string {
		return "Content-Type: multipart/" + kind + "; boundary=b\r\n\r\n--b\r\n" + part + "\r\n--b--\r\n"
	}
	nested := long + "\r\n"
	for i := range MaxPartDepth + 1 {
		b := fmt.Sprintf("b%d", i)
		nested = "Content-Type: multipart/mixed; boundary=" + b + "\r\n\r\n--" + b + "\r\n" + nested + "\r\n--" + b + "--\r\n"
	}
	for _, c := range []struct {
		name, content, why string
		header             bool
	}{
		{"header line without a space", "A: " + long + "\r\n\r\n", errLongHeader.Why, true},
		{"header line with a space at its end only", "A:" + long + " \r\n\r\n", errLongHeader.Why, true},
		{"header line with commas, of no addresses", "X-To: " + strings.Repeat("a@b.test,", 200) + "\r\n\r\n", errLongHeader.Why, true},
		{"address line without commas outside of a name", "To: a,\r\n b,\"" + strings.Repeat("a@b.test,", 200) + "\"\r\n\r\n", errLongHeader.Why, true},
		{"header line with spaces only", "A: b" + strings.Repeat(" ", lineOf) + "c\r\n\r\n", errLongHeader.Why, true},
		{"header line longer than is folded", "A: " + strings.Repeat("x ", MaxFoldedLine/2) + "\r\n\r\n", errLongHeader.Why, true},
		{"signed", multi("signed", "\r\n"+long), whySealed, false},
		{"encrypted", multi("encrypted", "\r\n"+long), whySealed, false},
		{"signed in a mixed", multi("mixed", strings.ReplaceAll(multi("signed", "\r\n"+long), "b", "c")), whySealed, false},
		{"message within that is encoded", multi("mixed", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"+long), whyEncoded, false},
		{"part of a message within", multi("mixed", "Content-Type: message/partial; id=x\r\n\r\nA: b\r\n\r\n"+long), whyMessage, false},
		{"message within a signed part", multi("signed", "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\n"+long), whySealed, false},
		{"signed in a message within", "Content-Type: message/rfc822\r\n\r\n" + multi("signed", "\r\n"+long), whySealed, false},
		{"malformed header of a message within", multi("mixed", "Content-Type: message/rfc822\r\n\r\nhello there\r\n\r\n"+long), whyMalformed, false},
		{"messages nested too deep", strings.Repeat("Content-Type: message/rfc822\r\n\r\n", MaxPartDepth+1) + "A: b\r\n\r\n" + long, whyDeep, false},
		{"delivery status", multi("report", "Content-Type: message/delivery-status\r\n\r\nA: "+long), whyMessage, false},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + long + "\r\n", whyEncoded, false},
		{"unknown encoding", "Content-Transfer-Encoding: x-uuencode\r\n\r\n" + long + "\r\n", whyEncoded, false},
		{"a comment about the encoding does not end", "Content-Transfer-Encoding: 8bit (x\r\n\r\n" + long + "\r\n", whyMalformed, false},
		{"two encodings", "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + long + "\r\n", whyMalformed, false},
		{"two types", "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n" + long + "\r\n", whyMalformed, false},
		{"no type", "Content-Type: text\r\n\r\n" + long + "\r\n", whyMalformed, false},
		{"base64 that is none", "Content-Transfer-Encoding: base64\r\n\r\n" + long + "-\r\n", whyMalformed, false},
		{"no boundary", "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n" + long + "\r\n", whyMalformed, false},
		{"boundary too long", "Content-Type: multipart/mixed; boundary=" + long[:71] + "\r\n\r\n" + long + "\r\n", whyMalformed, false},
		{"encoded multipart", strings.Replace(multi("mixed", "\r\n"+long), "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1), whyMalformed, false},
		{"malformed part header", multi("mixed", "hello there\r\n\r\n"+long), whyMalformed, false},
		{"part header begins folded", multi("mixed", " x: y\r\n\r\n"+long), whyMalformed, false},
		{"preamble", strings.Replace(multi("mixed", "\r\nx"), "\r\n\r\n", "\r\n\r\n"+long+"\r\n", 1), errOutside.Why, false},
		{"epilogue", multi("mixed", "\r\nx") + long + "\r\n", errOutside.Why, false},
		{"white space behind a boundary", multi("mixed", "\r\nx\r\n--b"+strings.Repeat(" ", lineOf)+"\r\n\r\ny"), errOutside.Why, false},
		{"nested too deep", nested, whyDeep, false},
		{"too many parts", multi("mixed", strings.Repeat("\r\n--b\r\n", MaxParts)+"\r\n"+long), errTooManyParts.Why, false},
		{"too many folds", strings.Repeat("A: "+strings.Repeat("x ", 600)+"\r\n", maxFolds+1) + "\r\n", errTooManyFolds.Why, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := shortened(t, c.content)
			var e *LineError
			if !errors.As(err, &e) || e.Why != c.why || e.Header != c.header {
				t.Errorf("got %v, want %s (in a header: %v)", err, c.why, c.header)
			}
		})
	}
}

func TestSealedPartsWithShortLinesStayBesideLongOnes(t *testing.T) {
	const signed = "Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\nA: b\r\n\r\nx=y \r\n--c--\r\n"
	content := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + signed + "\r\n--b\r\n\r\n" + strings.Repeat("x", lineOf) + "\r\n--b--\r\n"
	got, err := shortened(t, content)
	if err != nil || !strings.Contains(got, "--b\r\n"+signed+"\r\n--b\r\n") {
		t.Errorf("%v, got\n%s", err, got)
	}
}

// failing is a store that fails after so many octets.
type failing struct {
	io.ReaderAt
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestAStoreThatFailsIsNoLineError(t *testing.T) {
	down := errors.New("disk on fire")
	long := strings.Repeat("x ", lineOf) + "\r\n"
	for _, content := range []string{
		"A: b\r\n\r\n" + long, "X: " + long + "\r\n", "Content-Type: a/b\r\n\r\n" + long,
		"Content-Transfer-Encoding: base64\r\n\r\n" + strings.ReplaceAll(long, " ", "x"),
	} {
		for _, after := range []int{0, 100, 3000} {
			f := &failing{after: after, err: down}
			if err := ShortenLines(f, strings.NewReader(content), int64(len(content))); err != down {
				t.Errorf("after %d octets: got %v, want %v", after, err, down)
			}
		}
		short := strings.NewReader(content[:len(content)/2])
		if err := ShortenLines(io.Discard, short, int64(len(content))); err == nil {
			t.Error("a message that ends early: got nil")
		}
	}
}

// leaf is a part that is none of several, decoded.
type leaf struct{ header, content string }

// leaves reads a message by other means, with its parts one after the other.
func leaves(content string) ([]leaf, error) {
	m, err := mail.ReadMessage(strings.NewReader(content))
	if err != nil {
		return nil, err
	}
	return leavesOf(nil, "", map[string][]string(m.Header), m.Body, 0)
}

// leavesOf reads an entity that is of the standard type if it does not say.
func leavesOf(all []leaf, standard string, header map[string][]string, body io.Reader, depth int) ([]leaf, error) {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(header["Content-Transfer-Encoding"], "|")))
	field := strings.Join(header["Content-Type"], "|")
	kind, params, err := mime.ParseMediaType(field)
	if strings.Contains(coding+field, "(") || err != nil && strings.Contains(kind, "multipart") {
		return nil, errors.New("this reader knows no comments and no lax boundaries")
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(header)), func(name string) bool { return strings.TrimRight(name, " \t") != name }) {
		return nil, errors.New("this reader knows no white space before the colon (RFC 5322 §4.5)")
	}
	if header["Content-Type"] == nil {
		kind, err = standard, nil
	}
	if kind == "message/rfc822" && slices.Contains(identities, coding) && depth < 2*MaxPartDepth {
		m, err := mail.ReadMessage(body)
		if err != nil {
			return nil, err
		}
		return leavesOf(append(all, leaf{header: flat(header)}), "", map[string][]string(m.Header), m.Body, depth+1)
	}
	if err == nil && strings.HasPrefix(kind, "multipart/") && depth < 2*MaxPartDepth {
		all = append(all, leaf{header: flat(header)})
		r, within := multipart.NewReader(body, params["boundary"]), ""
		if kind == "multipart/digest" {
			within = "message/rfc822"
		}
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return all, nil
			}
			if err != nil {
				return nil, err
			}
			if all, err = leavesOf(all, within, map[string][]string(p.Header), p, depth+1); err != nil {
				return nil, err
			}
		}
	}
	switch coding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	return append(all, leaf{flat(header), string(b)}), err
}

// flat writes a header without what ShortenLines may change.
func flat(header map[string][]string) string {
	var lines []string
	for name, values := range header {
		if name != "Content-Transfer-Encoding" && name != "Mime-Version" {
			value := strings.Join(strings.Fields(strings.Join(values, "|")), " ")
			if slices.ContainsFunc(addressFields, Field{Name: []byte(name)}.Is) {
				value = strings.ReplaceAll(value, ", ", ",")
			}
			lines = append(lines, fmt.Sprintf("%s: %q", name, value))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestDecodedTheMessageIsWhatItWas(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		words := []string{"a", "=", "--b1", "--b2--", "-", " ", "\t", ".", "From ", "\x00", "\xff", "ü", "=3D", "\r\n", "\r\n--", "\r\n--b1x", strings.Repeat("long", 400), strings.Repeat(" ", 1200)}
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, "words"), "")
	})
	rapid.Check(t, func(t *rapid.T) {
		content := drawEntity(t, text, "MIME-Version: 1.0\r\nSubject: "+rapid.SampledFrom([]string{"x", strings.Repeat("many words ", 100)}).Draw(t, "subject")+"\r\n", 0) + "\r\n"
		var b bytes.Buffer
		err := ShortenLines(&b, strings.NewReader(content), int64(len(content)))
		if err != nil || tooLong(b.String()) {
			t.Fatalf("%v: %q became %q", err, content, b.String())
		}
		want, err1 := leaves(content)
		got, err2 := leaves(b.String())
		if err1 != nil || err2 != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v\n%q became\n%q\ngot  %q\nwant %q", err1, err2, content, b.String(), got, want)
		}
	})
}

// drawEntity makes up a message or a part of one, without its last line end.
func drawEntity(t *rapid.T, text *rapid.Generator[string], header string, depth int) string {
	if depth < 3 && rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		boundary := fmt.Sprintf("b%d", depth)
		s := header + "Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n"
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			s += "--" + boundary + "\r\n" + drawEntity(t, text, "", depth+1) + "\r\n"
		}
		return s + "--" + boundary + "--"
	}
	if depth < 3 && rapid.IntRange(0, 3).Draw(t, "message") == 0 {
		return header + "Content-Type: message/rfc822\r\n\r\n" + drawEntity(t, text, "Subject: within\r\n", depth+1)
	}
	kind := rapid.SampledFrom([]string{"", "text/html; charset=utf-8", "application/pdf", "image/png"}).Draw(t, "type")
	if kind != "" {
		header += "Content-Type: " + kind + "\r\n"
	}
	body := text.Draw(t, "body")
	switch rapid.IntRange(0, 3).Draw(t, "coding") {
	case 0:
		header += "Content-Transfer-Encoding: base64\r\n"
		body = base64.StdEncoding.EncodeToString([]byte(body))
	case 1:
		header += "Content-Transfer-Encoding: 8bit\r\n"
	}
	if depth > 0 && header == "" {
		header = "X: y\r\n"
	}
	return header + "\r\n" + safe(body)
}

// safe takes lines out of a text that would end a part.
func safe(text string) string {
	lines := strings.Split(text, "\r\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "--b") {
			lines[i] = "x" + l
		}
	}
	return strings.Join(lines, "\r\n")
}

func FuzzShortenLines(f *testing.F) {
	long := strings.Repeat("x", 1000)
	for _, s := range []string{
		"", "A: b\r\n\r\n" + long, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + long + "\r\n--b--\r\n",
		"Content-Transfer-Encoding: base64\r\n\r\n" + long, "Subject: " + strings.Repeat("x ", 600), "\r\n" + long,
		"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n" + long,
		"Content-Type: image/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + long + "\r\n\xff\x00 ",
		"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\nContent-Type: message/rfc822\r\n\r\n\r\n" + long + "\r\n--b--\r\n",
	} {
		f.Add(s, "")
	}
	f.Add("To: ~\r\nCc: \"a\r\n ,~\",(,~),~\r\n\r\n", "someone@example.test,")
	f.Add("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n~\r\n--b--\r\n", "=-")
	f.Fuzz(func(t *testing.T, content, filling string) {
		// A ~ is a long run, which the fuzzer would not come to; lines end with CRLF.
		run := strings.Repeat(filling+"x", 1000/(len(filling)+1)+1)
		content = strings.ReplaceAll(content, "~", run)
		content = strings.ReplaceAll(strings.ReplaceAll(content, "\r", ""), "\n", "\r\n")
		if len(content) > 1<<16 {
			return
		}
		if !strings.HasSuffix(content, "\r\n") {
			content += "\r\n"
		}
		got, err := shortened(t, content)
		switch {
		case err != nil && !tooLong(content):
			t.Fatalf("%q: %v", content, err)
		case err != nil:
			return
		case !tooLong(content) && got != content:
			t.Fatalf("%q has no long line and became %q", content, got)
		}
		if again, err := shortened(t, got); err != nil || again != got {
			t.Fatalf("%q became %q, and then %q (%v)", content, got, again, err)
		}
		want, err := leaves(content)
		if err != nil {
			return
		}
		if now, err := leaves(got); err != nil || !slices.Equal(now, want) {
			t.Fatalf("%q became\n%q (%v)\ngot  %q\nwant %q", content, got, err, now, want)
		}
	})
}
