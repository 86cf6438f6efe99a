package dkim

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-msgauth/authres"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
)

// Limits of what is written into ARC-Authentication-Results.
const (
	maxResults = 24
	maxReport  = 4 << 10 // octets of all results
)

// Sealer seals what is forwarded (RFC 8617 §5.1).
type Sealer struct {
	keys     *Keys
	verifier Verifier
	hostname string
	settings Settings
	lately   findings
}

// NewSealer returns a sealer that uses the active keys. Hostname names this server
// in the results (authserv-id, RFC 8601 §2.5).
func NewSealer(keys *Keys, v Verifier, hostname string, s Settings) *Sealer {
	return &Sealer{keys: keys, verifier: v, hostname: hostname, settings: s}
}

// Source is a message at rest.
type Source interface {
	io.ReaderAt
	Size() int64 // octets
}

// Forward is a message that is forwarded.
type Forward struct {
	// ID is the one in the Received field that this server has put on top; what stands
	// below that has come so. Zero: all has, and what is found out is not kept.
	ID mail.ID
	// Came is when it came: a signature that was good then has not expired since. Zero
	// is now.
	Came time.Time
	// Stored is what is kept of it.
	Stored Source
	// Converted is what it was turned into for the next host. Nil: it goes out as it is
	// stored.
	Converted Source
}

// Seal returns an ARC set, three fields with their line ends, to be put on top of a
// message that is forwarded. It tells what was found out about the message as it came
// (RFC 8617 §5.1), and signs it as it goes out, octet by octet, with all else that is
// put on top. It returns nothing if the domain has no key, if a host before us has
// found that the chain fails, if nobody knows whether it does, or if it is full.
//
// TooLarge: the header is longer than MaxHeader. Transient: ctx has ended; what others
// find out is not touched by that.
func (s *Sealer) Seal(ctx context.Context, domain string, m Forward) ([]byte, error) {
	fields, err := s.seal(ctx, domain, &m)
	return fields, fault.Wrap("seal for "+domain, err)
}

func (s *Sealer) seal(ctx context.Context, domain string, m *Forward) ([]byte, error) {
	keys, err := s.keys.signers(ctx, domain)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	stored, storedBody, err := open(m.Stored)
	if err != nil {
		return nil, err
	}
	sent, sentBody := stored, storedBody
	if m.Converted != nil {
		if sent, sentBody, err = open(m.Converted); err != nil {
			return nil, err
		}
	}
	sentBody.want(relaxed) // in one reading with what most others need
	found, err := s.find(ctx, m, stored, storedBody)
	if err != nil || !found.chain.open() {
		return nil, err
	}
	sentBody.want(relaxed)
	if err := sentBody.hash(ctx); err != nil {
		return nil, err
	}
	var before []set
	if found.chain.Status == ChainPass {
		before, _ = readChain(sent)
	}
	set := sealing{key: keys[0], instance: found.chain.Sets + 1, status: found.chain.Status, time: seconds(s.settings.now())}
	return set.fields(sent, sentBody.sums[relaxed], before, report(s.hostname, found.results()))
}

// open reads the header of a message; its body is still to be read.
func open(m Source) (*header, *bodies, error) {
	h, err := readHeader(m, m.Size())
	if err != nil {
		return nil, nil, err
	}
	return h, &bodies{content: m, size: m.Size(), from: h.length}, nil
}

// Results returns verifications as results of the method dkim (RFC 8601 §2.7.1).
func Results(all []Verification) []authres.Result {
	if len(all) == 0 {
		return []authres.Result{&authres.GenericResult{Method: "dkim", Value: authres.ResultNone}}
	}
	var results []authres.Result
	for _, v := range all {
		results = append(results, &authres.GenericResult{Method: "dkim", Value: authres.ResultValue(v.Value), Params: map[string]string{
			"reason": v.Reason, "header.d": v.Domain, "header.s": v.Selector,
		}})
	}
	return results
}

// report writes results as they stand in ARC-Authentication-Results, without what
// could end a line. Too many are cut off.
func report(hostname string, results []authres.Result) string {
	text := hostname
	for _, r := range results[:min(len(results), maxResults)] {
		one := authres.Format("", []authres.Result{withoutReceiver(r)})
		one = strings.Map(func(c rune) rune {
			if c == unicode.ReplacementChar || unicode.IsControl(c) {
				return ' '
			}
			return c
		}, one)
		if len(text)+len(one) > maxReport {
			break
		}
		text += strings.TrimRight(one, " ")
	}
	return text
}

// withoutReceiver gives a result the form that the library can write.
func withoutReceiver(r authres.Result) authres.Result {
	if arc, ok := r.(*authres.ARCResult); ok {
		return &authres.GenericResult{Method: "arc", Value: arc.Value, Params: map[string]string{"smtp.remote-ip": arc.RemoteIP}}
	}
	return r
}

// sealing is a set that is being made.
type sealing struct {
	key      *secretKey
	instance int
	status   string // of the chain up to now
	time     string
}

// fields returns the set, the seal on top. Before are the sets that it continues;
// none for a chain that fails, of which the seal covers its own set only (RFC 8617
// §5.1.2).
func (m *sealing) fields(h *header, bodyHash []byte, before []set, report string) ([]byte, error) {
	instance := "i=" + strconv.Itoa(m.instance)
	results := folder{b: []byte(fieldAAR + ":"), at: len(fieldAAR) + 1}
	results.word(" ", instance+";")
	for _, word := range strings.Fields(report) {
		results.word(" ", word)
	}
	results.b = append(results.b, "\r\n"...)

	names := signedNames(h)
	for range min(h.count(fieldDKIM), maxRepeat) {
		names = append(names, fieldDKIM)
	}
	var scope []byte
	for _, f := range h.pick(names) {
		scope = relaxed.header(scope, f)
	}
	by := []string{"a=" + m.key.Algorithm.signature(), "d=" + m.key.Domain, "s=" + m.key.Selector, "t=" + m.time}
	ams := draft{name: fieldAMS, signed: names, bodyHash: bodyHash, tags: append([]string{instance + "; c=relaxed/relaxed"}, by...)}
	signature, err := ams.sign(m.key.signer, scope)
	if err != nil {
		return nil, fault.Newf(fault.Internal, "seal for "+m.key.Domain, "the key %s does not sign", m.key.Selector)
	}
	own := set{results: fieldOf(results.b), signature: fieldOf(signature)}
	as := draft{name: fieldAS, tags: append([]string{instance, "cv=" + m.status}, by...)}
	seal, err := as.sign(m.key.signer, sealScope(append(slices.Clip(before), own)))
	if err != nil {
		return nil, fault.Newf(fault.Internal, "seal for "+m.key.Domain, "the key %s does not sign", m.key.Selector)
	}
	return slices.Concat(seal, signature, results.b), nil
}

// fieldOf reads one field that we have written.
func fieldOf(raw []byte) message.Field {
	for f := range message.SplitFields(raw) {
		return f
	}
	return message.Field{}
}
