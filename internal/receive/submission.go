package receive

import (
	"context"
	"time"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
)

// The roles of a listener, as in the configuration. Any other is treated as mx;
// roleServer, in metrics, is the server itself.
const (
	roleMX         = "mx"
	roleSubmission = "submission"
	roleRelay      = "relay"
	roleServer     = "server"
)

// MaxHeader is how long the header of a submitted message may be, in octets. It
// is held in memory until it is whole.
const MaxHeader = 256 << 10

// What a submission is refused for.
var (
	verdictUnproven = verdict{reason: "no login", reply: smtp.Reply{
		Code: 530, Enhanced: "7.0", Text: "Authentication required",
	}}
	// verdictNoSender is for an account that has been disabled or removed since it
	// logged in: it may not send as anybody.
	verdictNoSender = verdict{reason: "no right to send", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "The account may not send mail: ask the operator",
	}}
	// verdictBlind is for a header that a line without a name ends too early: those
	// whom the fields below it name as blind recipients would be shown to all.
	verdictBlind = verdict{reason: "malformed header", reply: smtp.Reply{
		Code: 550, Enhanced: "6.0",
		Text: "A line of the header has no field name, and there is a Bcc field below it: its recipients would be shown to all",
	}}
	verdictHeaderSize = verdict{reason: "header too large", reply: smtp.Reply{
		Code: 552, Enhanced: "3.4", Text: "The header of the message is larger than this server takes",
	}}
)

// isKnown refuses who has not logged in (RFC 6409 §4.3). The session has done so
// before.
func isKnown(_ context.Context, _ *Receiver, tx *smtp.Transaction) error {
	if tx.Client.Account == 0 {
		return &verdictUnproven
	}
	return nil
}

// ownsReversePath refuses a reverse-path that is not the account's (RFC 6409
// §6.1). For the null reverse-path the From field decides.
func ownsReversePath(ctx context.Context, r *Receiver, tx *smtp.Transaction) error {
	if tx.Envelope.From.IsZero() {
		return nil
	}
	_, err := r.right(ctx, tx, tx.Envelope.From, "The sender's address")
	return err
}

// right returns why the transaction's client may send as an address, or the
// verdict that it may not. What names the address's place, in words.
func (r *Receiver) right(ctx context.Context, tx *smtp.Transaction, a mail.Address, what string) (directory.Right, error) {
	right, err := r.maySendAs(ctx, tx, a)
	if err != nil || right != directory.NoRight {
		return right, err
	}
	if login, err := mail.ParseAddress(tx.Client.Login); err == nil {
		switch own, err := r.maySendAs(ctx, tx, login); {
		case err != nil:
			return own, err
		case own == directory.NoRight:
			return own, verdictNoSender.with(tx.Client.Login)
		}
	}
	v := verdict{reason: "not the sender's address", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1",
		Text: what + " is not yours: send as " + tx.Client.Login + ", or ask the operator for a grant",
	}}
	return right, v.with(a.String())
}

// maySendAs asks for the right of the transaction's client to an address.
func (r *Receiver) maySendAs(ctx context.Context, tx *smtp.Transaction, a mail.Address) (directory.Right, error) {
	if r.o.Rights == nil {
		return directory.NoRight, nil
	}
	right, err := r.o.Rights.MaySendAs(ctx, tx.Client.Account, a)
	return right, fault.Wrap("look up who may send as "+a.String(), err)
}

// maySendMessage refuses a message early that could not be taken in the end for
// the account's rate.
func maySendMessage(_ context.Context, r *Receiver, tx *smtp.Transaction) error {
	return r.rates.check(tx.Client.Account, r.o.Now(), amount{messages: 1})
}

// maySendToOneMore refuses a recipient beyond the account's rate.
func maySendToOneMore(_ context.Context, r *Receiver, a *attempt) error {
	n := len(a.tx.Envelope.Recipients) + 1
	return r.rates.check(a.tx.Client.Account, r.o.Now(), amount{messages: 1, recipients: n})
}

// submission is a message that is being submitted. Its header is held back until
// it is whole, is then judged and mended (RFC 6409 §8), and goes on to content;
// what follows streams through.
type submission struct {
	content
	// ctx is that of the connection; Write has none.
	ctx    context.Context
	header []byte // what has come of it
	end    message.HeaderScanner
	mended bool
	lines  message.LineWatcher
	// below watches what follows a header that no blank line ends; else nil.
	below *message.NameWatcher
}

// submit begins a submitted message.
func (r *Receiver) submit(ctx context.Context, tx *smtp.Transaction) (smtp.Content, error) {
	c, err := r.beginRated(ctx, tx, r.rates, tx.Client.Account)
	if err != nil {
		return nil, err
	}
	c.hold = wholeSecond(tx.Envelope.Hold)
	return &submission{content: c, ctx: ctx}, nil
}

// beginRated begins a message that counts for a rate.
func (r *Receiver) beginRated(ctx context.Context, tx *smtp.Transaction, of *rates, account mail.AccountID) (content, error) {
	reserved, err := of.reserve(account, r.o.Now(), amount{1, len(tx.Envelope.Recipients)})
	if err != nil {
		return content{}, r.refuse(ctx, stageData, tx, nil, err)
	}
	c, err := r.begin(ctx, tx)
	if err != nil {
		reserved.release()
		return content{}, err
	}
	c.reserved = reserved
	return c, nil
}

// wholeSecond rounds up: the store keeps seconds, and no message may appear
// before its time.
func wholeSecond(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// Write takes octets of the message.
func (s *submission) Write(p []byte) (int, error) {
	if s.mended {
		if s.below != nil {
			s.below.Write(p)
		}
		s.lines.Write(p)
		return s.content.Write(p)
	}
	room := MaxHeader + 1 - len(s.header)
	s.header = append(s.header, p[:min(room, len(p))]...)
	s.end.Write(p)
	switch {
	case !s.end.Done() && len(p) < room:
		return len(p), nil
	case !s.end.Done() || s.end.Length() > MaxHeader:
		return 0, s.r.refuse(s.ctx, stageData, s.tx, nil, &verdictHeaderSize)
	}
	// All that p has of the header is in s.header, and perhaps some of the body.
	rest := p[min(room, len(p)):]
	if err := s.mend(s.ctx); err != nil {
		return 0, err
	}
	if _, err := s.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

// mend judges the header, and passes on what becomes of it and what has come of
// the body. The error is what the session replies from.
func (s *submission) mend(ctx context.Context) error {
	n := s.end.Length()
	header, body := s.header[:n], s.header[n:]
	mended, id, err := s.r.mendHeader(ctx, s.tx, header)
	if err != nil {
		return s.r.refuse(ctx, stageData, s.tx, nil, err)
	}
	if endsHeader(header) || len(body) > 0 {
		mended = append(mended, "\r\n"...)
	}
	s.messageID, s.header, s.mended = id, nil, true
	if _, err := s.Write(mended); err != nil {
		return err
	}
	if !endsHeader(header) {
		s.below = message.NewNameWatcher(MaxHeader, blindFields...)
	}
	_, err = s.Write(body)
	return err
}

// endsHeader reports whether a header has its blank line.
func endsHeader(header []byte) bool {
	n := len(header)
	if n < 2 || header[n-1] != '\n' || header[n-2] != '\r' {
		return n == 1 && header[0] == '\n'
	}
	return n == 2 || header[n-3] == '\n'
}

// Commit stores the message, see content.Commit.
func (s *submission) Commit(ctx context.Context) error {
	defer s.Abort()
	if !s.mended {
		s.end.End()
		if s.end.Length() > MaxHeader {
			return s.r.refuse(ctx, stageData, s.tx, nil, &verdictHeaderSize)
		}
		if err := s.mend(ctx); err != nil {
			return err
		}
	}
	if s.below != nil && s.below.Found() {
		return s.r.refuse(ctx, stageData, s.tx, nil, &verdictBlind)
	}
	if err := s.commit(ctx, s.lines.Long()); err != nil {
		return s.r.refuse(ctx, stageData, s.tx, nil, err)
	}
	if !s.hold.IsZero() {
		s.r.wakeHolder()
	}
	return nil
}
