package receive

import "postrider/internal/mail"

// staysBinary reports whether the message is stored as it came although it may not
// consist of lines (BINARYMIME, RFC 3030 §3): when it goes to other hosts only.
func (c *content) staysBinary() bool {
	return c.tx.Envelope.Body == mail.BodyBinaryMIME && len(routeOf(c.tx).targets) == 0
}
