package dsn

// explanation says in plain words what a failure means and what its reader can do.
// In the texts {address} is the recipient, {domain} what is after its @, and {host}
// who tells.
type explanation struct {
	// Name is the explanation's in docs and tests.
	Name string
	// Codes are the enhanced status codes that mean this (RFC 3463), without their
	// class, which says only whether it is for good. They are looked for first, then
	// Words in what was answered, then Vague, which are codes that are given for
	// several things, then Replies: basic codes, after "@" the stage.
	Codes   []string
	Words   []string
	Vague   []string
	Replies []string
	// What happened, and what its reader can do about it.
	What, Do string
	// Ours says that it is no other server's answer: it is looked at first, and only
	// where there is none.
	Ours bool
	// Late is What while it is tried on, where that is not the same.
	Late string
	// Stays says that it is about the message, or about this host, so that it is as true
	// where the recipient's mail is forwarded.
	Stays bool
}

// forwarded is the explanation of all that does not stay, where mail is forwarded.
const forwarded = "forwarded"

// explanations are all of them, those first that are tried first. The last one fits
// everything.
var explanations = []explanation{
	{
		Name:  "given up here",
		Stays: true,
		Ours:  true,
		Codes: []string{"7.0", "7.1"},
		What:  "Whoever runs the mail server {host} does not let it send your message on. Perhaps they said why; then it stands below.",
		Do:    "Show this message to whoever runs the mail server {host}, and ask them.",
	},
	{
		Name:  "problem here",
		Stays: true,
		Ours:  true,
		Codes: []string{"3.0", "3.2", "3.3", "3.5", "6.6"},
		What:  "The mail server {host}, which wrote this, could not send your message on. Why stands below.",
		Do:    "You did nothing wrong. Show this message to whoever runs the mail server {host}.",
	},
	{
		Name:    "unknown user",
		Codes:   []string{"1.1", "1.0"},
		Words:   []string{"user unknown", "unknown user", "no such user", "no such mailbox", "mailbox not found", "user not found", "does not exist", "unknown recipient", "recipient unknown", "invalid recipient", "mailbox unavailable", "no mailbox here"},
		Replies: []string{"550@RCPT", "551@RCPT", "553@RCPT"},
		What:    "There is no mailbox with the address {address}.",
		Late:    "The other server could not say for certain whether there is a mailbox with the address {address}.",
		Do:      "Look at the address letter by letter: most often there is a typing error, or it is an old address. Ask the person for the right one by other means, and send your message there.",
	},
	{
		Name:  "mailbox moved",
		Codes: []string{"1.6"},
		What:  "The person with the address {address} has moved to another one.",
		Do:    "Ask the person for the new address by other means. Perhaps it stands in the answer of the other server below.",
	},
	{
		Name:  "owner changed",
		Codes: []string{"7.17", "7.18"},
		What:  "The address {address} belongs to somebody else now than it did when you last used it.",
		Do:    "Ask the person for the new address by other means.",
	},
	{
		Name:  "ambiguous address",
		Codes: []string{"1.4"},
		What:  "The address {address} could mean several people, so that the other server did not know whom.",
		Do:    "Ask the person for the full address, and send your message there.",
	},
	{
		Name:  "bad address",
		Codes: []string{"1.3"},
		What:  "The other server says that {address} is not written as an address has to be.",
		Do:    "Look at the address letter by letter, correct it, and send your message again.",
	},
	{
		Name:  "takes no mail",
		Codes: []string{"1.10"},
		What:  "The domain {domain} says that it takes no mail at all, for nobody.",
		Do:    "Look whether what is after the @ is right. If it is, the person needs to give you another address.",
	},
	{
		Name:  "no such domain",
		Codes: []string{"1.2"},
		What:  "There is no place for mail with the name {domain}.",
		Do:    "Look whether what is after the @ in the address is right: most often there is a typing error. If it is right, tell the person by other means that mail does not reach them.",
	},
	{
		Name:    "sender refused",
		Codes:   []string{"1.7", "1.8", "7.27"},
		Replies: []string{"550@MAIL", "553@MAIL", "501@MAIL"},
		What:    "The other server does not accept your own address as the sender of mail.",
		Do:      "Look whether your own address is set right in your mail program. If it is, show this message to whoever runs the mail server {host}.",
	},
	{
		Name:  "mailbox disabled",
		Codes: []string{"2.1"},
		Words: []string{"mailbox disabled", "account disabled", "account is disabled", "mailbox inactive", "account inactive"},
		What:  "The mailbox {address} is there, but it takes no mail: it is closed, or nobody has used it for a long time.",
		Do:    "Ask the person by other means for an address that is in use.",
	},
	{
		Name:    "mailbox full",
		Codes:   []string{"2.2"},
		Words:   []string{"mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded", "exceeded storage", "insufficient storage"},
		Replies: []string{"552@RCPT", "452@RCPT"},
		What:    "The mailbox {address} is full. Nothing more fits in until its owner makes room.",
		Do:      "Tell the person by other means that the mailbox is full, and send your message again when there is room.",
	},
	{
		Name:    "too large",
		Stays:   true,
		Codes:   []string{"3.4", "2.3"},
		Words:   []string{"too large", "too big", "size limit", "exceeds size", "maximum size", "message size exceeds"},
		Replies: []string{"552@MAIL", "552@DATA", "552@end of data"},
		What:    "Your message is larger than what is accepted for {address}.",
		Do:      "Make it smaller: send fewer or smaller attachments, or put the files where the person can fetch them and send only the link.",
	},
	{
		Name:  "list not possible",
		Codes: []string{"2.4", "7.2"},
		What:  "{address} is a mailing list, and it did not take your message.",
		Do:    "Perhaps only members may write to it. Ask whoever runs the list.",
	},
	{
		Name:  "no room",
		Codes: []string{"3.1"},
		What:  "The other server has no room for mail at the moment.",
		Do:    "This is not your fault, nor that of the person you wrote to. Try it again tomorrow.",
	},
	{
		Name:    "no answer",
		Codes:   []string{"4.1", "4.2"},
		Replies: []string{"@connection", "@greeting", "@EHLO", "@MAIL", "@RCPT", "@DATA", "@content", "@end of data"},
		What:    "The server that takes the mail for {domain} could not be reached, or broke the conversation off.",
		Do:      "Look whether what is after the @ in the address is right. If it is, the other server has a problem: tell the person by other means, and try it again tomorrow.",
	},
	{
		Name:  "no directory",
		Codes: []string{"4.3"},
		What:  "It could not be found out where mail for {domain} has to go: the directory of names on the Internet did not give an answer.",
		Do:    "Look whether what is after the @ in the address is right. If it is, try it again tomorrow, or tell the person by other means.",
	},
	{
		Name:  "no route",
		Codes: []string{"4.4"},
		What:  "No server could be found that takes mail for {domain}.",
		Do:    "Look whether what is after the @ in the address is right. If it is, tell the person by other means that mail does not reach them.",
	},
	{
		Name:  "loop",
		Stays: true,
		Codes: []string{"4.6"},
		Words: []string{"mail loop", "loops back", "too many hops", "too many received"},
		What:  "Your message went round in a circle: the servers that it came to sent it on to each other, because of a mistake in how {address} is set up.",
		Do:    "You did nothing wrong. Show this message to whoever runs the mail for {domain}, or to the person by other means.",
	},
	{
		Name:  "greylisting",
		Words: []string{"greylist", "graylist", "grey-list", "gray-list", "greylisted"},
		What:  "The other server does not know us yet and asked us to come again later, as it does with everybody who is new to it.",
		Do:    "Usually this settles itself within an hour. If your message could not be delivered all the same, send it once more.",
	},
	{
		Name:    "busy",
		Codes:   []string{"3.2", "4.5", "5.3", "7.28"},
		Words:   []string{"too many connections", "rate limit", "too busy", "try again later", "temporarily deferred", "unusual rate", "too many messages", "too many recipients", "too quickly", "receiving mail at a rate"},
		Replies: []string{"421", "450", "452"},
		What:    "The other server was too busy, or thought that it got too much mail at once.",
		Do:      "Wait for some hours, and send your message again.",
	},
	{
		Name:  "expired",
		Codes: []string{"4.7"},
		What:  "Your message could not be delivered in the time that there was for it.",
		Late:  "Your message was not delivered in the time that you set for it.",
		Do:    "Look whether the address is right, and send your message again tomorrow, or reach the person by other means.",
	},
	{
		Name:    "TLS needed",
		Stays:   true,
		Codes:   []string{"7.4", "7.5", "7.6", "7.10", "7.11", "7.30"},
		Words:   []string{"starttls", "tls required", "require tls", "certificate"},
		Replies: []string{"@STARTTLS", "454@STARTTLS"},
		What:    "Your message may only be sent over a protected connection, and none could be made with the server that it has to go to: it offers none, or could not prove that it is the right one.",
		Do:      "Nobody has read your message. Show this to the person by other means, so that whoever runs their mail server can put it right.",
	},
	{
		Name:    "login",
		Codes:   []string{"7.8", "7.9", "7.12", "7.13", "7.14"},
		Words:   []string{"authentication required", "must authenticate"},
		Replies: []string{"535", "530", "534", "538"},
		What:    "The server that mail for {domain} goes through wanted a login, and did not accept that of {host}.",
		Do:      "You can do nothing about it yourself. Show this message to whoever runs the mail server {host}.",
	},
	{
		Name:  "relaying refused",
		Words: []string{"relay access denied", "relaying denied", "relay not permitted", "unable to relay", "relay denied", "not permitted to relay", "relaying not allowed", "we do not relay"},
		What:  "The server that was asked to take the mail for {domain} says that it is not responsible for it.",
		Do:    "Look whether what is after the @ in the address is right. If it is, tell the person by other means that their mail is not set up right.",
	},
	{
		Name:  "authentication of the domain",
		Stays: true,
		Codes: []string{"7.20", "7.21", "7.22", "7.23", "7.24", "7.25", "7.26", "7.29"},
		Words: []string{"spf", "dkim", "dmarc", "reverse dns", "ptr record"},
		What:  "The other server could not verify that your message really comes from where it says that it comes from.",
		Do:    "You can do nothing about it yourself. Show this message to whoever runs the mail server {host}.",
	},
	{
		Name:  "content refused",
		Stays: true,
		Codes: []string{"6.0"},
		Words: []string{"virus", "malware", "spam", "attachment", "unsolicited"},
		What:  "The other server refused your message for what is in it: perhaps it takes it for advertising, or for something dangerous.",
		Do:    "Look whether you sent a program or an archive with it, or many links. Send it again without them, or reach the person by other means.",
	},
	{
		Name:    "blocked",
		Stays:   true,
		Replies: []string{"554@greeting", "550@greeting", "554@EHLO", "550@EHLO"},
		Words:   []string{"blocked", "blacklist", "blocklist", "block list", "black list", "blackhole", "spamhaus", "reputation", "banned", "rbl", "dnsbl"},
		What:    "The other server takes no mail from {host} at the moment, no matter who wrote it.",
		Do:      "You did nothing wrong. Show this message to whoever runs the mail server {host}.",
	},
	{
		Name:  "letters beyond ASCII",
		Stays: true,
		Codes: []string{"6.7", "6.9", "6.10", "6.8"},
		What:  "An address or a header field in your message has letters that the other server does not know how to handle, such as letters with accents or of another script.",
		Do:    "Use addresses in plain Latin letters, also your own, and send your message again. Many people who have an address in another script have one in Latin letters as well.",
	},
	{
		Name:  "conversion",
		Stays: true,
		Codes: []string{"6.1", "6.2", "6.3", "6.4", "6.5", "6.6", "7.3"},
		What:  "The other server takes only mail in an old and simple form, and your message could not be brought into that form without damage, for instance because it is signed or encrypted.",
		Do:    "Send it without a signature or encryption, or without the attachment, or reach the person by other means.",
	},
	{
		Name:    "refused",
		Codes:   []string{"7.1", "7.7", "7.15", "7.16", "7.19"},
		Vague:   []string{"7.0"},
		Replies: []string{"550", "554", "571"},
		What:    "The other server refused your message by its own rules. What it said about it stands below.",
		Do:      "Read what the other server said. If it does not help you, reach the person by other means, and show this message to whoever runs the mail server {host}.",
	},
	{
		Name:    "not understood",
		Codes:   []string{"5.1", "5.2", "5.4", "5.5", "5.6", "3.3", "3.5", "5.0"},
		Replies: []string{"500", "501", "502", "503", "504", "555"},
		What:    "The other server did not understand how the message was handed to it, or can't do what was asked of it.",
		Do:      "You can do nothing about it yourself. Show this message to whoever runs the mail server {host}.",
	},
	{
		Name: forwarded,
		What: "The address {address} is right, and passes mail on to another place or to several. Your message did not get to that place, or to one of those; it may have got to others. Where they are is known only to whoever set the address up.",
		Late: "The address {address} is right, and passes mail on to another place or to several. Your message has not got to that place yet, or to one of those; it may have got to others.",
		Do:   "You did nothing wrong. Tell the person by other means that mail to {address} does not get through everywhere, or show this message to whoever runs the mail for {domain}.",
	},
	{
		Name: "other",
		What: "There was a problem with the mail for {address}.",
		Do:   "Look whether the address is right. If it is, try it again tomorrow, or reach the person by other means.",
	},
}
