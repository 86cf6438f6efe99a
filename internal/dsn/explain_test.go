package dsn

import (
	"regexp"
	"strings"
	"testing"
)

func TestEachFailureHasItsExplanation(t *testing.T) {
	for _, c := range []struct{ reply, stage, status, want string }{
		// What large and common servers say.
		{"550 5.1.1 <x@y>: Recipient address rejected: User unknown in virtual mailbox table", "RCPT", "", "unknown user"},
		{"550-5.1.1 The email account that you tried to reach does not exist. Please try", "RCPT", "", "unknown user"},
		{"550 No such user here", "RCPT", "", "unknown user"},
		{"550 Requested action not taken: mailbox unavailable", "RCPT", "", "unknown user"},
		{"550 Unrouteable address", "RCPT", "", "unknown user"},
		{"550 5.2.1 The email account that you tried to reach is inactive", "RCPT", "", "mailbox disabled"},
		{"450 4.2.1 The user you are trying to contact is receiving mail too quickly", "RCPT", "", "busy"},
		{"452 4.2.2 The email account that you tried to reach is over quota", "RCPT", "", "mailbox full"},
		{"552 Requested mail action aborted: exceeded storage allocation", "RCPT", "", "mailbox full"},
		{"552 5.3.4 Message size exceeds fixed limit", "MAIL", "", "too large"},
		{"552 no", "end of data", "", "too large"},
		{"450 4.2.0 <x@y>: Recipient address rejected: Greylisted, see http://x", "RCPT", "", "greylisting"},
		{"451 4.7.1 Greylisting in action, please come back in 00:05:00", "RCPT", "", "greylisting"},
		{"421 4.7.0 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail", "greeting", "", "busy"},
		{"550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus", "RCPT", "", "blocked"},
		{"554 No SMTP service here", "greeting", "", "blocked"},
		{"550 5.7.26 This mail has been blocked because the sender is unauthenticated", "end of data", "", "authentication of the domain"},
		{"550 5.7.1 SPF check failed", "MAIL", "", "authentication of the domain"},
		{"554 5.7.1 Message looks like spam", "end of data", "", "content refused"},
		{"554 5.7.1 <x@y>: Relay access denied", "RCPT", "", "relaying refused"},
		{"550 5.7.1 We do not like you", "end of data", "", "refused"},
		{"554 Transaction failed", "end of data", "", "refused"},
		{"553 5.1.8 sender domain does not resolve", "MAIL", "", "sender refused"},
		{"550 no", "MAIL", "", "sender refused"},
		{"530 5.7.0 Must issue a STARTTLS command first", "MAIL", "", "TLS needed"},
		{"530 5.7.0 Authentication required", "MAIL", "", "login"},
		{"535 5.7.8 bad credentials", "AUTH", "", "login"},
		{"421 4.3.2 shutting down", "connection", "", "busy"},
		{"554 5.4.6 Too many hops", "end of data", "", "loop"},
		{"555 what?", "MAIL", "", "not understood"},
		{"", "RCPT", "5.1.6", "mailbox moved"},
		{"gibberish", "RCPT", "", "no answer"},
		// Our own reasons.
		{"", "", "5.1.2", "no such domain"},
		{"", "", "5.1.10", "takes no mail"},
		{"", "", "4.4.1", "no answer"},
		{"", "", "4.4.3", "no directory"},
		{"", "", "5.4.4", "no route"},
		{"", "", "5.4.6", "loop"},
		{"", "", "5.6.3", "conversion"},
		{"", "", "5.6.7", "letters beyond ASCII"},
		{"", "", "4.7.5", "TLS needed"},
		{"", "", "5.7.30", "TLS needed"},
		{"", "STARTTLS", "", "TLS needed"},
		{"", "", "5.4.7", "expired"},
		{"", "connection", "5.4.7", "no answer"},
		{"450 4.2.2 full", "RCPT", "5.4.7", "mailbox full"},
		{"", "", "5.7.0", "given up here"},
		{"", "", "4.3.0", "problem here"},
		{"", "", "", "other"},
	} {
		r := &Recipient{Reply: c.reply, Stage: c.stage, Status: c.status, SMTPReply: smtpReply.MatchString(c.reply)}
		if got := explain(r).Name; got != c.want {
			t.Errorf("%q at %q, %q: got %s, want %s", c.reply, c.stage, c.status, got, c.want)
		}
	}
}

// RFC 3463 §3.4: who forwards is there and takes mail. List software strikes off an
// address that 5.1.1 is said of.
func TestOfAForwardedAddressNothingIsSaidThatIsTrueOnlyElsewhere(t *testing.T) {
	for _, c := range []struct {
		action              Action
		status, reply       string
		want, code, whatFor string
	}{
		{Failed, "5.1.1", "550 5.1.1 nobody", "forwarded", "5.3.0", "550 " + notDisclosed},
		{Failed, "5.0.0", "550 no such user", "forwarded", "5.3.0", "550 " + notDisclosed},
		{Failed, "5.2.1", "550 5.2.1 closed", "forwarded", "5.3.0", "550 " + notDisclosed},
		{Failed, "4.1.1", "450 4.1.1 perhaps", "forwarded", "4.3.0", "450 " + notDisclosed},
		{Failed, "5.1.2", "there is no host remote.test", "forwarded", "5.3.0", notTold},
		{Failed, "4.4.1", "remote.test did not answer", "forwarded", "4.3.0", notTold},
		{Failed, "5.4.7", "it is too late for remote.test", "forwarded", "5.4.7", notTold},
		{Delayed, "4.1.1", "450 5.1.1 nobody", "forwarded", "4.3.0", "450 " + notDisclosed},
		{Delayed, "4.2.2", "452 4.2.2 full", "forwarded", "4.3.0", "452 " + notDisclosed},
		// What is about the message, or this host, stays.
		{Failed, "5.3.4", "552 5.3.4 too much", "too large", "5.3.4", "552 5.3.4 " + notDisclosed},
		{Failed, "5.7.1", "554 5.7.1 this is spam", "content refused", "5.7.1", "554 5.7.1 " + notDisclosed},
		{Failed, "5.6.3", "it can't be made 7 bits", "conversion", "5.6.3", notTold},
		{Failed, "5.7.0", "the operator returned it", "given up here", "5.7.0", notTold},
		{Failed, "5.7.10", "remote.test has no TLS", "TLS needed", "5.7.10", notTold},
		{Failed, "5.4.6", "554 5.4.6 loop", "loop", "5.4.6", "554 5.4.6 " + notDisclosed},
		{Relayed, "", "250 2.1.5 ok", "", "2.1.5", "250 2.1.5 " + notDisclosed},
	} {
		r := &Recipient{Action: c.action, Status: c.status, Reply: c.reply, SMTPReply: smtpReply.MatchString(c.reply), Final: address("x@remote.test"), Stage: "RCPT"}
		if !r.SMTPReply {
			r.Stage = ""
		}
		if got := explain(r).Name; got != c.want && c.want != "" {
			t.Errorf("%s: explained as %q, want %q", c.reply, got, c.want)
		}
		if got := r.status(); got != c.code {
			t.Errorf("%s: status %s, want %s", c.reply, got, c.code)
		}
		if got := r.told(); got != c.whatFor {
			t.Errorf("%s: told %q, want %q", c.reply, got, c.whatFor)
		}
	}
}

func TestExplanationsAreWhole(t *testing.T) {
	names, codes := map[string]bool{}, map[string]string{}
	holder := regexp.MustCompile(`\{[^}]*\}`)
	for _, e := range explanations {
		if names[e.Name] || e.Name == "" || e.What == "" || e.Do == "" {
			t.Errorf("%q is there twice, or not whole", e.Name)
		}
		names[e.Name] = true
		for _, text := range []string{e.What, e.Do, e.Late} {
			if text != "" && !strings.HasSuffix(text, ".") || !isASCII(text) {
				t.Errorf("%s: %q is no plain sentence", e.Name, text)
			}
			for _, h := range holder.FindAllString(text, -1) {
				if h != "{address}" && h != "{domain}" && h != "{host}" {
					t.Errorf("%s: nothing is put in for %s", e.Name, h)
				}
			}
		}
		for _, code := range append(e.Codes, e.Vague...) {
			if !e.Ours && codes[code] != "" {
				t.Errorf("%s is of %s and of %s", code, e.Name, codes[code])
			}
			if !statusCode.MatchString("5." + code) {
				t.Errorf("%s: %q is no code without its class", e.Name, code)
			}
			if !e.Ours {
				codes[code] = e.Name
			}
		}
		for _, word := range e.Words {
			if word != strings.ToLower(word) {
				t.Errorf("%s: %q is looked for in lower case", e.Name, word)
			}
		}
	}
}

func TestStatusIsDerivedWhereItIsNotGiven(t *testing.T) {
	for _, c := range []struct {
		action              Action
		status, reply, want string
	}{
		{Failed, "5.1.1", "550 5.7.1 x", "5.1.1"},
		{Failed, "", "550 5.7.1 x", "5.7.1"},
		{Failed, "", "550-5.7.1 x\n550 y", "5.7.1"},
		{Failed, "", "550 x", "5.0.0"},
		{Failed, "", "450 x", "4.0.0"},
		{Failed, "", "450 4.2.2 x", "4.2.2"},
		{Failed, "", "550 4.2.2 x", "5.0.0"},
		{Failed, "", "550 5.07.1 x", "5.0.0"},
		{Failed, "", "550 5.1.1234 x", "5.0.0"},
		{Failed, "5.1", "x", "5.0.0"},
		{Failed, "", "250 2.1.5 x", "5.0.0"},
		{Delayed, "", "450 4.2.2 x", "4.2.2"},
		{Delayed, "", "550 5.1.1 x", "4.0.0"},
		{Delivered, "", "", "2.0.0"},
		{Relayed, "", "250 2.1.5 x", "2.1.5"},
	} {
		r := &Recipient{Action: c.action, Status: c.status, Reply: c.reply, SMTPReply: true}
		if got := r.status(); got != c.want {
			t.Errorf("%s, %q, %q: got %s, want %s", c.action, c.status, c.reply, got, c.want)
		}
	}
}
