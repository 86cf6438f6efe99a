package dsn

import (
	"mime"
	"regexp"
	"strings"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// value returns the body of the first field of a name in the original's header, on
// one line; "" if there is none.
func (o *returned) value(name string) string {
	for f := range message.SplitFields(o.header) {
		if f.Is(name) {
			return string(f.Value())
		}
	}
	return ""
}

// subject returns the original's subject as people read it, or "".
func (o *returned) subject() string {
	raw := mail.Cut(o.value("Subject"), 4*maxSubject)
	decoded, err := new(mime.WordDecoder).DecodeHeader(raw) // RFC 2047
	if err != nil {
		decoded = raw // of a character set that is not known here
	}
	return shown(decoded, maxSubject)
}

// date returns the original's date as its sender wrote it, or "".
func (o *returned) date() string { return shown(o.value("Date"), 64) }

// messageIDForm is a Message-ID that may be repeated in a field (RFC 5322 §3.6.4).
var messageIDForm = regexp.MustCompile(`^<[A-Za-z0-9!#$%&'*+/=?^_{|}~.` + "`" + `-]+@[A-Za-z0-9!#$%&'*+/=?^_{|}~.:\[\]` + "`" + `-]+>$`)

// messageID returns the original's Message-ID with its brackets if it is a valid
// one, or "".
func (o *returned) messageID() string {
	id := strings.TrimSpace(o.value("Message-Id"))
	if len(id) > 250 || !messageIDForm.MatchString(id) {
		return ""
	}
	return id
}
