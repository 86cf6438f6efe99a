package message

import (
	"time"

	"postrider/internal/mail"
)

// AppendDate appends a Date field (RFC 5322 §3.6.1).
func AppendDate(b []byte, t time.Time) []byte {
	return appendField(b, "Date: ", mail.FormatDate(t))
}

// AppendMessageID appends a Message-ID field (RFC 5322 §3.6.4), unique as the ID
// is, of the host named.
func AppendMessageID(b []byte, id mail.ID, host string) []byte {
	return appendField(b, "Message-ID: ", "<"+id.String()+"@"+hostName(host)+">")
}

// AppendMailbox appends a field of one address, such as From or Sender.
func AppendMailbox(b []byte, name string, a mail.Address) []byte {
	p := path(a)
	return appendField(b, name+": ", p[1:len(p)-1])
}
