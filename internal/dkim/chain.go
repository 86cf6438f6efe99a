package dkim

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/message"
)

// Words for the state of a chain (RFC 8617 §4.4).
const (
	ChainNone = "none"
	ChainPass = "pass"
	ChainFail = "fail"
)

// Chain is what became of an ARC chain (RFC 8617 §5.2).
type Chain struct {
	// Status is one of the words above.
	Status string
	// Sets is the highest instance in the chain.
	Sets int
	// Ended: the newest seal says that the chain has failed. It is not continued.
	Ended bool
	// Unknown: it failed since a key could not be looked up, and may pass later.
	Unknown bool
	// Reason says in words why it failed. It holds nothing of the message.
	Reason string
}

// open reports whether a set may be put on it.
//
// A chain that fails for a key that could not be looked up gets none, though such a
// failure is as permanent as any for who verifies (RFC 8617 §5.2.1): it is the seal
// with cv=fail that would make it so for all who come after (§5.2, step 2), for one
// hiccup of the DNS, while nobody has to seal (§5.1.4). Left as it is, the chain
// passes at a next host that finds the key; at one that does not, it is as good as
// none, as it would be with our seal (§5.2).
func (c *Chain) open() bool { return !c.Ended && !c.Unknown && c.Sets < maxInstance }

// set is what one host has put on a message.
type set struct {
	results, signature, seal message.Field
	sealTags                 tags
}

// Chain checks the ARC chain of a message of so many octets. All failures are
// permanent (RFC 8617 §5.2.1). The error is about reading content.
func (v Verifier) Chain(ctx context.Context, content io.ReaderAt, size int64) (Chain, error) {
	h, err := readHeader(content, size)
	if err != nil {
		return Chain{}, err
	}
	return v.chain(ctx, h, &bodies{content: content, size: size, from: h.length})
}

func (v Verifier) chain(ctx context.Context, h *header, b *bodies) (Chain, error) {
	sets, c := readChain(h)
	if c.Status != ChainPass {
		return c, nil
	}
	fail := func(what string, refused *refusal) (Chain, error) {
		c.Status, c.Reason, c.Unknown = ChainFail, what+": "+refused.reason, refused.unknown()
		return c, nil
	}
	s, key, refused := v.messageSignature(ctx, sets[len(sets)-1].signature)
	if refused != nil {
		return fail("its newest signature", refused)
	}
	b.want(s.body)
	if err := b.hash(ctx); err != nil {
		return c, err
	}
	if refused := (&check{signature: s, key: key}).holds(h, b); refused != nil {
		return fail("its newest signature", refused)
	}
	for n := len(sets); n > 0; n-- {
		if refused := v.sealed(ctx, sets[:n]); refused != nil {
			return fail("seal "+strconv.Itoa(n), refused)
		}
	}
	return c, nil
}

// readChain collects a chain and looks at its structure (RFC 8617 §5.2, steps 1 to
// 3). Its status is pass if the signatures are worth a look.
func readChain(h *header) ([]set, Chain) {
	sets, c := collect(h)
	if c.Status == ChainNone {
		return nil, c
	}
	if c.Sets > 0 && sets[c.Sets-1].sealTags["cv"] == ChainFail {
		c.Status, c.Ended, c.Reason = ChainFail, true, "a host before us has found that it fails"
	}
	if c.Status == ChainFail {
		return nil, c
	}
	sets = sets[:c.Sets]
	for i, s := range sets {
		want := ChainPass
		if i == 0 {
			want = ChainNone
		}
		switch {
		case s.results.Name == nil || s.signature.Name == nil || s.seal.Name == nil:
			c.Status, c.Reason = ChainFail, "a field of it is missing"
		case s.sealTags["cv"] != want:
			c.Status, c.Reason = ChainFail, "a seal does not say "+want+" where it has to"
		}
	}
	return sets, c
}

// collect sorts the fields of a chain by their instance.
func collect(h *header) ([]set, Chain) {
	sets := make([]set, maxInstance)
	c := Chain{Status: ChainNone}
	fail := func(why string) {
		if c.Status != ChainFail {
			c.Status, c.Reason = ChainFail, why
		}
	}
	for _, f := range h.fields {
		if !f.Is(fieldAAR) && !f.Is(fieldAMS) && !f.Is(fieldAS) {
			continue
		}
		if c.Status == ChainNone {
			c.Status = ChainPass
		}
		n, t, err := readInstance(f)
		if err != nil {
			fail("a field of it can't be read")
			continue
		}
		c.Sets = max(c.Sets, n)
		s := &sets[n-1]
		place := &s.results
		switch {
		case f.Is(fieldAMS):
			place = &s.signature
		case f.Is(fieldAS):
			place, s.sealTags = &s.seal, t
		}
		if place.Name != nil {
			fail("a field of it stands there twice")
		}
		*place = f
	}
	return sets, c
}

// readInstance reads a field's instance (RFC 8617 §4.2.1), and the tags of those
// that are tag lists.
func readInstance(f message.Field) (int, tags, error) {
	text := string(f.Body)
	if f.Is(fieldAAR) { // what follows is no tag list
		text, _, _ = strings.Cut(text, ";")
	}
	t, err := parseTags(text)
	if err != nil {
		return 0, nil, err
	}
	n, err := strconv.ParseUint(t["i"], 10, 8)
	if err != nil || n < 1 || n > maxInstance || len(t["i"]) > 2 {
		return 0, nil, errNumber
	}
	return int(n), t, nil
}

// messageSignature reads an ARC-Message-Signature, a DKIM signature without v and
// with another i (RFC 8617 §4.1.2), and finds its key.
func (v Verifier) messageSignature(ctx context.Context, f message.Field) (*signature, published, *refusal) {
	t, err := parseTags(string(f.Body))
	if err != nil {
		return nil, published{}, permanent(err)
	}
	s, refused := readSignature(f, t, v.now())
	switch {
	case refused != nil:
		return nil, published{}, refused
	case !s.names("from"):
		return nil, published{}, &refusal{"permerror", "it does not sign From"}
	case slices.ContainsFunc([]string{fieldAAR, fieldAMS, fieldAS}, s.names):
		return nil, published{}, &refusal{"permerror", "it signs fields of the chain"}
	}
	key, refused := v.key(ctx, s.algorithm, s.selector, s.domain)
	return s, key, refused
}

// sealed checks the seal of the last of sets, and returns nil if it is good.
func (v Verifier) sealed(ctx context.Context, sets []set) *refusal {
	t := sets[len(sets)-1].sealTags
	if _, ok := t["h"]; ok { // (RFC 8617 §4.1.3)
		return &refusal{"permerror", "it has a tag that a seal may not have"}
	}
	a, domain, selector, value, refused := readSigner(t)
	if refused != nil {
		return refused
	}
	key, refused := v.key(ctx, a, selector, domain)
	if refused != nil {
		return refused
	}
	b := sealScope(sets)
	b = relaxed.header(b, withoutValue(sets[len(sets)-1].seal))
	if !key.verify(digest(bytes.TrimSuffix(b, []byte("\r\n"))), value) {
		return &refusal{"fail", "the chain has been changed, or the seal is another's"}
	}
	return nil
}

// sealScope returns what the seal of the last set covers but for itself: all sets by
// their instance, each as results, signature, seal (RFC 8617 §5.1.1).
func sealScope(sets []set) []byte {
	var b []byte
	for i, s := range sets {
		b = relaxed.header(b, s.results)
		b = relaxed.header(b, s.signature)
		if i < len(sets)-1 {
			b = relaxed.header(b, s.seal)
		}
	}
	return b
}
