package smtp

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
		Verb: "MAIL", Syntax: "MAIL FROM:<address> [SIZE=n] [BODY=8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=id]",
		Example: "MAIL FROM:<you@example.org>", RFC: "RFC 5321 §4.1.1.2",
		Help:  "Begin a message; the address is where trouble with it is reported.\n<> means nowhere.",
		Where: StateReady, Args: ArgFrom, Flags: UTF8 | NoHello | Login | Trusted, Roles: RoleAny, run: (*server).mail,
	},
	{
		Verb: "RCPT", Syntax: "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;address]",
		Example: "RCPT TO:<alice@example.test>", RFC: "RFC 5321 §4.1.1.3",
		Help:  "Name a recipient of the message; once for each.",
		Where: inTransaction, Args: ArgTo, Flags: UTF8 | Login, Roles: RoleAny, run: (*server).rcpt,
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
		Where: StateReady, Args: ArgRequired, Flags: LastInGroup | Extended | Secret, Roles: RoleSubmission,
		Instead: "No login here: this listener takes mail for its own domains from anybody",
		needs:   (*server).hasLogin, run: (*server).auth,
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
		Where: StateAny, Args: ArgOptional, Instead: "Roles are not changed here; to get mail, collect it by POP3",
	},
}
