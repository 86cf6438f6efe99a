package smtp

import (
	"errors"
	"fmt"

	"postrider/internal/fault"
	"postrider/internal/wire"
)

// fixed is a reply that never changes, with its octets made once.
type fixed struct {
	Reply
	octets []byte
}

func fix(code int, enhanced, text string) *fixed {
	f := &fixed{Reply: Reply{Code: code, Enhanced: enhanced, Text: text}}
	f.octets = f.Append(nil)
	return f
}

// The fixed replies. The greeting, the answers to EHLO and HELO and 354 have no
// enhanced code (RFC 2034 §4).
var (
	replyOK        = fix(250, "0.0", "OK")
	replySender    = fix(250, "1.0", "Sender OK")
	replyRecipient = fix(250, "1.5", "Recipient OK")
	replyStart     = fix(354, "", "Send the message; end it with a line that has only a dot")
	replyBye       = fix(221, "0.0", "Goodbye")
	replyVerify    = fix(252, "0.0", "Not told here; mail to it will be tried")
	replyStartTLS  = fix(220, "0.0", "Ready to start TLS") // RFC 3207 §4
	replyLogin     = fix(235, "7.0", "Authentication successful")

	// Order (RFC 5321 §4.1.4).
	replyNeedHello     = fix(503, "5.1", "Say who you are first: EHLO and your name")
	replyNeedMail      = fix(503, "5.1", "There is no transaction: MAIL FROM:<address> comes first")
	replyNeedRecipient = fix(503, "5.1", "There are no recipients: RCPT TO:<address> comes first")
	replyNoRecipients  = fix(554, "5.1", "No valid recipients")
	replyNested        = fix(503, "5.1", "A transaction is open already; RSET ends it")
	replyInChunks      = fix(503, "5.1", "The message has begun with BDAT; go on with BDAT, or RSET")
	replyNeedEHLO      = fix(503, "5.1", "Say EHLO and your name first; HELO is not enough")
	replyHasTLS        = fix(503, "5.1", "TLS is on already")
	replyLoggedIn      = fix(503, "5.1", "You are logged in already")
	replyBinaryData    = fix(503, "5.1", "A message with BODY=BINARYMIME is sent with BDAT")
	replyNeedReset     = fix(503, "5.1", "A part of the message was refused; RSET comes first")

	// Lines and arguments.
	replyTooLong     = fix(500, "5.2", "The line is too long")
	replyBareLF      = fix(500, "5.2", "Line feed without carriage return; lines end with CR LF")
	replyBareCR      = fix(500, "5.2", "Carriage return without line feed; lines end with CR LF")
	replyControl     = fix(500, "5.2", "The line has a control character")
	replyNotASCII    = fix(500, "5.2", "The line has octets that are not ASCII")
	replyNotUTF8     = fix(501, "5.2", "The argument is not valid UTF-8")
	replyEmpty       = fix(500, "5.2", "An empty line is no command; HELP lists the commands")
	replyUnknown     = fix(500, "5.2", "Command not recognized; HELP lists the commands")
	replyHeaderHint  = fix(500, "5.2", "That is a header line of a message; MAIL, RCPT and DATA come first")
	replyHTTPHint    = fix(500, "5.2", "This is a mail server; it speaks SMTP, not HTTP")
	replyNoArgument  = fix(501, "5.4", "This command takes no argument")
	replyBadHello    = fix(501, "5.4", "That is no host name; write a name such as client.example.org")
	replyNoHelp      = fix(504, "5.4", "No help on that; HELP alone lists the commands")
	replyNoUTF8Path  = fix(553, "6.7", "The address is not ASCII; that needs SMTPUTF8 with MAIL")
	replyUTF8Listing = fix(252, "6.8", "The answer is not ASCII; ask again with SMTPUTF8")

	// TLS and logins (RFC 3207 §4, RFC 4954 §4, §6).
	replyNoTLS       = fix(454, "7.0", "TLS is not available at the moment; try again later")
	replyNeedTLS     = fix(530, "7.0", "Must issue a STARTTLS command first")
	replyNeedLogin   = fix(530, "7.0", "Authentication required")
	replyMechanism   = fix(504, "5.4", "That way to log in is not offered here; EHLO lists those that are")
	replyPlaintext   = fix(538, "7.11", "That way to log in needs encryption")
	replyAuthTooLong = fix(500, "5.6", "The line is too long for a login")
	replyBadBase64   = fix(501, "5.2", "That is not base64")
	replyBadResponse = fix(501, "5.2", "Not understood")
	replyCancelled   = fix(501, "7.0", "The login is cancelled")
	replyDenied      = fix(535, "7.8", "Authentication failed: the credentials are not valid")
	replyLockedOut   = fix(454, "7.0", "Too many failed logins from your address; try again later")
	replyLoginLater  = fix(454, "7.0", "Logins are not possible at the moment; try again later")

	// Parameters (RFC 5321 §4.1.1.11).
	replyBadParam     = fix(501, "5.4", "A parameter is malformed")
	replyRepeated     = fix(501, "5.4", "A parameter is given twice")
	replyUnknownParam = fix(555, "5.4", "A parameter is not known here")
	replyBothHolds    = fix(501, "5.4", "HOLDFOR and HOLDUNTIL exclude one another")
	replyHoldTooLong  = fix(501, "5.4", "No message is held for that long here; EHLO says for how long")
	replyHoldPast     = fix(501, "5.4", "The time until which the message is to be held is past")
	replyByPast       = fix(501, "5.4", "BY with R needs a time that is not past")
	replyByTooSoon    = fix(555, "5.4", "BY asks for less time than EHLO says with DELIVERBY")
	replyHoldPastBy   = fix(501, "5.4", "The message would be held for longer than BY gives time to deliver it")
	replyBinary       = fix(555, "6.1", "BINARYMIME is not offered here; encode the message, or use 8BITMIME")

	// ETRN (RFC 1985 §5) and ATRN (RFC 2645 §5).
	replyBadNode        = fix(501, "5.4", "Syntax: ETRN node, ETRN @domain or ETRN #queue")
	replyTurn           = fix(250, "0.0", "OK, now you are the server; send your greeting")
	replyTurnNone       = fix(453, "0.0", "You have no mail")
	replyTurnDenied     = fix(450, "7.1", "Not all of these domains are yours to ask for")
	replyTurnFailed     = fix(451, "3.0", "Your mail can't be sent at the moment; try again later")
	replyBadDomain      = fix(501, "5.4", "Syntax: ATRN [domain,...]")
	replyTooManyDomains = fix(501, "5.4", "Too many domains; name none to get the mail of all")

	// The message.
	replyTooLarge     = fix(552, "3.4", "The message is larger than this server takes")
	replyBareLFInData = fix(550, "6.0", "The message has a line feed without carriage return; its lines must end with CR LF")
	replyBareCRInData = fix(550, "6.0", "The message has a carriage return without line feed; its lines must end with CR LF")
	replyBadMessage   = fix(554, "6.0", "The message is malformed")
	replyNoCRLF       = fix(554, "5.2", "Your lines do not end with CR LF, so the end of a message could not be seen;\nuse telnet, or nc -C with lines that end in LF")
	replyChunkSyntax  = fix(501, "5.4", "Syntax: BDAT octets [LAST]")

	// Limits.
	replyTooManyRecipients   = fix(452, "5.3", "Too many recipients; send the rest in another transaction")
	replyTooManyTransactions = fix(421, "5.3", "Enough messages for one connection; open another")

	// The last word.
	replyTooManyErrors  = fix(421, "7.0", "Too many errors; closing the connection")
	replyTooManyLogins  = fix(421, "7.0", "Too many failed logins; closing the connection")
	replyTooManyGuesses = fix(421, "7.0", "Too many recipients that nobody has; closing the connection")
	replyHTTP           = fix(421, "7.0", "This is a mail server; it speaks SMTP, not HTTP")
	replyOutOfStep      = fix(421, "5.2", "What follows can't be told from commands; closing the connection")
	replyFlood          = fix(421, "5.2", "The line has no end; closing the connection")
	replyTimeout        = fix(421, "4.2", "Silent for too long; closing the connection")
	replyShutdown       = fix(421, "3.2", "The server is shutting down; try again soon")
	replyShed           = fix(421, "3.2", "Too many connections; try again later")
)

// faultReplies are what a peer hears about a failure of the backend, by kind.
var faultReplies = [...]*fixed{
	fault.Internal:  fix(451, "3.0", "Something went wrong here; try again later"),
	fault.NotFound:  fix(550, "1.1", "No such mailbox here"),
	fault.Exists:    fix(451, "3.0", "Something went wrong here; try again later"),
	fault.Denied:    fix(550, "7.1", "Not permitted"),
	fault.OverQuota: fix(452, "2.2", "The mailbox is full"),
	fault.TooLarge:  replyTooLarge,
	fault.Busy:      fix(451, "3.0", "Busy; try again later"),
	fault.Transient: fix(451, "3.0", "Not possible at the moment; try again later"),
	fault.NoSpace:   fix(452, "3.1", "The server has no room for mail; try again later"),
	fault.ReadOnly:  fix(451, "3.0", "The server takes no mail at the moment; try again later"),
	fault.Invalid:   fix(553, "1.3", "The address is not valid"),
	fault.Corrupt:   fix(451, "3.0", "Something went wrong here; try again later"),
}

// beginReplies are what a client hears when no exchange can begin, and
// loginReplies when one fails. What is not in them is the server's trouble.
var (
	beginReplies = map[fault.Kind]*fixed{
		fault.NotFound: replyMechanism,
		fault.Denied:   replyPlaintext,
		fault.Busy:     replyLockedOut,
	}
	loginReplies = map[fault.Kind]*fixed{
		fault.Denied:  replyDenied,
		fault.Invalid: replyBadResponse,
		fault.Busy:    replyLockedOut,
	}
)

// stage is which part of a transaction a failure is about.
type stage uint8

const (
	stageSender stage = iota
	stageRecipient
	stageMessage
)

// invalid is the reply to a failure of kind Invalid, by stage.
var invalid = [...]*fixed{
	stageSender:    fix(553, "1.7", "The sender's address is not valid"),
	stageRecipient: faultReplies[fault.Invalid],
	stageMessage:   replyBadMessage,
}

// errTooLarge is a sink's error when a message exceeds MaxSize.
var errTooLarge = fault.New(fault.TooLarge, "take a message", nil)

// refusal returns the reply to an error of the backend or of the data, and what
// the operator should see of it.
func refusal(err error, at stage) (r *Reply, log string) {
	switch {
	case errors.As(err, &r) && r.refuses():
		return r, ""
	case errors.Is(err, wire.ErrBareLF):
		return &replyBareLFInData.Reply, ""
	case errors.Is(err, wire.ErrBareCR):
		return &replyBareCRInData.Reply, ""
	}
	kind := fault.KindOf(err)
	if int(kind) >= len(faultReplies) {
		kind = fault.Internal
	}
	if kind == fault.Invalid {
		return &invalid[at].Reply, ""
	}
	if kind.Temporary() && kind != fault.OverQuota {
		log = err.Error()
	}
	return &faultReplies[kind].Reply, log
}

// replyFlushed answers ETRN, in the words of RFC 1985 §5.
func replyFlushed(n Node, waiting Flushed) *Reply {
	r := &Reply{Enhanced: "0.0"}
	switch {
	case waiting == FlushSome:
		r.Code, r.Text = 252, fmt.Sprintf("OK, pending messages for node %s started", n)
	case waiting < 0:
		r.Code, r.Text = 250, fmt.Sprintf("OK, queuing for node %s started", n)
	case waiting == 0:
		r.Code, r.Text = 251, fmt.Sprintf("OK, no messages waiting for node %s", n)
	default:
		r.Code, r.Text = 253, fmt.Sprintf("OK, %d pending messages for node %s started", waiting, n)
	}
	return r
}

func replyFlushFailed(n Node) *Reply {
	return &Reply{Code: 458, Enhanced: "3.0", Text: fmt.Sprintf("Unable to queue messages for node %s; try again later", n)}
}

func replyFlushDenied(n Node) *Reply {
	return &Reply{Code: 459, Enhanced: "7.1", Text: fmt.Sprintf("Node %s not allowed: it is not yours to ask for", n)}
}
