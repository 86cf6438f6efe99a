package dkim

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"
)

// textbook is RFC 6376 §3.4.3 and §3.4.4 word for word, for a body in one piece.
func textbook(f form, b []byte) []byte {
	if f == relaxed {
		lines := bytes.Split(b, lineEnd)
		for i, line := range lines {
			lines[i] = whiteSpace.ReplaceAll(bytes.TrimRight(line, " \t"), octetSpace)
		}
		b = bytes.Join(lines, lineEnd)
	}
	for bytes.HasSuffix(b, lineEnd) {
		b = b[:len(b)-len(lineEnd)]
	}
	if f == relaxed && len(b) == 0 {
		return nil
	}
	return append(bytes.Clone(b), lineEnd...)
}

var whiteSpace = regexp.MustCompile(`[ \t]+`)

// anyBody is made of what canonicalization looks at; now and then it is longer than
// what is buffered.
func anyBody(r *rand.Rand) (b []byte) {
	pieces := []string{" ", "\t", "\r", "\n", "\r\n", "a", "b", "\x00", "\xff", ".", "  ", " \r\n", "\r\n\r\n"}
	for range r.IntN(14) {
		b = append(b, pieces[r.IntN(len(pieces))]...)
	}
	if r.IntN(500) == 0 {
		b = append(b, bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(2*bodyBuffer))...)
		b = append(b, bytes.Repeat([]byte(pieces[r.IntN(len(pieces))]), r.IntN(bodyBuffer))...)
		b = append(b, "x  \r\n"...)
	}
	return b
}

// TestABodyInPiecesIsCanonicalizedByTheBook also overwrites what it has written:
// nothing of it may be kept.
func TestABodyInPiecesIsCanonicalizedByTheBook(t *testing.T) {
	r := rand.New(rand.NewPCG(6376, 3))
	for range 50_000 {
		content := anyBody(r)
		for _, f := range []form{simple, relaxed} {
			var got bytes.Buffer
			b := newBody(f, &got)
			for rest := bytes.Clone(content); len(rest) > 0; {
				n := 1 + r.IntN(len(rest))
				_, _ = b.Write(rest[:n])
				clear(rest[:n])
				rest = rest[n:]
			}
			b.end()
			if want := textbook(f, content); !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("%s %q: got %.100q, want %.100q", f, content, got.Bytes(), want)
			}
		}
	}
}
