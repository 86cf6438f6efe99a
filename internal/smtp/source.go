package smtp

import (
	"context"
	"io"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// Source is everything that a client's session needs from the rest of the house:
// it gives messages to be sent, and hears what became of them. It is the client's
// counterpart of Backend, and serves one session.
type Source interface {
	// Next returns the next message for this connection, or nil when there is none
	// and the session should end. It may wait for one. Peer is what is known of the
	// other side; it is the session's and good until Closed.
	//
	// When the conversation has begun and fails before the first transaction, Next is called once
	// all the same, so that somebody is told; Ctx may have ended then. A stage before
	// StageMail in Result tells such a failure from a verdict about a message.
	Next(ctx context.Context, peer *Peer) *Outgoing
	// Done says what became of a message that Next has returned; it is called
	// exactly once for each, at the latest in Event(Closed).
	Done(out *Outgoing, result *Result)
}

// Outgoing is one transaction of a client.
type Outgoing struct {
	// Envelope is what the other side is told: From, Recipients (one at least) and
	// the parameters. Size is that of the content in octets, 0 if it is not known.
	Envelope mail.Envelope
	// Open returns the content in a form that the peer takes. It is called once,
	// before MAIL, which declares the content's size and body. What is not binary has
	// no CR or LF alone, or it is not sent to its end. An error that is a
	// *Reply becomes the reply to all recipients, and nothing is sent (554 5.6.3 for
	// a message that can't be put into that form); another ends the transaction as a
	// failure of ours (Result.Fault).
	Open func(ctx context.Context, form Form) (OutgoingContent, error)
}

// Form is what the other side takes beyond lines of ASCII.
type Form struct {
	// EightBit: octets beyond ASCII (RFC 6152).
	EightBit bool
	// Binary: CR, LF and NUL anywhere, and lines of any length (RFC 3030). It is
	// sent in chunks then, and nothing is stuffed.
	Binary bool
	// UTF8: UTF-8 in header fields (RFC 6531).
	UTF8 bool
}

// OutgoingContent is a message's octets. The session reads it to its end at most
// once, and closes it.
type OutgoingContent interface {
	// Size returns the octets that WriteTo will write.
	Size() int64
	// Body says what the octets are: whether 8BITMIME or BINARYMIME has to be
	// declared for them.
	Body() mail.BodyType
	io.WriterTo
	io.Closer
}

// Peer is what a client knows about the server that it talks to.
type Peer struct {
	// Greeting is the first line of its greeting, Hostname the name in its answer to
	// EHLO or HELO; both made safe to show, as in Reply.Text.
	Greeting, Hostname string
	// What follows it has told in its answer to EHLO; a server that knows HELO only
	// has told nothing.
	StartTLS   bool
	Pipelining bool // RFC 2920
	EightBit   bool // RFC 6152
	Chunking   bool // RFC 3030
	Binary     bool // RFC 3030
	UTF8       bool // RFC 6531
	DSN        bool // RFC 3461
	RequireTLS bool // RFC 8689
	DeliverBy  bool // RFC 2852
	Priority   bool // RFC 6710
	// SizeKnown says that it has told of SIZE; MaxSize is the largest message that
	// it takes, in octets, 0 for no limit that it tells of (RFC 1870).
	SizeKnown bool
	MaxSize   int64
	// MinBy is the least time that DELIVERBY may ask for, in seconds; 0 if it told
	// of none.
	MinBy int64
	// MaxRecipients and MaxMessages are its LIMITS RCPTMAX and MAILMAX (RFC 9422), 0
	// if it told of none.
	MaxRecipients, MaxMessages int
	// Mechanisms are those of AUTH, in upper case.
	Mechanisms []string
	// TLS is what protects the connection, nil for nothing.
	TLS *session.TLS
}

// Result is what became of one transaction.
type Result struct {
	// Recipients has an entry for each recipient of the Outgoing, in its order.
	Recipients []RecipientResult
	// Lost, if not empty, is the stage at which the conversation ended before the
	// transaction did (the connection broke, the peer was silent, or it spoke
	// nonsense); recipients without a Reply have not been decided about.
	Lost Stage
	// Why says it in words, for the log and for notifications; it has nothing of
	// the peer's in it.
	Why string
	// Uncertain says that all of the message had been sent when the conversation was
	// lost, so that the peer may have taken it (RFC 1047).
	Uncertain bool
	// Fault is what went wrong on our side, in Outgoing.Open or in reading the
	// content: nothing is said about the peer. The connection is closed if the content
	// had begun.
	Fault error
	// Reused says that the connection had carried a transaction before this one, so
	// that a loss, or a 421, may have nothing to do with this message: the server may
	// have been about to close.
	Reused bool
}

// RecipientResult is what became of one recipient.
type RecipientResult struct {
	// Reply is the reply that decided: a 2yz after all of the data, or a 4yz or 5yz
	// to any command or to the data. Nil: the conversation was lost before.
	Reply *Reply
	// Stage is where Reply came, or would have.
	Stage Stage
	// Local says that Reply is ours: the peer was not asked, since it lacks what the
	// message needs.
	Local bool
	// Relayed says that the peer was given what was asked for by DSN's parameters,
	// and reports itself from now on (RFC 3461 §5.2).
	Relayed bool
}

// Stage is where in a conversation a client is.
type Stage string

// The stages.
const (
	StageConnect  Stage = "connection" // before any word
	StageGreeting Stage = "greeting"
	StageHello    Stage = "EHLO"
	StageTLS      Stage = "STARTTLS"
	StageLogin    Stage = "AUTH"
	StageMail     Stage = "MAIL"
	StageRcpt     Stage = "RCPT"
	StageData     Stage = "DATA"
	StageContent  Stage = "content" // within the message
	StageEnd      Stage = "end of data"
	StageQuit     Stage = "QUIT"
)
