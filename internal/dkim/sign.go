package dkim

import (
	"context"
	"io"

	"postrider/internal/fault"
)

// oversigned are the fields that a signature covers once more often than the
// message has them, so that nobody can add one on its way: what a person sees of a
// message or answers to, what says how its body is read, and what places it in a
// conversation. Added ones are what DKIM replays and forgeries are made with (RFC
// 6376 §8.15).
var oversigned = []string{
	"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "In-Reply-To", "References",
}

// signedIfThere are covered, once more often too, only where the message has them: a
// mailing list that changes nothing else adds its own, and must not break the
// signature. What hosts on the way add (Received, Return-Path) is never covered
// (RFC 6376 §5.4.1).
var signedIfThere = []string{
	"Sender", "List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post",
	"List-Subscribe", "List-Post", "List-Owner", "List-Archive",
}

// maxRepeat bounds how often one name stands in h=, for messages that have a field
// more often than any should.
const maxRepeat = 8

// signedNames returns h= for a header.
func signedNames(h *header) []string {
	var names []string
	add := func(name string, n int) {
		for range min(n, maxRepeat) {
			names = append(names, name)
		}
	}
	for _, name := range oversigned {
		add(name, h.count(name)+1)
	}
	for _, name := range signedIfThere {
		if n := h.count(name); n > 0 {
			add(name, n+1)
		}
	}
	return names
}

// Signer signs messages.
type Signer struct {
	keys     *Keys
	settings Settings
}

// NewSigner returns a signer that uses the active keys.
func NewSigner(keys *Keys, s Settings) *Signer { return &Signer{keys: keys, settings: s} }

// Sign returns the DKIM-Signature fields, with their line ends, to be put on top of
// a message that goes out as content says, octet by octet: one for each algorithm of
// which the domain has an active key, made in one reading. It returns nothing if
// there is none. Content has CRLF line ends and is not changed.
//
// Domain is in its canonical form, as mail.ParseDomain returns it. TooLarge: the header
// is longer than MaxHeader, and can't be signed.
func (s *Signer) Sign(ctx context.Context, domain string, content io.ReaderAt, size int64) ([]byte, error) {
	keys, err := s.keys.signers(ctx, domain)
	if err != nil {
		return nil, fault.Wrap("sign for "+domain, err)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	h, err := readHeader(content, size)
	if err != nil {
		return nil, fault.Wrap("sign for "+domain, err)
	}
	return s.sign(ctx, domain, keys, h, content, size)
}

// SignAuthor is Sign for the domain of the message's author, that of From.
func (s *Signer) SignAuthor(ctx context.Context, content io.ReaderAt, size int64) ([]byte, error) {
	const op = "sign for an author"
	if some, err := s.keys.sign(ctx); err != nil || !some {
		return nil, fault.Wrap(op, err)
	}
	h, err := readHeader(content, size)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	domain := h.author()
	keys, err := s.keys.signers(ctx, domain)
	if err != nil || len(keys) == 0 {
		return nil, fault.Wrap(op, err)
	}
	return s.sign(ctx, domain, keys, h, content, size)
}

func (s *Signer) sign(ctx context.Context, domain string, keys []*secretKey, h *header, content io.ReaderAt, size int64) ([]byte, error) {
	b := &bodies{content: content, size: size, from: h.length}
	b.want(relaxed)
	if err := b.hash(ctx); err != nil {
		return nil, fault.Wrap("sign for "+domain, err)
	}
	names := signedNames(h)
	var before []byte
	for _, f := range h.pick(names) {
		before = relaxed.header(before, f)
	}
	var out []byte
	for _, key := range keys {
		field, err := s.draft(key, names, b.sums[relaxed]).sign(key.signer, before[:len(before):len(before)])
		if err != nil {
			return nil, fault.Newf(fault.Internal, "sign for "+domain, "the key %s does not sign", key.Selector)
		}
		out = append(out, field...)
	}
	return out, nil
}

// draft is a signature by a key. There is no i=: nothing more is said of who wrote
// than the domain.
func (s *Signer) draft(key *secretKey, names []string, bodyHash []byte) *draft {
	now := s.settings.now()
	d := &draft{name: fieldDKIM, signed: names, bodyHash: bodyHash, tags: []string{
		"v=1", "a=" + key.Algorithm.signature(), "c=relaxed/relaxed", "d=" + key.Domain, "s=" + key.Selector,
		"t=" + seconds(now),
	}}
	if s.settings.Expire > 0 {
		d.tags = append(d.tags, "x="+seconds(now.Add(s.settings.Expire)))
	}
	return d
}
