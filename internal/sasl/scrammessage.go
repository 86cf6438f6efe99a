package sasl

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

const errExtension = malformed("the message asks for an extension that is not known here")

// parseClientFirst takes client-first-message-bare apart: n=name,r=nonce and
// perhaps extensions, which are ignored but for a mandatory one (RFC 5802 §5.1,
// §7).
func parseClientFirst(bare string) (name, nonce string, err error) {
	if strings.HasPrefix(bare, "m=") {
		return "", "", errExtension
	}
	attributes := strings.Split(bare, ",")
	if len(attributes) < 2 || !strings.HasPrefix(attributes[0], "n=") || !strings.HasPrefix(attributes[1], "r=") {
		return "", "", malformed("after the header must come n=, the name, and r=, the nonce")
	}
	name, err = parseSASLName(attributes[0][2:])
	if err != nil {
		return "", "", err
	}
	nonce = attributes[1][2:]
	if !isPrintable(nonce) {
		return "", "", malformed("the nonce must be printable ASCII")
	}
	return name, nonce, checkExtensions(attributes[2:])
}

// clientFinal is client-final-message.
type clientFinal struct {
	binding      []byte
	nonce        string
	withoutProof string // client-final-message-without-proof
	proof        []byte // of the right length
}

// parseClientFinal takes it apart: c=binding,r=nonce, extensions, p=proof.
func parseClientFinal(message string) (m clientFinal, err error) {
	attributes := strings.Split(message, ",")
	n := len(attributes)
	if n < 3 || !strings.HasPrefix(attributes[0], "c=") || !strings.HasPrefix(attributes[1], "r=") ||
		!strings.HasPrefix(attributes[n-1], "p=") {
		return m, malformed("the message must have c=, r= and p=, in this order")
	}
	if err := checkExtensions(attributes[2 : n-1]); err != nil {
		return m, err
	}
	binding, ok := decode(attributes[0][2:])
	proof, ok2 := decode(attributes[n-1][2:])
	if !ok || !ok2 || len(proof) != sha256.Size {
		return m, malformed("c= and p= take base64, p= that of 32 octets")
	}
	return clientFinal{
		binding: binding, proof: proof, nonce: attributes[1][2:],
		withoutProof: strings.TrimSuffix(message, ","+attributes[n-1]),
	}, nil
}

// checkExtensions holds attributes to their form: a letter, =, and a value
// (RFC 5802 §7, attr-val). A letter that has a meaning elsewhere has none here.
func checkExtensions(attributes []string) error {
	for _, a := range attributes {
		if len(a) < 3 || a[1] != '=' || !isLetter(a[0]) || !utf8.ValidString(a) || strings.IndexByte(a, 0) >= 0 {
			return malformed("there is something that is no attribute")
		}
		if strings.IndexByte("amnrcsipve", a[0]) >= 0 {
			return errExtension
		}
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isPrintable reports whether s is a nonce's characters (RFC 5802 §7,
// printable), and not empty. There is no comma in it where it is called.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// decode reads base64 with its padding and nothing around or within it
// (RFC 4648 §3.3, §3.5).
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // the library skips them
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}
