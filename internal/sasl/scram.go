package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"

	"postrider/internal/fault"
)

// nonceSize is the octets of randomness in the server's part of a nonce.
const nonceSize = 18

// scram is an exchange of SCRAM-SHA-256 (RFC 5802, RFC 7677), with or without
// PLUS. An error ends it as other mechanisms' errors do, without the e= of
// RFC 5802 §7: the protocols have their own replies for it.
type scram struct {
	v     Verifier
	ch    Channel
	plus  bool
	nonce string // the server's part, then the whole
	claim Claim
	gs2   string // the client's gs2-header
	// transcript is AuthMessage as far as it has come (RFC 5802 §3).
	transcript []byte
	id         Identity
}

// scramPlain is SCRAM-SHA-256.
func scramPlain(v Verifier, ch Channel) state { return newSCRAM(v, ch, false, newNonce()) }

// scramPlus is SCRAM-SHA-256-PLUS.
func scramPlus(v Verifier, ch Channel) state { return newSCRAM(v, ch, true, newNonce()) }

func newSCRAM(v Verifier, ch Channel, plus bool, nonce string) state {
	s := &scram{v: v, ch: ch, plus: plus, nonce: nonce}
	return clientFirst(s.first)
}

// newNonce returns random base64, in which there is no comma.
func newNonce() string {
	var b [nonceSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// first takes client-first-message and gives server-first-message.
func (s *scram) first(ctx context.Context, response []byte) (Step, state, error) {
	header, bare, err := parseGS2(string(response))
	if err != nil {
		return Step{}, nil, err
	}
	binding := s.binding(header)
	if err := s.checkFlag(header, binding); err != nil {
		return Step{}, nil, err
	}
	name, nonce, err := parseClientFirst(bare)
	if err != nil {
		return Step{}, nil, err
	}
	salt, iterations, err := s.v.Salt(ctx, name)
	if err != nil {
		return Step{}, nil, err
	}
	s.claim = Claim{Name: name, As: header.as}
	s.gs2, s.nonce = header.text, nonce+s.nonce
	challenge := "r=" + s.nonce + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + strconv.Itoa(iterations)
	s.transcript = []byte(bare + "," + challenge + ",")
	return Step{Challenge: []byte(challenge)}, func(ctx context.Context, response []byte) (Step, state, error) {
		return s.final(ctx, string(response), binding)
	}, nil
}

// checkFlag holds RFC 5802 §6: the mechanism's name and the flag must agree, and
// a client that was made to believe that there is no channel binding, though it
// was offered, is between itself and somebody else.
func (s *scram) checkFlag(h gs2Header, binding []byte) error {
	switch {
	case s.plus && h.flag != 'p':
		return malformed("a mechanism with PLUS needs channel binding")
	case !s.plus && h.flag == 'p':
		return malformed("channel binding needs a mechanism with PLUS")
	case h.flag == 'y' && s.ch.Plus:
		return malformed("channel binding was offered here, and the client has not seen that")
	case h.flag == 'p' && binding == nil:
		return malformed("that kind of channel binding is not known here; there are tls-exporter and tls-server-end-point")
	}
	return nil
}

// binding returns the connection's channel binding of the kind that the client
// has named; nil if there is none, or none was named.
func (s *scram) binding(h gs2Header) []byte {
	if s.ch.Binding == nil {
		return nil
	}
	switch h.binding {
	case "tls-exporter", "tls-server-end-point": // RFC 9266, RFC 5929 §4
		if b := s.ch.Binding(h.binding); len(b) > 0 {
			return b
		}
	}
	return nil
}

// final takes client-final-message and gives server-final-message.
func (s *scram) final(ctx context.Context, message string, binding []byte) (Step, state, error) {
	m, err := parseClientFinal(message)
	if err != nil {
		return Step{}, nil, err
	}
	bound := append([]byte(s.gs2), binding...)
	switch {
	case subtle.ConstantTimeCompare(m.binding, bound) != 1:
		return Step{}, nil, malformed("the channel binding is not this connection's")
	case subtle.ConstantTimeCompare([]byte(m.nonce), []byte(s.nonce)) != 1:
		return Step{}, nil, malformed("the nonce is not this exchange's")
	}
	s.transcript = append(s.transcript, m.withoutProof...)
	var fitting Keys
	fits := false
	s.id, err = s.v.Proof(ctx, s.claim, func(k Keys) bool {
		ok := s.proves(m.proof, k)
		if ok {
			fitting, fits = k, true
		}
		return ok
	})
	if err == nil && !fits {
		err = fault.New(fault.Denied, "check SCRAM proof", nil)
	}
	if err != nil {
		return Step{}, nil, err
	}
	signature := base64.StdEncoding.EncodeToString(mac(fitting.Server, s.transcript))
	return Step{Challenge: []byte("v=" + signature)}, s.acknowledged, nil
}

// proves reports whether the proof was made with the keys' password
// (RFC 5802 §3).
func (s *scram) proves(proof []byte, k Keys) bool {
	var clientKey [sha256.Size]byte
	if subtle.XORBytes(clientKey[:], proof, mac(k.Stored, s.transcript)) != sha256.Size {
		return false
	}
	stored := sha256.Sum256(clientKey[:])
	return subtle.ConstantTimeCompare(stored[:], k.Stored) == 1
}

// acknowledged takes the empty message that follows server-final-message, which
// SMTP and POP3 can't send with success itself (RFC 4422 §3.7).
func (s *scram) acknowledged(_ context.Context, response []byte) (Step, state, error) {
	if len(response) > 0 {
		return Step{}, nil, malformed("the last message must be empty")
	}
	return verdict(s.id, nil)
}

// DeriveKeys returns the keys of a password, which the caller has prepared
// (RFC 5802 §3, RFC 7677 §2). Where iterations is not positive it returns keys
// that nothing fits.
func DeriveKeys(password string, salt []byte, iterations int) Keys {
	if iterations < 1 {
		return Keys{}
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return Keys{}
	}
	stored := sha256.Sum256(mac(salted, []byte("Client Key")))
	return Keys{Stored: stored[:], Server: mac(salted, []byte("Server Key"))}
}

// mac is HMAC-SHA-256.
func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}
