package message

import (
	"slices"
	"strings"
)

// enclosing is what is being gone through: a multipart, or a message.
type enclosing struct {
	boundary string // of a multipart; a message has none
	digest   bool   // its parts are messages, if they don't say otherwise
	// versioned says that a message has a MIME-Version field; top is where its
	// header ends, and one is put in if a part is encoded.
	versioned bool
	top       int64
}

// begin begins a message: the one that is gone through, or one within it.
func (w *walker) begin() {
	w.stack = append(w.stack, enclosing{})
	w.part = entity{whole: true}
}

// defaultType is what a part is that does not say it (RFC 2045 §5.2, RFC 2046
// §5.1.5).
func (w *walker) defaultType() string {
	if w.stack[len(w.stack)-1].digest {
		return "message/rfc822"
	}
	return "text/plain"
}

// enterMessage begins a message within the message. It may not be encoded as a
// whole, but what is in it (RFC 2046 §5.2.1).
func (w *walker) enterMessage() {
	coding, ok := w.part.encoding()
	switch {
	case len(w.stack) > MaxPartDepth:
		w.part.opaque = whyDeep
	case !ok:
		w.part.opaque = whyMalformed
	case !slices.Contains(identities, coding):
		w.part.opaque = whyEncoded
	default:
		w.begin()
	}
}

// enter begins a multipart's preamble.
func (w *walker) enter(kind, boundary string) {
	coding, ok := w.part.encoding()
	same := func(m enclosing) bool { return m.boundary == boundary }
	switch {
	case len(w.stack) > MaxPartDepth:
		w.part.opaque = whyDeep
	case boundary == "" || len(boundary) > MaxBoundary || strings.HasSuffix(boundary, " "):
		w.part.opaque = whyMalformed
	case !ok || !slices.Contains(identities, coding), slices.ContainsFunc(w.stack, same):
		w.part.opaque = whyMalformed
	default:
		w.stack = append(w.stack, enclosing{boundary: boundary, digest: kind == "multipart/digest"})
		w.part.place = outside
	}
}

// version sees to it that the message, and each within it that the part at hand is
// in, has a MIME-Version field (RFC 2045 §4).
func (w *walker) version() {
	for i, m := range w.stack {
		if m.boundary == "" && !m.versioned {
			w.insert(m.top, m.top, "MIME-Version: 1.0\r\n")
			w.stack[i].versioned = true
		}
	}
}
