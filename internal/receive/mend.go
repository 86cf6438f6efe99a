package receive

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"postrider/internal/directory"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
)

// mendHeader judges the header of a submitted message and returns it as it will
// be, without a blank line, and the message's id. What is not dropped stays in
// its place, octet by octet but for white space between a name and its colon.
// What is added stands at the end: the trace fields and what a resender has put on
// top stay together (RFC 5322 §3.6).
//
//   - From has the account's own addresses only, or addresses granted to it. If
//     there is none, the reverse-path is it, or the login.
//   - Sender is the account's too. It is added where From does not say who sent
//     the message: an address that is only granted, or several (RFC 5322 §3.6.2).
//   - Date and Message-ID are added where they are missing (RFC 6409 §8.2, §8.3).
//   - Bcc and Resent-Bcc are dropped; Return-Path is too, since delivery writes
//     it, and a mailbox file's "From " line.
//   - White space before a colon is obsolete and may not be sent (RFC 5322 §4.5).
//     It goes, since to many readers such a line ends the header, and what stands
//     below, From for one, would not be seen.
func (r *Receiver) mendHeader(ctx context.Context, tx *smtp.Transaction, header []byte) (mended []byte, id string, err error) {
	seen, err := survey(header)
	if err != nil {
		return nil, "", err
	}
	added, err := r.originator(ctx, tx, seen)
	if err != nil {
		return nil, "", err
	}
	if !seen.date {
		added = message.AppendDate(added, r.o.Now())
	}
	if !seen.hasID {
		start := len(added)
		added = message.AppendMessageID(added, tx.Envelope.ID, tx.Client.Hostname)
		_, value, _ := bytes.Cut(added[start:], []byte(": "))
		seen.id = string(bytes.TrimSpace(value))
	}
	mended = make([]byte, 0, len(header)+len(added))
	for f := range message.SplitFields(header) {
		if isDropped(f) {
			continue
		}
		mended = append(append(append(mended, f.Name...), ':'), f.Body...)
	}
	if len(mended) > 0 && !bytes.HasSuffix(mended, []byte("\r\n")) {
		mended = append(mended, "\r\n"...) // BDAT has brought no end of the last line
	}
	return append(mended, added...), seen.id, nil
}

// blindFields name recipients of whom the others are not to know (RFC 5322
// §3.6.3, §3.6.6).
var blindFields = []string{"Bcc", "Resent-Bcc"}

// isDropped reports whether a submitted message loses a field.
func isDropped(f message.Field) bool {
	return f.Name == nil || f.Is("Return-Path") || slices.ContainsFunc(blindFields, f.Is)
}

// surveyed is what mendHeader wants to know of a header.
type surveyed struct {
	from, sender []mail.Address // nil: there is no such field
	date, hasID  bool
	id           string // the value of Message-ID
}

// survey reads a header. The error is a *verdict.
func survey(header []byte) (seen surveyed, err error) {
	for f := range message.SplitFields(header) {
		switch {
		case f.Is("From"):
			seen.from, err = mailboxes("From", f, seen.from != nil)
		case f.Is("Sender"):
			seen.sender, err = mailboxes("Sender", f, seen.sender != nil)
			if len(seen.sender) > 1 {
				err = malformed("Sender", "it has to be one address")
			}
		case f.Is("Date"):
			seen.date = true
		case f.Is("Message-ID"):
			seen.hasID = true
			if seen.id == "" {
				seen.id = string(f.Value())
			}
		}
		if err != nil {
			return surveyed{}, err
		}
	}
	return seen, nil
}

// mailboxes reads an originator field, of which there may be one.
func mailboxes(name string, f message.Field, again bool) ([]mail.Address, error) {
	if again {
		return nil, malformed(name, "there are two of them")
	}
	all, err := message.ParseMailboxes(f.Body)
	if err != nil {
		return nil, malformed(name, err.Error())
	}
	return all, nil
}

// malformed is the verdict on an originator field.
func malformed(name, why string) *verdict {
	return &verdict{reason: "malformed " + name, reply: smtp.Reply{
		Code: 550, Enhanced: "6.0", Text: "The message's " + name + " field can't be taken: " + why,
	}}
}

// originator decides about From and Sender, and returns the fields to be added.
func (r *Receiver) originator(ctx context.Context, tx *smtp.Transaction, seen surveyed) (added []byte, err error) {
	login, err := mail.ParseAddress(tx.Client.Login)
	if err != nil {
		return nil, errors.New("the login is no address: " + err.Error())
	}
	from := seen.from
	if from == nil {
		author := tx.Envelope.From
		if author.IsZero() {
			author = login
		}
		from = []mail.Address{author}
		added = message.AppendMailbox(added, "From", author)
	}
	borrowed := false
	for _, a := range from {
		right, err := r.right(ctx, tx, a, "An address in the message's From field")
		if err != nil {
			return nil, err
		}
		borrowed = borrowed || right == directory.GrantedAddress
	}
	for _, a := range seen.sender {
		if _, err := r.right(ctx, tx, a, "The address in the message's Sender field"); err != nil {
			return nil, err
		}
	}
	if seen.sender == nil && (borrowed || len(from) > 1) {
		added = message.AppendMailbox(added, "Sender", login)
	}
	return added, nil
}
