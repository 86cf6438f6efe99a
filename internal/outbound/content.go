package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"unicode/utf8"

	"postrider/internal/dsn"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
)

// sending is a message's octets on their way out: header lines that were made for
// it, and what is stored or what that was turned into.
type sending struct {
	top       []byte
	rest      Content
	converted Content // rest, if that is not as it is stored; else nil
	body      mail.BodyType
	close     func()
}

// Size implements smtp.OutgoingContent.
func (s *sending) Size() int64 { return int64(len(s.top)) + s.rest.Size() }

// Body implements smtp.OutgoingContent.
func (s *sending) Body() mail.BodyType { return s.body }

// WriteTo implements smtp.OutgoingContent.
func (s *sending) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s.top)
	if err != nil {
		return int64(n), err
	}
	if direct, ok := s.rest.(io.WriterTo); ok {
		more, err := direct.WriteTo(w)
		return int64(n) + more, err
	}
	more, err := io.Copy(w, io.NewSectionReader(s.rest, 0, s.rest.Size()))
	return int64(n) + more, err
}

// Close implements smtp.OutgoingContent.
func (s *sending) Close() error {
	s.close()
	return nil
}

// open gives a message the form that the next host takes, and then signs it: a
// signature is over what is sent.
func (d *Deliverer) open(ctx context.Context, j *job, form smtp.Form) (smtp.OutgoingContent, error) {
	stored, err := d.o.Store.OpenQueued(ctx, j.msg.ID)
	if err != nil {
		return nil, err
	}
	s := &sending{rest: stored, body: j.msg.Envelope.Body, close: func() { stored.Close() }}
	if j.msg.Envelope.SMTPUTF8 && !form.UTF8 {
		err = s.checkHeader()
	}
	if err == nil {
		err = d.convert(ctx, s, form)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	if d.o.Signer == nil {
		return s, nil
	}
	s.top, err = d.signed.get(signedForm{j.msg.ID, s.body}, d.o.Now(), func() ([]byte, error) {
		return d.o.Signer.Sign(ctx, &j.msg, stored, s.converted)
	})
	if err != nil {
		// Unsigned mail gets further than none.
		d.log.Error("a message could not be signed and goes out unsigned", "message", j.msg.AcceptID.String(), "error", err)
		s.top = nil
	}
	return s, nil
}

// checkHeader refuses a header that only a host with SMTPUTF8 may get (RFC 6531 §3.2).
// One that came without SMTPUTF8 is let through, as 8-bit headers always were.
func (s *sending) checkHeader() error {
	header, err := dsn.Header(s.rest, s.rest.Size())
	if err != nil {
		return err
	}
	if bytes.ContainsFunc(header, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return replyHeaderUTF8()
	}
	return nil
}

func replyHeaderUTF8() error {
	return &smtp.Reply{Code: 550, Enhanced: "6.7", Text: "The next host takes no internationalized headers, and this message has them"}
}

// convert turns a message into what the next host takes (RFC 6152 §3, RFC 3030
// §3).
func (d *Deliverer) convert(ctx context.Context, s *sending, form smtp.Form) error {
	switch {
	case s.body == mail.BodyBinaryMIME && form.Binary, s.body == mail.Body8BitMIME && form.EightBit, s.body == mail.Body7Bit:
		return nil
	}
	to := mail.Body7Bit
	if form.EightBit {
		to = mail.Body8BitMIME
	}
	size := s.rest.Size()
	turned, err := d.o.Store.NewContent(ctx, size+size/2)
	if err != nil {
		return err
	}
	if err := message.Lines(turned, s.rest, size, form.EightBit); err != nil {
		turned.Discard()
		return unturned(err)
	}
	before := s.close
	s.rest, s.converted, s.body = turned, turned, to
	s.close = func() {
		turned.Discard()
		before()
	}
	return nil
}

// unturned words why a message has no form that the next host takes.
func unturned(err error) error {
	var e *message.FormError
	switch {
	case !errors.As(err, &e):
		return err
	case e.HeaderEightBit:
		return replyHeaderUTF8()
	}
	return &smtp.Reply{Code: 554, Enhanced: "6.3", Text: "The next host does not take messages of this form, and it can't be converted: " + e.Why}
}
