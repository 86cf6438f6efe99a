package netclient

import (
	"fmt"
	"strings"
	"time"

	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// testNow is the time in all conversations.
var testNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// conversations are what is held in memory and over TCP.
var conversations = []conversation{
	{
		name: "a server of 1982",
		text: "S: 220 mx\nC: EHLO me.test\nS: 500 what\nC: HELO me.test\nS: 250 mx\nC: MAIL FROM:<a@example.test>\nS: 250\nC: RCPT TO:<b@x.test>\nS: 250\nC: DATA\nS: 354\n" + message + "S: 250\n" + bye,
		want: "250 end of data",
	},
	{
		name: "a pipelined group is one flight",
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + message + "S: 250 2.0.0 taken\n" + bye,
		want: "250 0.0 end of data",
	},
	{
		name: "a chunk follows the replies",
		text: opening("PIPELINING", "CHUNKING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nS: 250 ok\nS: 250 ok\nC: BDAT 18 LAST\nC: Subject: x\nC:\nC: hi\nS: 250 2.0.0 taken\n" + bye,
		want: "250 0.0 end of data",
	},
	{
		name: "a greeting of 40 lines",
		text: strings.Repeat("S: 220-welcome\n", 39) + "S: 220 mx\nC: EHLO me.test\nS: 250 mx\nC: MAIL FROM:<a@example.test>\nS: 550 5.7.1 no\n" + bye,
		want: "550 7.1 MAIL",
	},
	{name: "a greeting of 554", text: "S: 554 5.3.2 go away\n" + bye, want: "554 3.2 greeting"},
	{name: "a greeting of 450", text: "S: 450 4.7.1 greylisted\n" + bye, want: "450 7.1 greeting"},
	{name: "a greeting of 421", text: "S: 421 4.3.2 closing\nX", want: "421 3.2 greeting, lost greeting"},
	{name: "a greeting of 354", text: "S: 354 go\nX", want: "?, lost greeting"},
	{name: "closed before the greeting", text: "D", want: "?, lost greeting"},
	{name: "closed after EHLO", text: "S: 220 mx\nC: EHLO me.test\nD", want: "?, lost EHLO"},
	{name: "EHLO refused for now", text: "S: 220 mx\nC: EHLO me.test\nS: 451 4.3.0 later\n" + bye, want: "451 3.0 EHLO"},
	{name: "EHLO and HELO refused", text: "S: 220 mx\nC: EHLO me.test\nS: 550 no\nC: HELO me.test\nS: 550 5.7.1 no\n" + bye, want: "550 7.1 EHLO"},
	{name: "different codes in a reply", text: "S: 220 mx\nC: EHLO me.test\nS: 250-mx\nS: 550 no\nX", want: "?, lost EHLO"},
	{name: "lines without end", text: "S: 220 mx\nC: EHLO me.test\n" + strings.Repeat("S: 250-more\n", 129) + "X", want: "?, lost EHLO"},
	{name: "no space after the code", text: "S: 220mx\nX", want: "?, lost greeting"},
	{name: "no digits", text: "S: 2x0 mx\nX", want: "?, lost greeting"},
	{name: "SSH", text: "S: SSH-2.0-OpenSSH\nX", want: "?, lost greeting"},
	{name: "a code of 1yz", text: opening() + "C: MAIL FROM:<a@example.test>\nS: 150 wait\nX", want: "?, lost MAIL"},
	{name: "a code of 6yz", text: opening() + "C: MAIL FROM:<a@example.test>\nS: 650 ok\nX", want: "?, lost MAIL"},
	{name: "354 to MAIL", text: opening() + "C: MAIL FROM:<a@example.test>\nS: 354 go\nX", want: "?, lost MAIL"},
	{name: "250 to DATA", text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 250 ok\nX", want: "?, lost DATA"},
	{name: "LF alone", text: "S< \"220 mx\\n220 mx\\r\\n\"\nX", want: "?, lost greeting"},
	{name: "CR alone", text: "S< \"220 m\\rx\\r\\n\"\nX", want: "?, lost greeting"},
	{name: "a line of 3,000 octets", text: "S: 220 " + strings.Repeat("x", 3000) + "\nX", want: "?, lost greeting"},
	{
		name: "the class of an enhanced code is the code's",
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 450 5.1.8 hm\n" + bye,
		want: "450 1.8 MAIL",
	},
	{
		name: "recipients are decided one by one",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test", "c@x.test", "d@x.test")},
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: RCPT TO:<d@x.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 450 4.2.0 later\nS: 550 5.1.1 no\nS: 354 go\n" + message + "S: 250 2.0.0 taken\n" + bye,
		want: "250 0.0 end of data, 450 2.0 RCPT, 550 1.1 RCPT",
	},
	{
		name: "354 though nobody was accepted gets a dot",
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 354 go\nC: .\nS: 250 taken\n" + bye,
		want: "550 1.1 RCPT",
	},
	{
		name: "MAIL refused, and the rest answered all the same",
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: DATA\nS: 550 5.7.1 no\nS: 250 ok\nS: 354 go\nC: .\nS: 554 no recipients\n" + bye,
		want: "550 7.1 MAIL",
	},
	{
		name: "RSET after a transaction that failed before its end",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test"), outgoing(hello, "c@x.test")},
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nS: 503 no\n" +
			"C: RSET\nS: 250 ok\nC: MAIL FROM:<a@example.test>\nC: RCPT TO:<c@x.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + message + "S: 250 ok\n" + bye,
		want: "550 1.1 RCPT / 250 end of data",
	},
	{
		name: "no RSET between transactions",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test"), outgoing(hello, "c@x.test")},
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 550 5.7.1 no\n" +
			"C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<c@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" + message + "S: 552 5.2.2 full\n" + bye,
		want: "550 7.1 MAIL / 552 2.2 end of data",
	},
	{
		name: "RSET refused",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test"), outgoing(hello, "c@x.test")},
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 550 no\nC: RSET\nS: 500 what\nX",
		want: "550 RCPT / ?, lost MAIL",
	},
	{
		name: "RSET after a chunk that was refused",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test"), outgoing(hello, "c@x.test")},
		text: opening("PIPELINING", "CHUNKING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nS: 250 ok\nS: 250 ok\nC: BDAT 18 LAST\nC: Subject: x\nC:\nC: hi\nS: 451 4.3.0 hm\n" +
			"C: RSET\nS: 250 ok\nC: MAIL FROM:<a@example.test>\nC: RCPT TO:<c@x.test>\nS: 421 4.3.2 bye\nX",
		want: "451 3.0 end of data / 421 3.2 MAIL, lost MAIL",
	},
	{
		name: "DATA refused",
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 451 4.3.0 later\n" + bye,
		want: "451 3.0 DATA",
	},
	{name: "421 to EHLO", text: "S: 220 mx\nC: EHLO me.test\nS: 421 4.3.2 bye\nX", want: "421 3.2 EHLO, lost EHLO"},
	{
		name: "421 to the second of three recipients",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test", "c@x.test", "d@x.test")},
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 550 5.1.1 no\nC: RCPT TO:<c@x.test>\nS: 421 4.3.2 bye\nX",
		want: "550 1.1 RCPT, 421 3.2 RCPT, 421 3.2 RCPT, lost RCPT",
	},
	{
		name: "421 to the dot",
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" + message + "S: 421 4.3.2 bye\nX",
		want: "421 3.2 end of data, lost end of data",
	},
	{name: "dropped after MAIL", text: opening() + "C: MAIL FROM:<a@example.test>\nD", want: "?, lost MAIL"},
	{
		name: "dropped after the first of three recipients",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test", "c@x.test", "d@x.test")},
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: RCPT TO:<d@x.test>\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no\nD",
		want: "550 1.1 RCPT, ?, ?, lost RCPT",
	},
	{name: "dropped after DATA", text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nD", want: "?, lost DATA"},
	{
		name: "dropped after the dot",
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" + message + "D",
		want: "?, lost end of data, uncertain",
	},
	{
		name: "dropped after the chunk",
		text: opening("CHUNKING") + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: BDAT 18 LAST\nC: Subject: x\nC:\nC: hi\nD",
		want: "?, lost end of data, uncertain",
	},
	{
		name: "nonsense after the dot",
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" + message + "S: 354 more\nX",
		want: "?, lost end of data, uncertain",
	},
	{
		name: "dropped at QUIT",
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" + message + "S: 250 ok\nC: QUIT\nD",
		want: "250 end of data",
	},
	{
		name: "an empty message",
		give: []*smtp.Outgoing{outgoing("", "b@x.test")},
		text: opening("CHUNKING") + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: BDAT 0 LAST\nS: 250 ok\n" + bye,
		want: "250 end of data",
	},
	{
		name: "dots are stuffed, and an end of line is added",
		give: []*smtp.Outgoing{outgoing(".a\r\n..\r\nb", "b@x.test")},
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\nC: ..a\nC: ...\nC: b\nC: .\nS: 250 ok\n" + bye,
		want: "250 end of data",
	},
	{
		name: "the peer's MAILMAX ends the conversation",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test"), outgoing(hello, "c@x.test")},
		text: opening("LIMITS MAILMAX=1 RCPTMAX=10") + "C: MAIL FROM:<a@example.test>\nS: 550 5.7.1 no\n" + bye,
		want: "550 7.1 MAIL",
	},
	{
		name: "too large for the server",
		text: opening("SIZE 10") + bye,
		want: "552 3.4 MAIL local",
	},
	{
		name: "size and body are declared",
		give: opened(&shortContent{content: content{size: 3, body: mail.Body8BitMIME}, text: "\xe4\r\n"}, nil),
		text: opening("SIZE", "8BITMIME") + "C: MAIL FROM:<a@example.test> SIZE=3 BODY=8BITMIME\nS: 550 no\n" + bye,
		want: "550 MAIL",
	},
	{
		name: "eight bits to a server of seven are a fault",
		give: opened(&shortContent{content: content{size: 3, body: mail.Body8BitMIME}, text: "\xe4\r\n"}, nil),
		text: opening() + bye,
		want: "?, fault",
	},
	{
		name: "binary needs chunks",
		give: opened(&shortContent{content: content{size: 3, body: mail.BodyBinaryMIME}, text: "\n\r\x00"}, nil),
		text: opening("BINARYMIME") + bye,
		want: "?, fault",
	},
	{
		name: "binary goes in chunks",
		give: opened(&shortContent{content: content{size: 3, body: mail.BodyBinaryMIME}, text: "\n\r\x00"}, nil),
		text: opening("BINARYMIME", "CHUNKING") + "C: MAIL FROM:<a@example.test> BODY=BINARYMIME\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: BDAT 3 LAST\nC< \"\\n\\r\\x00\"\nS: 250 ok\n" + bye,
		want: "250 end of data",
	},
	{
		name: "a content that can't be had in this form",
		give: opened(nil, &smtp.Reply{Code: 554, Enhanced: "6.3", Text: "no"}),
		text: opening() + bye,
		want: "554 6.3 MAIL local",
	},
	{name: "a content that can't be opened", give: opened(nil, errBad), text: opening() + bye, want: "?, fault"},
	{
		name: "a content that fails is never ended",
		give: opened(&shortContent{content: content{size: 9}, text: "abc\r\n", err: errBad}, nil),
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\nC: ...\nX",
		want: "?, lost content, fault",
	},
	{
		name: "a content that is too short is never ended",
		give: opened(&shortContent{content: content{size: 9}, text: "abc\r\n"}, nil),
		text: opening("CHUNKING") + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: ...\nX",
		want: "?, lost content, fault",
	},
	{
		name: "a content that is too long is never whole",
		give: opened(&shortContent{content: content{size: 4}, text: "abc\r\n"}, nil),
		text: opening("CHUNKING") + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: ...\nX",
		want: "?, lost content, fault",
	},
	{
		name: "a content with LF alone is never ended",
		give: []*smtp.Outgoing{outgoing("a\n.\r\nMAIL FROM:<x@y>\r\n", "b@x.test")},
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\nC: ...\nX",
		want: "?, lost content, fault",
	},
	{
		name: "CR and LF in a recipient never reach the wire",
		give: []*smtp.Outgoing{outgoing(hello, "b\r\nDATA\r\n@x.test")},
		text: opening() + bye, want: "553 1.3 RCPT local",
	},
	{
		name: "NUL in a domain never reaches the wire",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test\x00")},
		text: opening() + bye, want: "553 1.3 RCPT local",
	},
	{
		name: "LF in the reverse-path never reaches the wire",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) { e.From.Local = "a\n" }),
		text: opening() + bye, want: "?, fault",
	},
	{
		name: "controls in an ENVID never reach the wire",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) { e.EnvID = "a\r" }),
		text: opening("DSN") + bye, want: "?, fault",
	},
	{
		name: "controls in an ORCPT never reach the wire",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) { e.Recipients[0].ORcpt = "rfc822;a\n@b" }),
		text: opening("DSN") + "C: MAIL FROM:<a@example.test>\nS: 250\nC: RCPT TO:<b@x.test>\nS: 250\nC: DATA\nS: 354\n" + message + "S: 250\n" + bye,
		want: "250 end of data",
	},
	{
		name: "DSN's parameters",
		give: with(outgoing(hello, "b@x.test", "c d@x.test"), func(e *mail.Envelope) {
			e.Ret, e.EnvID = mail.RetHeaders, "a+b=c d"
			e.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyDelay
			e.Recipients[0].ORcpt = "rfc822;x+y@z"
			e.Recipients[1].Notify = mail.NotifyNever
		}),
		text: opening("DSN", "PIPELINING") + "C: MAIL FROM:<a@example.test> RET=HDRS ENVID=a+2Bb+3Dc+20d\nC: RCPT TO:<b@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z\n" +
			"C: RCPT TO:<\"c d\"@x.test> NOTIFY=NEVER\nC: DATA\nS: 250\nS: 250\nS: 550 5.1.1 no\nS: 354\n" + message + "S: 250\n" + bye,
		want: "250 end of data relayed, 550 1.1 RCPT",
	},
	{
		name: "without DSN its parameters are not said",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) {
			e.Ret, e.EnvID, e.Recipients[0].Notify = mail.RetFull, "x", mail.NotifySuccess
		}),
		text: opening() + "C: MAIL FROM:<a@example.test>\nS: 250\nC: RCPT TO:<b@x.test>\nS: 250\nC: DATA\nS: 354\n" + message + "S: 250\n" + bye,
		want: "250 end of data",
	},
	{
		name: "the null reverse-path, priority and time",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) {
			e.From = mail.Address{}
			e.Priority = -3
			e.DeliverBy = mail.DeliverBy{Deadline: testNow.Add(2 * time.Hour), Mode: mail.ByNotify, Trace: true}
		}),
		text: opening("MT-PRIORITY", "DELIVERBY 60") + "C: MAIL FROM:<> MT-PRIORITY=-3 BY=7200;NT\nS: 550 no\n" + bye,
		want: "550 MAIL",
	},
	{
		name: "late mail is not given to a server without DELIVERBY",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) { e.DeliverBy.Deadline = testNow.Add(time.Hour) }),
		text: opening() + bye, want: "550 3.3 MAIL local",
	},
	{
		name: "nor to one that needs longer",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) { e.DeliverBy.Deadline = testNow.Add(time.Hour) }),
		text: opening("DELIVERBY 7200") + bye, want: "550 4.7 MAIL local",
	},
	{
		name: "an address beyond ASCII to a server without SMTPUTF8",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test", "ü@x.test", "c@x.test")},
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\nC: DATA\nS: 250\nS: 250\nS: 550\nS: 354\n" + message + "S: 250\n" + bye,
		want: "250 end of data, 553 6.7 RCPT local, 550 RCPT",
	},
	{
		name: "the same with chunks, one by one, and at the end",
		give: []*smtp.Outgoing{outgoing(hello, "ö@x.test", "b@x.test", "ü@x.test")},
		text: opening("CHUNKING") + "C: MAIL FROM:<a@example.test>\nS: 250\nC: RCPT TO:<b@x.test>\nS: 250\nC: BDAT 18 LAST\nC: Subject: x\nC:\nC: hi\nS: 250\n" + bye,
		want: "553 6.7 RCPT local, 250 end of data, 553 6.7 RCPT local",
	},
	{
		name: "nobody can be named",
		give: []*smtp.Outgoing{outgoing(hello, "ö@x.test")},
		text: opening() + bye, want: "553 6.7 RCPT local",
	},
	{
		name: "an address beyond ASCII",
		give: with(outgoing(hello, "ü@x.test"), func(e *mail.Envelope) { e.Recipients[0].ORcpt = "utf-8;ü+x@y" }),
		text: opening("SMTPUTF8", "DSN") + "C: MAIL FROM:<a@example.test> SMTPUTF8\nS: 250\nC: RCPT TO:<ü@x.test> ORCPT=utf-8;ü\\\\x{2B}x@y\nS: 550 5.1.1 größer\n" + bye,
		want: "550 1.1 RCPT",
	},
	{
		name: "an original recipient beyond ASCII to a server without SMTPUTF8",
		give: with(outgoing(hello, "u@x.test"), func(e *mail.Envelope) { e.Recipients[0].ORcpt = `utf-8;ü\x{2B}x@y` }),
		text: opening("DSN") + "C: MAIL FROM:<a@example.test>\nS: 250\nC: RCPT TO:<u@x.test> ORCPT=utf-8;\\\\x{FC}\\\\x{2B}x@y\nS: 550\n" + bye,
		want: "550 RCPT",
	},
	{
		name: "REQUIRETLS without TLS",
		give: with(outgoing(hello, "b@x.test"), func(e *mail.Envelope) { e.RequireTLS = true }),
		text: opening("REQUIRETLS") + bye, want: "550 7.10 MAIL local",
	},
	{
		name: "TLS that must be and is not offered",
		opts: smtp.ClientOptions{TLS: smtp.TLSMust},
		text: opening() + bye, want: "454 7.0 STARTTLS local",
	},
	{
		name: "TLS that must be and is refused",
		opts: smtp.ClientOptions{TLS: smtp.TLSMust},
		text: opening("STARTTLS") + "C: STARTTLS\nS: 454 4.7.0 no key\n" + bye, want: "454 7.0 STARTTLS",
	},
	{
		name: "TLS that may be and is refused",
		text: opening("STARTTLS") + "C: STARTTLS\nS: 454 4.7.0 no key\nC: MAIL FROM:<a@example.test>\nS: 550 no\n" + bye, want: "550 MAIL",
	},
	{
		name: "shutdown before the first transaction",
		text: "S: 220 mx\nC: EHLO me.test\nE shutdown\nS: 250 mx\n" + bye, want: "",
	},
	{name: "shutdown before the greeting", text: "E shutdown\nX", want: ""},
	{
		name: "shutdown within a transaction",
		give: []*smtp.Outgoing{outgoing(hello, "b@x.test"), outgoing(hello, "c@x.test")},
		text: opening() + "C: MAIL FROM:<a@example.test>\nE shutdown\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250\nC: DATA\nS: 354\n" + message + "S: 250\n" + bye,
		want: "250 end of data",
	},
	{
		name: "no mail",
		give: []*smtp.Outgoing{},
		text: opening() + bye, want: "",
	},
	{
		name: "PLAIN",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: "p", Plaintext: true}},
		text: opening("AUTH LOGIN PLAIN") + "C: AUTH PLAIN AHUAcA==\nS: 235 2.7.0 ok\nC: MAIL FROM:<a@example.test>\nS: 550\n" + bye,
		want: "550 MAIL",
	},
	{
		name: "PLAIN with a long password is sent when it is asked for",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: strings.Repeat("p", 400), Plaintext: true}},
		text: opening("AUTH PLAIN") + "C: AUTH PLAIN\nS: 334\nC: AHUAcHBw*\nS: 535 5.7.8 no\n" + bye,
		want: "535 7.8 AUTH",
	},
	{
		name: "LOGIN",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: "p", Plaintext: true}},
		text: opening("AUTH LOGIN") + "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dQ==\nS: 334 UGFzc3dvcmQ6\nC: cA==\nS: 454 4.7.0 later\n" + bye,
		want: "454 7.0 AUTH",
	},
	{
		name: "a challenge too many is cancelled",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: "p", Plaintext: true}},
		text: opening("AUTH PLAIN") + "C: AUTH PLAIN AHUAcA==\nS: 334 bW9yZQ==\nC: \\*\nS: 501 5.7.0 ok\n" + bye,
		want: "454 7.0 AUTH local",
	},
	{
		name: "a challenge that is no base64 is cancelled",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: "p"}},
		text: opening("AUTH SCRAM-SHA-256") + "C: AUTH SCRAM-SHA-256 *\nS: 334 !\nC: \\*\nS: 501 5.7.0 ok\n" + bye,
		want: "454 7.0 AUTH local",
	},
	{
		name: "success without proof of the server",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: "p"}},
		text: opening("AUTH SCRAM-SHA-256") + "C: AUTH SCRAM-SHA-256 *\nS: 235 2.7.0 sure\nX",
		want: "?, lost AUTH",
	},
	{
		name: "no password goes in the clear",
		opts: smtp.ClientOptions{Login: &smtp.ClientLogin{Username: "u", Password: "p"}},
		text: opening("AUTH PLAIN LOGIN") + bye,
		want: "454 7.0 AUTH local",
	},
	{
		name: "many recipients go in several flights",
		give: []*smtp.Outgoing{outgoing(hello, many(600)...)},
		text: opening("PIPELINING") + "C: MAIL FROM:<a@example.test>\n" + strings.Repeat("C: RCPT TO:<*@x.test>\n", 372) +
			"S: 250\n" + strings.Repeat("S: 250\n", 372) + strings.Repeat("C: RCPT TO:<*@x.test>\n", 228) + "C: DATA\n" +
			strings.Repeat("S: 550 5.1.1 no\n", 227) + "S: 452 4.5.3 too many\nS: 354\n" + message + "S: 250\n" + bye,
		want: strings.Repeat("250 end of data, ", 372) + strings.Repeat("550 1.1 RCPT, ", 227) + "452 5.3 RCPT",
	},
}

// many returns n addresses of x.test.
func many(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%03d@x.test", i)
	}
	return all
}
