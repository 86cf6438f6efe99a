package message

import (
	"slices"
	"strings"
)

// Why an entity may not be encoded anew.
const (
	whySealed    = "a line is too long in a part that is signed or encrypted"
	whyMessage   = "a line is too long in a part of the type message that is no whole message"
	whyEncoded   = "a line is too long in a part that is encoded already"
	whyMalformed = "a line is too long in a part whose structure can't be told"
	whyDeep      = "a line is too long in a part that is nested too deep"
)

// entity is the message or a part of it: a header and a body.
type entity struct {
	place place
	whole bool // it is a message, and no part of one
	header
	body int64 // where the body begins
	// opaque says why the body may not be touched; empty: it may.
	opaque string
	text   bool
	// refused says that a line of the body has something that the goal does not
	// allow; nul and bare, that there are NULs, and CRs or LFs that are no line ends.
	refused, nul, bare bool
	// escaped counts the octets of the body that quoted-printable makes three of.
	escaped int64
}

// place is where in an entity the walker is.
type place uint8

const (
	inHeader place = iota
	inBody
	outside // of the parts of a multipart: its preamble or epilogue
)

// header is what is noted of an entity's header.
type header struct {
	kind, coding mimeField
	field        *mimeField // the one that a folded line continues
	begun        bool       // there has been a field
	line         addressLine
}

// mimeField is a field of a header that says something about the body.
type mimeField struct {
	from, to int64
	body     []byte
	count    int
	cut      bool // it has more than maxMIMEField octets
}

// add adds a line to the field at hand.
func (h *header) add(l *textLine, text []byte) {
	f := h.field
	if f == nil {
		return
	}
	f.to = l.to
	if len(f.body)+len(text) > maxMIMEField || l.long() {
		f.cut = true
		return
	}
	f.body = append(f.body, text...)
}

// mediaType returns an entity's type, or "" if it can't be told, and the boundary
// of its parts.
func (h *header) mediaType(standard string) (kind, boundary string) {
	switch {
	case h.kind.count == 0:
		return standard, ""
	case h.kind.count > 1 || h.kind.cut:
		return "", ""
	}
	return mediaType(string(h.kind.body))
}

// The encodings of RFC 2045 §6 that leave octets as they are, and base64.
const (
	codingBase64 = "base64"
	codingQuoted = "quoted-printable"
)

var identities = []string{"", "7bit", "8bit", "binary"}

// encoding returns the entity's Content-Transfer-Encoding in lower case. Ok is
// false if it can't be told.
func (h *header) encoding() (coding string, ok bool) {
	if h.coding.count > 1 || h.coding.cut {
		return "", false
	}
	coding, ok = withoutComments(string(h.coding.body))
	return strings.ToLower(strings.Trim(coding, " \t")), ok
}

// sealedBy returns why a leaf may not be encoded, or "".
func (e *entity) sealedBy() string {
	coding, ok := e.encoding()
	switch {
	case !ok:
		return whyMalformed
	case coding == codingBase64, slices.Contains(identities, coding):
		return ""
	}
	return whyEncoded
}
