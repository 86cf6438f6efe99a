package dkim

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"postrider/internal/message"
)

func FuzzTags(f *testing.F) {
	for _, s := range []string{"v=1; a=rsa-sha256; b=abc", "v=DKIM1; p=", ";", "a=b;;", "a = b ; c=\r\n d", "a=b;a=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, err := parseTags(s)
		if err == nil && len(tags) > maxTags {
			t.Errorf("%d tags", len(tags))
		}
		_, _ = parsePublished(s)
	})
}

// FuzzSignature holds that nothing in a signature field upsets us, and that its
// value alone is taken out of it.
func FuzzSignature(f *testing.F) {
	f.Add(" v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=k;\r\n h=From:To; bh=AAAA; b=AAAA\r\n BBBB; t=1\r\n")
	f.Add(" i=1; cv=none; b=")
	f.Fuzz(func(t *testing.T, body string) {
		body = strings.NewReplacer("\r", "", "\n", "").Replace(body) + "\r\n"
		raw := []byte(fieldDKIM + ":" + body)
		field := message.Field{Name: raw[:len(fieldDKIM)], Raw: raw, Body: raw[len(fieldDKIM)+1:]}
		_, _ = parseSignature(field, testTime)
		_, _, _ = readInstance(field)
		without := withoutValue(field)
		if again := withoutValue(without); !bytes.Equal(again.Raw, without.Raw) {
			t.Errorf("%q, then %q", without.Raw, again.Raw)
		}
		before, err1 := parseTags(body)
		after, err2 := parseTags(string(without.Body))
		if err1 != nil || err2 != nil {
			return
		}
		for name, value := range before {
			if name != "b" && after[name] != value {
				t.Errorf("%s was %q, is %q", name, value, after[name])
			}
		}
		if after["b"] != "" {
			t.Errorf("a value is left: %q", after["b"])
		}
	})
}

// FuzzBody writes a body in pieces of another size: its hash is the same.
func FuzzBody(f *testing.F) {
	f.Add([]byte("a \r\n\r\n b\t\tc\r\r\n \r\n"), 3)
	f.Add([]byte("\r\n"), 1)
	f.Fuzz(func(t *testing.T, content []byte, step int) {
		for _, form := range []form{simple, relaxed} {
			whole, pieces := sha256.New(), sha256.New()
			b := newBody(form, whole)
			_, _ = b.Write(content)
			b.end()
			b = newBody(form, pieces)
			for rest := content; len(rest) > 0; {
				n := min(max(step%7, 1), len(rest))
				_, _ = b.Write(rest[:n])
				rest = rest[n:]
			}
			b.end()
			if !bytes.Equal(whole.Sum(nil), pieces.Sum(nil)) {
				t.Errorf("%s: the hash depends on the pieces", form)
			}
		}
	})
}

// FuzzVerify gives whole messages to the verifier of signatures and chains, and to
// the sealer, which writes no line end but CRLF.
func FuzzVerify(f *testing.F) {
	s := newSite(f)
	f.Add([]byte(hops(s, 2)))
	f.Add([]byte(strings.ReplaceAll(rfc8463, "\n", "\r\n")))
	f.Add([]byte("ARC-Seal: i=1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, size := bytes.NewReader(content), int64(len(content))
		all, err := s.verifier().Verify(t.Context(), r, size)
		if err != nil {
			return
		}
		if _, err := s.verifier().Chain(t.Context(), r, size); err != nil {
			t.Errorf("the chain: %v", err)
		}
		sealed, err := NewSealer(s.keys, s.verifier(), "mail.example.org", Settings{Now: s.clock()}).
			Seal(t.Context(), "example.org", Forward{Stored: r})
		if err != nil {
			t.Errorf("the seal: %v", err)
		}
		if bytes.Contains(bytes.ReplaceAll(sealed, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("a line end in %q", sealed)
		}
		if len(all) > maxSignatures {
			t.Errorf("%d signatures were verified", len(all))
		}
	})
}
