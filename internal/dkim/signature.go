package dkim

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// Names of the fields.
const (
	fieldDKIM = "DKIM-Signature"
	fieldAMS  = "ARC-Message-Signature"
	fieldAS   = "ARC-Seal"
	fieldAAR  = "ARC-Authentication-Results"
)

// signature is a DKIM-Signature or ARC-Message-Signature field that has been read.
type signature struct {
	field     message.Field
	algorithm Algorithm
	domain    string
	selector  string
	identity  string // the domain of i=; of DKIM only
	signed    []string
	header    form
	body      form
	bodyHash  []byte
	value     []byte
}

// Reasons why a signature is refused before its key is looked up.
type refusal struct {
	value  string // of RFC 8601 §2.7.1
	reason string
}

func (r *refusal) Error() string { return r.reason }

// tempError is the value of one that may be none later.
const tempError = "temperror"

func (r *refusal) unknown() bool { return r.value == tempError }

func permanent(err error) *refusal { return &refusal{"permerror", err.Error()} }

// parseSignature reads a DKIM signature (RFC 6376 §3.5, §6.1.1), as it is at a time.
func parseSignature(f message.Field, now time.Time) (*signature, *refusal) {
	t, err := parseTags(string(f.Body))
	if err != nil {
		return &signature{}, permanent(err)
	}
	s, r := readSignature(f, t, now)
	switch {
	case r != nil:
		return s, r
	case t["v"] != "1":
		return s, permanent(errVersion)
	case !s.names("from"):
		return s, &refusal{"permerror", "it does not sign From"}
	}
	s.identity = s.domain
	if i, ok := t["i"]; ok {
		_, domain, at := strings.Cut(bare(i), "@")
		domain = strings.ToLower(domain)
		if !at || domain != s.domain && !strings.HasSuffix(domain, "."+s.domain) {
			return s, permanent(errIdentity)
		}
		s.identity = domain
	}
	return s, nil
}

// readSignature reads what DKIM and ARC have in common.
func readSignature(f message.Field, t tags, now time.Time) (*signature, *refusal) {
	s := &signature{field: f}
	var r *refusal
	if s.algorithm, s.domain, s.selector, s.value, r = readSigner(t); r != nil {
		return s, r
	}
	for _, name := range []string{"bh", "h"} {
		if _, ok := t[name]; !ok {
			return s, permanent(errNoTag)
		}
	}
	s.signed = t.list("h")
	if len(s.signed) > maxSigned {
		return s, permanent(errTooMany)
	}
	header, body, _ := strings.Cut(bare(t["c"]), "/")
	var okHeader, okBody, there bool
	s.header, okHeader = parseForm(header)
	if s.body, okBody = parseForm(body); !okHeader || !okBody {
		return s, &refusal{"permerror", "its canonicalization is unknown"}
	}
	if q, ok := t["q"]; ok && !slices.Contains(t.list("q"), "dns/txt") && q != "" {
		return s, &refusal{"permerror", "its key can't be looked up in the DNS"}
	}
	var err error
	var made, ends int64
	if s.bodyHash, err = t.base64("bh"); err == nil {
		if made, _, err = t.seconds("t"); err == nil {
			ends, there, err = t.seconds("x")
		}
	}
	switch {
	case err != nil:
		return s, permanent(err)
	case there && ends <= made:
		return s, &refusal{"permerror", "it ends before it was made"}
	case there && now.Unix() > ends:
		return s, &refusal{"fail", "it has expired"}
	}
	if _, ok := t["l"]; ok { // anybody may add to such a message (RFC 6376 §8.2)
		return s, &refusal{"policy", "it leaves a part of the body unsigned"}
	}
	return s, nil
}

// readSigner reads who signed, with what (a, d, s, b), which seals have too.
func readSigner(t tags) (a Algorithm, domain, selector string, value []byte, r *refusal) {
	for _, name := range []string{"a", "b", "d", "s"} {
		if t[name] == "" {
			return "", "", "", nil, permanent(errNoTag)
		}
	}
	switch bare(t["a"]) {
	case RSA.signature():
		a = RSA
	case Ed25519.signature():
		a = Ed25519
	default: // SHA-1 too (RFC 8301 §3.1)
		r = &refusal{"permerror", "its algorithm is not accepted"}
	}
	domain, err := mail.ParseDomain(bare(t["d"]))
	if err != nil || strings.HasPrefix(domain, "[") {
		return a, "", "", nil, &refusal{"permerror", "its domain is none"}
	}
	if selector, err = mail.ParseDomain(bare(t["s"])); err != nil || len(keyName(selector, domain)) > mail.MaxDomain {
		return a, domain, "", nil, &refusal{"permerror", "its selector is none"}
	}
	if r == nil {
		if value, err = t.base64("b"); err != nil {
			r = permanent(err)
		}
	}
	return a, domain, selector, value, r
}

// names reports whether a field is signed.
func (s *signature) names(field string) bool {
	return slices.ContainsFunc(s.signed, func(n string) bool { return strings.EqualFold(n, field) })
}

// digest returns what is signed: the fields that are named, then the signature's
// own without its value and line end (RFC 6376 §3.7).
func (s *signature) digest(h *header) []byte {
	var b []byte
	for _, f := range h.pick(s.signed) {
		b = s.header.header(b, f)
	}
	b = s.header.header(b, withoutValue(s.field))
	return digest(bytes.TrimSuffix(b, []byte("\r\n")))
}

// withoutValue returns a signature field with nothing in its b tag, not even white
// space (RFC 6376 §3.5).
func withoutValue(f message.Field) message.Field {
	name := f.Raw[:len(f.Raw)-len(f.Body)]
	raw := bytes.Clone(name)
	rest := bytes.TrimSuffix(f.Body, []byte("\r\n"))
	for first := true; ; first = false {
		spec, more, ok := bytes.Cut(rest, []byte{';'})
		if !first {
			raw = append(raw, ';')
		}
		if tag, _, ok := bytes.Cut(spec, []byte{'='}); ok && string(bytes.Trim(tag, blanks)) == "b" {
			spec = spec[:len(tag)+1]
		}
		raw = append(raw, spec...)
		if !ok {
			break
		}
		rest = more
	}
	raw = append(raw, "\r\n"...)
	return message.Field{Name: f.Name, Raw: raw, Body: raw[len(name):]}
}

// draft is a signature that is being made.
type draft struct {
	name     string // of the field
	tags     []string
	signed   []string // nil: there is no h=
	bodyHash []byte   // nil: there is no bh=
}

const lineMax = 76 // octets, where it can be

// field returns the field without its value: it ends in "b=" and has no line end.
func (d *draft) field() []byte {
	w := folder{b: []byte(d.name + ":")}
	w.at = len(w.b)
	for _, t := range d.tags {
		w.word(" ", t+";")
	}
	for i, name := range d.signed {
		switch {
		case i == 0 && len(d.signed) == 1:
			w.word(" ", "h="+name+";")
		case i == 0:
			w.word(" ", "h="+name+":")
		case i == len(d.signed)-1:
			w.word("", name+";")
		default:
			w.word("", name+":")
		}
	}
	if d.bodyHash != nil {
		w.word(" ", "bh="+base64.StdEncoding.EncodeToString(d.bodyHash)+";")
	}
	w.word(" ", "b=")
	return w.b
}

// sign returns the whole field: the value signs what comes before it, which is
// relaxed.
func (d *draft) sign(key crypto.Signer, before []byte) ([]byte, error) {
	raw := d.field()
	own := message.Field{Name: raw[:len(d.name)], Raw: raw, Body: raw[len(d.name)+1:]}
	signed := relaxed.header(before, own)
	value, err := sign(key, digest(bytes.TrimSuffix(signed, []byte("\r\n"))))
	if err != nil {
		return nil, err
	}
	w := folder{b: raw, at: lineLength(raw)}
	text := base64.StdEncoding.EncodeToString(value)
	for len(text) > 0 {
		n := min(len(text), max(lineMax-w.at, 0))
		if n == 0 {
			w.fold()
			continue
		}
		w.b, w.at, text = append(w.b, text[:n]...), w.at+n, text[n:]
	}
	return append(w.b, "\r\n"...), nil
}

func lineLength(b []byte) int { return len(b) - bytes.LastIndexByte(b, '\n') - 1 }

// folder writes words into a field and folds it (RFC 5322 §2.2.3).
type folder struct {
	b  []byte
	at int // octets in the line
}

// word appends a word, after a separator or on the next line.
func (w *folder) word(separator, s string) {
	if w.at+len(separator)+len(s) > lineMax && w.at > 1 {
		w.fold()
		separator = ""
	}
	w.b = append(append(w.b, separator...), s...)
	w.at += len(separator) + len(s)
}

func (w *folder) fold() {
	w.b = append(w.b, "\r\n "...)
	w.at = 1
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
