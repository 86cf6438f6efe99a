package dkim

import (
	"crypto/sha256"
	"strings"
	"testing"
)

// Mail of some sizes, in octets; what a person writes has 5 KiB or so.
var benchMail = []struct {
	name, line string
	body       int
}{
	{"text/5KiB", textLine, 5 << 10},
	{"text/1MiB", textLine, 1 << 20},
	{"base64/1MiB", strings.Repeat("QUJD", 19) + "\r\n", 1 << 20},
}

const textLine = "A line of text, of which a message has as many as it takes.\r\n"

// BenchmarkSign signs for an author with both keys, as most mail that goes out is.
func BenchmarkSign(b *testing.B) {
	for _, c := range benchMail {
		b.Run(c.name, func(b *testing.B) {
			s := newSite(b)
			s.signing("example.org")
			m := strings.NewReader(letter + strings.Repeat(c.line, c.body/len(c.line)))
			signer := s.signer()
			b.ReportAllocs()
			b.SetBytes(m.Size())
			for b.Loop() {
				if fields, err := signer.SignAuthor(b.Context(), m, m.Size()); err != nil || len(fields) == 0 {
					b.Fatal(fields, err)
				}
			}
		})
	}
}

// BenchmarkSecret is what of BenchmarkSign no care can spare: the keys' own work.
func BenchmarkSecret(b *testing.B) {
	sum := sha256.Sum256(nil)
	for _, k := range secrets() {
		b.Run(string(k.Algorithm), func(b *testing.B) {
			for b.Loop() {
				if _, err := sign(k.signer, sum[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
