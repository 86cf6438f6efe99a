// Package smtp is the Simple Mail Transfer Protocol: the server's session, its
// command table, its replies, and the small interface through which it sees the
// rest of the house. It does no input or output.
package smtp

import (
	"context"
	"io"
	"net/netip"

	"postrider/internal/mail"
)

// Backend is everything that an SMTP session needs from the rest of the house.
//
// Its errors become replies: a *Reply as it is; any other by its fault.Kind,
// with a text that gives nothing away. A Backend serves many sessions at once.
type Backend interface {
	// Sender decides about a transaction's reverse-path. Nil accepts it.
	Sender(ctx context.Context, tx *Transaction) error
	// Recipient decides about one forward-path more; tx.Envelope.Recipients are
	// those accepted before it. Nil accepts it.
	Recipient(ctx context.Context, tx *Transaction, rcpt mail.Recipient) error
	// Content begins the message of a transaction that has recipients.
	Content(ctx context.Context, tx *Transaction) (Content, error)
	// Verify answers VRFY where it may be answered: the mailboxes that a string
	// names, each as "Name <address>" or "<address>".
	Verify(ctx context.Context, who string) ([]string, error)
	// Expand answers EXPN where it may be answered: the members of an alias.
	Expand(ctx context.Context, alias string) ([]string, error)
}

// Content takes a message's octets, without dot-stuffing and with its line
// endings, and then either is committed or aborted.
type Content interface {
	// Write's error ends the taking in of the message: it becomes the reply at
	// the end of the data.
	io.Writer
	// Commit returns nil when the message is durable for every recipient.
	Commit(ctx context.Context) error
	// Abort forgets the message. After Commit it does nothing.
	Abort()
}

// Transaction is one message's way in, from MAIL to the reply after its data.
// The session makes it; Backend may read it during its calls.
type Transaction struct {
	Client   *Client
	Envelope mail.Envelope
	// Notes is the backend's: what it wants to know again at the next call of
	// this transaction. The session neither reads nor writes it.
	Notes any
}

// Client is what is known of the peer.
type Client struct {
	// ConnID stands in every log line about the connection.
	ConnID string
	// Listener and Role are the listener's name and role: "mx", "submission" or
	// "relay", whether TLS begins with the first octet there or not.
	Listener, Role string
	// Hostname is the name the listener greeted with: "by" in the Received field.
	Hostname string
	Remote   netip.AddrPort
	// Helo is what the client called itself, empty if it said nothing; Extended,
	// whether by EHLO.
	Helo     string
	Extended bool
	// TLS describes the connection's protection, empty if there is none.
	TLS string
	// Account is who has proven a name; zero for nobody. Login is that account's
	// address.
	Account mail.AccountID
	Login   string
	// Mechanism is how the name was proven: that of AUTH; empty for nobody, and for
	// an address that is trusted since a recent login by POP3.
	Mechanism string
	// AppPassword is the name of the app password that was used, if one was.
	AppPassword string
}

// Reply is an SMTP reply. As an error it is the reply to send.
type Reply struct {
	// Code is the reply code, 200 to 599 (RFC 5321 §4.2).
	Code int
	// Enhanced is subject and detail of the enhanced code, "1.1" for 5.1.1; its
	// class is derived from Code (RFC 2034 §4). Empty: the reply has none.
	Enhanced string
	// Text is one or more lines separated by LF.
	Text string
	// Said is what a server sent, where a Client has read the reply: its lines as in
	// Text, but with the enhanced codes that stood there, whatever their class. Empty:
	// the reply is our own. It is never sent.
	Said string
}
