package smtp

import (
	"io"
	"strings"

	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// transaction is everything that the session knows of a message on its way in.
// It is dropped whole at RSET, EHLO, and the end of the data.
type transaction struct {
	Transaction
	of      *server
	tried   int     // RCPT commands, accepted or not
	content Content // nil before DATA or BDAT
	chunked bool    // BDAT has begun
	failed  bool    // a chunk was refused
	lowered bool    // MT-PRIORITY asked for more than there is
	sink    sink
}

// drop forgets the transaction, and the message as far as it has come.
func (s *server) drop() {
	if s.tx != nil {
		s.tx.abort()
	}
	s.tx, s.reading = nil, readLines
	if !s.loggedIn {
		s.client.setIdentity(sasl.Identity{}) // without a login it is good for one transaction
	}
}

// binary reports whether the content is not made of lines (RFC 3030 §3).
func (tx *transaction) binary() bool { return tx.Envelope.Body == mail.BodyBinaryMIME }

func (tx *transaction) abort() {
	if tx.content != nil {
		tx.content.Abort()
		tx.content = nil
	}
}

// sink takes a message's octets and stops at the limit.
type sink struct {
	next      io.Writer
	endings   wire.EndingChecker // between sink and content, for BDAT
	size, max int64              // octets
}

// Write passes p on. Its error is errTooLarge or that of the content.
func (k *sink) Write(p []byte) (int, error) {
	if int64(len(p)) > k.max-k.size {
		return 0, errTooLarge
	}
	n, err := k.next.Write(p)
	k.size += int64(n)
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

// mail begins a transaction (RFC 5321 §4.1.1.2).
func (s *server) mail(arg []byte) session.Step {
	if s.opts.MaxTransactions > 0 && s.transactions >= s.opts.MaxTransactions {
		return s.bye(replyTooManyTransactions, "too many transactions")
	}
	_, foreign := scan(arg)
	// Whether UTF-8 is allowed stands behind the address (RFC 6531 §3.4).
	from, params, err := mail.ParsePath(string(arg), true)
	if err == nil && from.Domain == "" && !from.IsZero() {
		err = mail.ErrNoAt // a reverse-path needs a domain, also a postmaster's
	}
	if err != nil {
		return s.wrong(badPath(err, "1.7"))
	}
	tx := &transaction{Transaction: Transaction{Client: &s.client}, of: s}
	tx.Envelope.From = from
	if bad := parseParams(s, params, mailParams, tx, false); bad != nil {
		return s.wrong(&bad.Reply)
	}
	switch {
	case foreign && !tx.Envelope.SMTPUTF8:
		return s.wrong(&replyNoUTF8Path.Reply)
	case tx.Envelope.Size > s.opts.MaxSize:
		return s.fixed(replyTooLarge)
	case tx.returnedBeforeSent():
		return s.wrong(&replyHoldPastBy.Reply)
	}
	tx.Envelope.ID = mail.NewID(s.conn.Now())
	if err := s.backend.Sender(s.conn.Context, &tx.Transaction); err != nil {
		return s.fail(err, stageSender)
	}
	s.tx = tx
	s.transactions++
	return s.fixed(replySender)
}

// rcpt adds a recipient (RFC 5321 §4.1.1.3).
func (s *server) rcpt(arg []byte) session.Step {
	tx := s.tx
	if tx.tried >= s.opts.MaxRecipients {
		return s.fixed(replyTooManyRecipients)
	}
	tx.tried++
	var rcpt mail.Recipient
	address, params, err := mail.ParsePath(string(arg), tx.Envelope.SMTPUTF8)
	if err == nil && address.IsZero() {
		err = mail.ErrNoAddress // <> is a reverse-path only
	}
	if err != nil {
		return s.wrong(badPath(err, "1.3"))
	}
	rcpt.Address = address
	if len(arg) > 2*(len(address.Local)+len(address.Domain)) {
		// As parts of a long line they would keep all of it.
		rcpt.Address.Local, rcpt.Address.Domain = strings.Clone(address.Local), strings.Clone(address.Domain)
	}
	if bad := parseParams(s, params, rcptParams, &rcpt, tx.Envelope.SMTPUTF8); bad != nil {
		return s.wrong(&bad.Reply)
	}
	if err := s.backend.Recipient(s.conn.Context, &tx.Transaction, rcpt); err != nil {
		return s.refuseRecipient(err)
	}
	tx.Envelope.Recipients = append(tx.Envelope.Recipients, rcpt)
	return s.fixed(replyRecipient)
}

// refuseRecipient answers RCPT with the backend's error, and counts those that
// nobody has where anybody may guess.
func (s *server) refuseRecipient(err error) session.Step {
	r, _ := refusal(err, stageRecipient)
	if r.Code == 550 && r.Enhanced == "1.1" && s.role.strangers && !s.teach() {
		s.unknown++
		if s.opts.MaxUnknown > 0 && s.unknown >= s.opts.MaxUnknown {
			return s.bye(replyTooManyGuesses, "too many unknown recipients")
		}
	}
	return s.fail(err, stageRecipient)
}

// badPath returns the reply to a path that can't be read. Its text is package
// mail's and has nothing of the path in it.
func badPath(err error, enhanced string) *Reply {
	switch err {
	case mail.ErrNotASCII:
		return &replyNoUTF8Path.Reply
	case mail.ErrNotUTF8:
		return &replyNotUTF8.Reply
	}
	return &Reply{Code: 501, Enhanced: enhanced, Text: "Bad address: " + err.Error()}
}

// rset ends the transaction (RFC 5321 §4.1.1.5).
func (s *server) rset([]byte) session.Step {
	s.drop()
	return s.fixed(replyOK)
}
