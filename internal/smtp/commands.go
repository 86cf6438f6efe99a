package smtp

import "postrider/internal/mail"

// commands is the table, in the order of HELP.
var commands = []Command{
	{
		Verb: "EHLO", Syntax: "EHLO name", Example: "EHLO client.example.org", RFC: "RFC 5321 §4.1.1.1",
		Help:  "Say who you are, and hear what the server can do.\nAn open transaction is forgotten.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup, Roles: RoleAny, run: (*server).ehlo,
	},
	{
		Verb: "HELO", Syntax: "HELO name", Example: "HELO client.example.org", RFC: "RFC 5321 §4.1.1.1",
		Help:  "Say who you are, as old clients do, without extensions.\nAn open transaction is forgotten.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup, Roles: RoleAny, run: (*server).helo,
	},
	{
		Verb: "MAIL", Syntax: "MAIL FROM:<address>", Example: "MAIL FROM:<you@example.org>", RFC: "RFC 5321 §4.1.1.2",
		Help:  "Begin a message; the address is where trouble with it is reported.\n<> means nowhere.",
		Where: StateReady, Args: ArgFrom, Flags: UTF8 | NoHello | Login | Trusted, Roles: RoleAny, run: (*server).mail,
		Params: describe(mailParams),
	},
	{
		Verb: "RCPT", Syntax: "RCPT TO:<address>", Example: "RCPT TO:<alice@example.test>", RFC: "RFC 5321 §4.1.1.3",
		Help:  "Name a recipient of the message; once for each.",
		Where: inTransaction, Args: ArgTo, Flags: UTF8 | Login, Roles: RoleAny, run: (*server).rcpt,
		Params: describe(rcptParams),
	},
	{
		Verb: "DATA", Syntax: "DATA", Example: "DATA", RFC: "RFC 5321 §4.1.1.4",
		Help:  "Send the message: header lines, an empty line, the text,\nand at the end a line with nothing but a dot.",
		Where: StateRecipients, Args: ArgNone, Flags: LastInGroup | Dots | Login, Roles: RoleAny, run: (*server).data,
	},
	{
		Verb: "BDAT", Syntax: "BDAT octets [LAST]", Example: "BDAT 86 LAST", RFC: "RFC 3030 §2",
		Help:  "Send so many octets of the message, right behind this line.\nLAST ends the message.",
		Where: StateRecipients | StateChunks, Args: ArgRequired, Flags: Octets | Login, Roles: RoleAny, run: (*server).bdat,
	},
	{
		Verb: "RSET", Syntax: "RSET", Example: "RSET", RFC: "RFC 5321 §4.1.1.5",
		Help:  "Forget sender, recipients and message, and begin anew.",
		Where: StateAny, Args: ArgNone, Flags: Junk, Roles: RoleAny, run: (*server).rset,
	},
	{
		Verb: "VRFY", Syntax: "VRFY name-or-address [SMTPUTF8]", Example: "VRFY alice", RFC: "RFC 5321 §4.1.1.6",
		Help:  "Ask whether there is such a mailbox.\nOnly some listeners tell.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup | UTF8 | Login, Roles: RoleAny, run: (*server).vrfy,
	},
	{
		Verb: "EXPN", Syntax: "EXPN alias [SMTPUTF8]", Example: "EXPN staff", RFC: "RFC 5321 §4.1.1.7",
		Help:  "Ask who gets what is sent to an alias.\nOnly some listeners tell.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup | UTF8 | Login, Roles: RoleAny, run: (*server).expn,
	},
	{
		Verb: "STARTTLS", Syntax: "STARTTLS", Example: "STARTTLS", RFC: "RFC 3207 §4",
		Help:  "Begin encryption.\nWhat was said before is forgotten; EHLO comes next.",
		Where: StateFresh | StateReady, Args: ArgNone, Flags: LastInGroup, Roles: RoleAny,
		Instead: "No TLS on this listener; go on without it, or use another port",
		needs:   (*server).hasTLS, run: (*server).startTLS,
	},
	{
		Verb: "AUTH", Syntax: "AUTH mechanism [initial-response]", Example: "AUTH PLAIN", RFC: "RFC 4954 §4",
		Help:  "Prove who you are; EHLO lists the mechanisms.\nA line with nothing but * gives up.",
		Where: StateReady, Args: ArgRequired, Flags: LastInGroup | Extended | Secret, Roles: RoleSubmission | RoleRelay,
		Instead: "No login here: this listener takes mail without one",
		needs:   (*server).hasLogin, run: (*server).auth,
	},
	{
		Verb: "ETRN", Syntax: "ETRN node|@domain|#queue", Example: "ETRN host.example.org", RFC: "RFC 1985 §5",
		Help:  "Send now what waits here for your host, your domain and all below it,\nor a queue.",
		Where: StateReady, Args: ArgRequired, Flags: Junk | Login | Extended, Roles: RoleAny,
		Instead: "No mail waits here to be asked for",
		needs:   (*server).turns, run: (*server).etrn,
	},
	{
		Verb: "ATRN", Syntax: "ATRN [domain,...]", Example: "ATRN example.org", RFC: "RFC 2645 §5",
		Help:  "Change roles, so that you greet, and the server sends what waits for your domains;\nall of them if none is named.",
		Where: StateReady, Args: ArgOptional, Flags: LastInGroup | Proven | Extended, Roles: RoleSubmission | RoleRelay,
		Instead: "No mail waits here to be asked for; POP3 collects what is in a mailbox",
		needs:   (*server).offersTurn, run: (*server).atrn,
	},
	{
		Verb: "NOOP", Syntax: "NOOP [anything]", Example: "NOOP", RFC: "RFC 5321 §4.1.1.9",
		Help:  "Do nothing, and say so.",
		Where: StateAny, Args: ArgOptional, Flags: Junk | LastInGroup, Roles: RoleAny, run: (*server).noop,
	},
	{
		Verb: "HELP", Syntax: "HELP [command]", Example: "HELP MAIL", RFC: "RFC 5321 §4.1.1.8",
		Help:  "List the commands, or explain one.",
		Where: StateAny, Args: ArgOptional, Flags: Junk, Roles: RoleAny, run: (*server).help,
	},
	{
		Verb: "QUIT", Syntax: "QUIT", Example: "QUIT", RFC: "RFC 5321 §4.1.1.10",
		Help:  "End the session.",
		Where: StateAny, Args: ArgNone, Flags: LastInGroup, Roles: RoleAny, run: (*server).quit,
	},

	// Known, and not offered.
	{
		Verb: "SEND", Syntax: "SEND FROM:<address>", Example: "SEND FROM:<you@example.org>", RFC: "RFC 5321 §F.6",
		Help:  "Put a message on a user's terminal.",
		Where: StateAny, Args: ArgOptional, Instead: "Nobody's terminal is here; use MAIL",
	},
	{
		Verb: "SOML", Syntax: "SOML FROM:<address>", Example: "SOML FROM:<you@example.org>", RFC: "RFC 5321 §F.6",
		Help:  "Put a message on a user's terminal or into the mailbox.",
		Where: StateAny, Args: ArgOptional, Instead: "Nobody's terminal is here; use MAIL",
	},
	{
		Verb: "SAML", Syntax: "SAML FROM:<address>", Example: "SAML FROM:<you@example.org>", RFC: "RFC 5321 §F.6",
		Help:  "Put a message on a user's terminal and into the mailbox.",
		Where: StateAny, Args: ArgOptional, Instead: "Nobody's terminal is here; use MAIL",
	},
	{
		Verb: "TURN", Syntax: "TURN", Example: "TURN", RFC: "RFC 5321 §F.1",
		Help:  "Change roles, so that the server sends.",
		Where: StateAny, Args: ArgOptional, Instead: "Roles are not changed without a proof; to get mail, collect it by POP3, or with ATRN if EHLO says so",
	},
}

// mailParams are MAIL's parameters.
var mailParams = []param[transaction]{
	{set: setSize, Param: Param{
		Keyword: "SIZE", Syntax: "SIZE=octets", RFC: "RFC 1870 §6", Roles: RoleAny,
		Help: "How large the message is.",
	}},
	{set: setBody, Param: Param{
		Keyword: "BODY", Syntax: "BODY=7BIT|8BITMIME|BINARYMIME", RFC: "RFC 6152 §2, RFC 3030 §3", Roles: RoleAny,
		Help: "Whether it has octets beyond ASCII, or is not made of lines (if EHLO says BINARYMIME).",
	}},
	{set: setSMTPUTF8, Param: Param{
		Keyword: "SMTPUTF8", Syntax: "SMTPUTF8", RFC: "RFC 6531 §3.4", Roles: RoleAny,
		Help: "Its addresses or header may have UTF-8.",
	}},
	{set: setRet, Param: Param{
		Keyword: "RET", Syntax: "RET=FULL|HDRS", RFC: "RFC 3461 §4.3", Roles: RoleAny,
		Help: "What a report of failure brings back: all of it, or the header.",
	}},
	{set: setEnvID, Param: Param{
		Keyword: "ENVID", Syntax: "ENVID=id", RFC: "RFC 3461 §4.4", Roles: RoleAny,
		Help: "Your name for it, which reports repeat.",
	}},
	{set: setBy, Param: Param{
		Keyword: "BY", Syntax: "BY=seconds;N|R[T]", RFC: "RFC 2852 §4", Roles: RoleAny,
		Help: "What to do if it takes longer: N tells the sender, R returns it; with T, each relay tells too.",
	}},
	{set: setPriority, Param: Param{
		Keyword: "MT-PRIORITY", Syntax: "MT-PRIORITY=-9...9", RFC: "RFC 6710 §3", Roles: RoleAny,
		Help: "How urgent it is; not above 0 from strangers.",
	}},
	{set: setRequireTLS, Param: Param{
		Keyword: "REQUIRETLS", Syntax: "REQUIRETLS", RFC: "RFC 8689 §2", Roles: RoleAny, needs: (*server).isSecure,
		Help: "Pass it on only over TLS to hosts that prove their names.",
	}},
	{set: setAuth, Param: Param{
		Keyword: "AUTH", Syntax: "AUTH=address|<>", RFC: "RFC 4954 §5", Roles: RoleSubmission | RoleRelay, needs: (*server).hasLogin,
		Help: "Who submitted it first; checked, and not believed.",
	}},
	{set: setHoldFor, Param: Param{
		Keyword: "HOLDFOR", Syntax: "HOLDFOR=seconds", RFC: "RFC 4865 §4", Roles: RoleSubmission, needs: (*server).offersHold,
		Help: "Deliver it so much later.",
	}},
	{set: setHoldUntil, Param: Param{
		Keyword: "HOLDUNTIL", Syntax: "HOLDUNTIL=time", RFC: "RFC 4865 §4", Roles: RoleSubmission, needs: (*server).offersHold,
		Help: "Deliver it then: 2030-01-31T12:00:00Z, for instance.",
	}},
}

// rcptParams are RCPT's parameters.
var rcptParams = []param[mail.Recipient]{
	{set: setNotify, Param: Param{
		Keyword: "NOTIFY", Syntax: "NOTIFY=NEVER|SUCCESS,FAILURE,DELAY", RFC: "RFC 3461 §4.1", Roles: RoleAny,
		Help: "What to report of this recipient.",
	}},
	{set: setORcpt, Param: Param{
		Keyword: "ORCPT", Syntax: "ORCPT=type;address", RFC: "RFC 3461 §4.2", Roles: RoleAny,
		Help: "The address that the message was sent to at first.",
	}},
}
