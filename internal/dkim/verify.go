package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"time"
)

// Verification is what became of a DKIM signature.
type Verification struct {
	// Domain and Selector are empty if they can't be read; else lower case.
	Domain, Selector string
	Algorithm        Algorithm
	// Value is a word of RFC 8601 §2.7.1: pass, fail, policy, permerror, temperror.
	Value string
	// Reason says in words why it is not pass. It holds nothing of the message.
	Reason string
}

// Verifier checks what other servers signed.
type Verifier struct {
	// TXT looks keys up.
	TXT TXT
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (v Verifier) now() time.Time { return Settings{Now: v.Now}.now() }

// Verify checks the DKIM signatures of a message of so many octets, the topmost
// first and maxSignatures at most. The error is about reading content: TooLarge
// when its header is.
func (v Verifier) Verify(ctx context.Context, content io.ReaderAt, size int64) ([]Verification, error) {
	h, err := readHeader(content, size)
	if err != nil {
		return nil, err
	}
	return v.verify(ctx, h, &bodies{content: content, size: size, from: h.length})
}

func (v Verifier) verify(ctx context.Context, h *header, b *bodies) ([]Verification, error) {
	checks := v.signatures(ctx, h)
	for _, c := range checks {
		if c.refused == nil {
			b.want(c.body)
		}
	}
	if err := b.hash(ctx); err != nil {
		return nil, err
	}
	all := make([]Verification, 0, len(checks))
	for _, c := range checks {
		if c.refused == nil {
			c.refused = c.holds(h, b)
		}
		result := Verification{Domain: c.domain, Selector: c.selector, Algorithm: c.algorithm, Value: "pass"}
		if c.refused != nil {
			result.Value, result.Reason = c.refused.value, c.refused.reason
		}
		all = append(all, result)
	}
	return all, nil
}

// check is a signature with its key, or why it is refused.
type check struct {
	*signature
	key     published
	refused *refusal
}

// signatures reads the DKIM signatures and looks up their keys.
func (v Verifier) signatures(ctx context.Context, h *header) []check {
	var all []check
	for _, f := range h.fields {
		if !f.Is(fieldDKIM) {
			continue
		}
		if len(all) == maxSignatures {
			break
		}
		var c check
		c.signature, c.refused = parseSignature(f, v.now())
		if c.refused == nil {
			c.key, c.refused = v.key(ctx, c.algorithm, c.selector, c.domain)
		}
		if c.refused == nil && c.key.strict && c.identity != c.domain {
			c.refused = permanent(errIdentity)
		}
		all = append(all, c)
	}
	return all
}

// key finds the key for an algorithm.
func (v Verifier) key(ctx context.Context, a Algorithm, selector, domain string) (published, *refusal) {
	key, err := v.TXT.lookup(ctx, selector, domain)
	switch {
	case err == errUnknown:
		return key, &refusal{tempError, err.Error()}
	case err != nil:
		return key, permanent(err)
	case key.algorithm != a:
		return key, &refusal{"permerror", "the key is for another algorithm"}
	}
	return key, nil
}

// holds returns nil if the signature is good for what has been read.
func (c *check) holds(h *header, b *bodies) *refusal {
	switch {
	case !bytes.Equal(b.sums[c.body], c.bodyHash):
		return &refusal{"fail", "the body has been changed"}
	case !c.key.verify(c.digest(h), c.value):
		return &refusal{"fail", "the header has been changed, or the signature is another's"}
	}
	return nil
}

// bodies are the hashes of a body, by form; each is computed once, all of those
// that are wanted in one reading.
type bodies struct {
	content    io.ReaderAt
	size, from int64
	wanted     [2]bool
	sums       [2][]byte
}

func (b *bodies) want(f form) { b.wanted[f] = b.sums[f] == nil }

func (b *bodies) hash(ctx context.Context) error {
	var to []*body
	var done []func()
	for f := range b.wanted {
		if !b.wanted[f] {
			continue
		}
		sum := sha256.New()
		to = append(to, newBody(form(f), sum))
		done = append(done, func() { b.sums[f] = sum.Sum(nil) })
		b.wanted[f] = false
	}
	if err := hashBody(ctx, b.content, b.size, b.from, to); err != nil {
		return err
	}
	for _, f := range done {
		f()
	}
	return nil
}
