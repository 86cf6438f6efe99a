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
	"postrider/internal/message"
)

// Limits of what is written into ARC-Authentication-Results.
const (
	maxResults = 24
	maxReport  = 4 << 10 // octets of all results
)

// maxLookups is how long the looking up of keys for one seal may take in all. Who has
// written the message says how many they are, and their hosts how slow: the next
// host's connection waits meanwhile, and other mail for it. What has not been found by
// then nobody knows.
const maxLookups = 20 * time.Second

// within returns find that has so much time for all that is looked up.
func (find TXT) within(d time.Duration) TXT {
	until := time.Now().Add(d)
	return func(ctx context.Context, name string) ([]string, error) {
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return find(ctx, name)
	}
}

// Sealer seals what is forwarded (RFC 8617 §5.1).
type Sealer struct {
	keys     *Keys
	verifier Verifier
	hostname string
	settings Settings
}

// NewSealer returns a sealer that uses the active keys. Hostname names this server
// in the results (authserv-id, RFC 8601 §2.5).
func NewSealer(keys *Keys, v Verifier, hostname string, s Settings) *Sealer {
	return &Sealer{keys: keys, verifier: v, hostname: hostname, settings: s}
}

// Seal returns an ARC set, three fields with their line ends, to be put on top of a
// message that is forwarded as content says, octet by octet, all else that is put
// on top included. It returns nothing if the domain has no key, if a host before us
// has found that the chain fails, or if the chain is full.
//
// Results are what this server found out about the message when it arrived. Those of
// DKIM and ARC are found out now, unless they are among them. TooLarge: the header is
// longer than MaxHeader.
func (s *Sealer) Seal(ctx context.Context, domain string, content io.ReaderAt, size int64, results []authres.Result) ([]byte, error) {
	op := "seal for " + domain
	keys, err := s.keys.signers(ctx, domain)
	if err != nil || len(keys) == 0 {
		return nil, fault.Wrap(op, err)
	}
	h, err := readHeader(content, size)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	b := &bodies{content: content, size: size, from: h.length}
	b.want(relaxed) // for our own signature; most others need no other
	v := Verifier{TXT: s.verifier.TXT.within(maxLookups), Now: s.verifier.Now}
	chain, sets, err := v.chain(ctx, h, b)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if chain.Ended || chain.Sets == MaxInstance {
		return nil, nil
	}
	found, err := v.results(ctx, h, b, chain, results)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	m := sealing{key: keys[0], instance: chain.Sets + 1, status: chain.Status, time: seconds(s.settings.now())}
	return m.fields(h, b.sums[relaxed], sets, report(s.hostname, found))
}

// results adds what has been found out about DKIM and ARC.
func (v Verifier) results(ctx context.Context, h *header, b *bodies, chain Chain, known []authres.Result) ([]authres.Result, error) {
	b.want(relaxed)
	verified, err := v.verify(ctx, h, b)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(known)
	if !slices.ContainsFunc(known, isMethod("dkim")) {
		all = append(all, Results(verified)...)
	}
	if !slices.ContainsFunc(known, isMethod("arc")) {
		all = append(all, &authres.GenericResult{Method: "arc", Value: authres.ResultValue(chain.Status)})
	}
	return all, nil
}

// isMethod returns a test of a result's method.
func isMethod(name string) func(authres.Result) bool {
	return func(r authres.Result) bool {
		switch r := r.(type) {
		case *authres.DKIMResult:
			return name == "dkim"
		case *authres.ARCResult:
			return name == "arc"
		case *authres.GenericResult:
			return r.Method == name
		}
		return false
	}
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
