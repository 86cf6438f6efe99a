package sasl

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"
)

// How many iterations a server may ask for: fewer would help who wants to find
// the password (RFC 7677 §4), more would keep us busy.
const (
	minIterations = 4096
	maxIterations = 10_000_000 / 4
)

// scramClient is the client's side of SCRAM-SHA-256, with or without PLUS
// (RFC 5802, RFC 7677).
type scramClient struct {
	l       ClientLogin
	gs2     string // gs2-header
	plus    bool
	binding []byte
	nonce   string // the client's
	bare    string // client-first-message-bare
	next    func(challenge []byte) ([]byte, error)
	// expect is the server's signature.
	expect []byte
	proven bool
}

func newScramClient(l ClientLogin, flag string, binding []byte, nonce string) Client {
	s := &scramClient{l: l, gs2: flag + ",,", plus: binding != nil, binding: binding, nonce: nonce}
	s.next = s.first
	return s
}

// Mechanism implements Client.
func (s *scramClient) Mechanism() string {
	if s.plus {
		return "SCRAM-SHA-256-PLUS"
	}
	return "SCRAM-SHA-256"
}

// Complete implements Client.
func (s *scramClient) Complete() bool { return s.proven }

// Respond implements Client.
func (s *scramClient) Respond(challenge []byte) ([]byte, error) { return s.next(challenge) }

// nameQuoter writes a name as a saslname (RFC 5802 §7).
var nameQuoter = strings.NewReplacer("=", "=3D", ",", "=2C")

// first gives client-first-message.
func (s *scramClient) first(challenge []byte) ([]byte, error) {
	if len(challenge) > 0 {
		return nil, errChallenge
	}
	s.bare = "n=" + nameQuoter.Replace(s.l.Username) + ",r=" + s.nonce
	s.next = s.final
	return []byte(s.gs2 + s.bare), nil
}

// final takes server-first-message and gives client-final-message.
func (s *scramClient) final(challenge []byte) ([]byte, error) {
	nonce, salt, iterations, err := s.parseServerFirst(string(challenge))
	if err != nil {
		return nil, err
	}
	salted, err := pbkdf2.Key(sha256.New, prepared(s.l.Password), salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	bound := base64.StdEncoding.EncodeToString(append([]byte(s.gs2), s.binding...))
	withoutProof := "c=" + bound + ",r=" + nonce
	message := []byte(s.bare + "," + string(challenge) + "," + withoutProof)
	clientKey := mac(salted, []byte("Client Key"))
	stored := sha256.Sum256(clientKey)
	proof := make([]byte, sha256.Size)
	subtle.XORBytes(proof, clientKey, mac(stored[:], message))
	s.expect = mac(mac(salted, []byte("Server Key")), message)
	s.next = s.verify
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// parseServerFirst takes server-first-message apart: r=nonce,s=salt,i=count.
func (s *scramClient) parseServerFirst(message string) (nonce string, salt []byte, iterations int, err error) {
	attributes := strings.Split(message, ",")
	if len(attributes) < 3 || !strings.HasPrefix(attributes[0], "r=") ||
		!strings.HasPrefix(attributes[1], "s=") || !strings.HasPrefix(attributes[2], "i=") {
		return "", nil, 0, errChallenge
	}
	nonce = attributes[0][2:]
	salt, ok := decode(attributes[1][2:])
	iterations, err = strconv.Atoi(attributes[2][2:])
	switch {
	case err != nil, !ok, len(salt) == 0, !isPrintable(nonce):
		return "", nil, 0, errChallenge
	case len(nonce) <= len(s.nonce) || !strings.HasPrefix(nonce, s.nonce):
		return "", nil, 0, errChallenge
	case iterations < minIterations || iterations > maxIterations:
		return "", nil, 0, errIterations
	}
	return nonce, salt, iterations, nil
}

// prepared returns the password in its one form (RFC 5802 §2.2; RFC 8265 §4 in
// place of SASLprep), or as it is if it has none.
func prepared(password string) string {
	p, err := precis.OpaqueString.String(password)
	if err != nil {
		return password
	}
	return p
}

// verify takes server-final-message. What it answers is empty: SMTP can't send
// the message with success itself (RFC 4422 §3.7).
func (s *scramClient) verify(challenge []byte) ([]byte, error) {
	if bytes.HasPrefix(challenge, []byte("e=")) {
		return nil, errRefused
	}
	signature, _, _ := strings.Cut(string(challenge), ",")
	text, ok := strings.CutPrefix(signature, "v=")
	got, ok2 := decode(text)
	if !ok || !ok2 || subtle.ConstantTimeCompare(got, s.expect) != 1 {
		return nil, errSignature
	}
	s.proven = true
	s.next = func([]byte) ([]byte, error) { return nil, errChallenge }
	return []byte{}, nil
}
