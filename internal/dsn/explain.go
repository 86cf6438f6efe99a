package dsn

import (
	"regexp"
	"slices"
	"strings"
)

// explain returns the explanation of a failure or a delay. Where the recipient's mail
// is forwarded, what an address elsewhere is refused for says nothing of the address
// that the sender knows: that one is right.
func explain(r *Recipient) explanation {
	e := reason(r)
	if r.Final.IsZero() || e.Stays {
		return e
	}
	return explanations[slices.IndexFunc(explanations, func(e explanation) bool { return e.Name == forwarded })]
}

// reason returns the explanation of a failure or a delay for who knows where it
// happened.
func reason(r *Recipient) explanation {
	code := class.ReplaceAllString(cause(r), "")
	text := strings.ToLower(r.Reply)
	basic := basicCode(r)
	for _, fits := range []func(e *explanation) bool{
		func(e *explanation) bool { return e.Ours && !r.SMTPReply && slices.Contains(e.Codes, code) },
		func(e *explanation) bool { return slices.Contains(e.Codes, code) && !isVague(code, text) },
		func(e *explanation) bool { return r.SMTPReply && containsWord(text, e.Words) },
		func(e *explanation) bool {
			return slices.Contains(e.Codes, code) || slices.Contains(e.Vague, code)
		},
		func(e *explanation) bool { return slices.Contains(e.Replies, basic+"@"+r.Stage) },
		func(e *explanation) bool { return slices.Contains(e.Replies, basic) },
		func(e *explanation) bool { return expired(r.Status) && slices.Contains(e.Codes, "4.7") },
	} {
		may := func(e explanation) bool { return fits(&e) && !(e.Ours && r.SMTPReply) }
		if i := slices.IndexFunc(explanations, may); i >= 0 {
			return explanations[i]
		}
	}
	return explanations[len(explanations)-1]
}

// gaveUp reports whether a failure is one that might have passed, but did not in
// time (RFC 3464 §2.3.3).
func (r *Recipient) gaveUp() bool {
	return r.Action == Failed && (expired(r.Status) || strings.HasPrefix(r.status(), "4"))
}

// often are codes that servers give for all kinds of things, so that their words say
// more.
var often = []string{"7.1", "5.0", "6.0", "1.0", "3.2", "2.1", "5.3"}

func isVague(code, text string) bool { return text != "" && slices.Contains(often, code) }

// containsWord reports whether one of the words stands in a text, as whole words.
func containsWord(text string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		for rest := text; ; {
			i := strings.Index(rest, word)
			if i < 0 {
				return false
			}
			before := i == 0 || !isLetter(rest[i-1])
			rest = rest[i+len(word):]
			if before && (len(word) > 5 || rest == "" || !isLetter(rest[0])) {
				return true
			}
		}
	})
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }

var (
	class        = regexp.MustCompile(`^[245]\.`)
	statusCode   = regexp.MustCompile(`^[245]\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$`)
	smtpReply    = regexp.MustCompile(`^([2-5]\d\d)(?:[ -]|$)`)
	enhancedCode = regexp.MustCompile(`^[2-5]\d\d[ -]([245]\.(?:0|[1-9]\d{0,2})\.(?:0|[1-9]\d{0,2}))(?:\s|$)`)
)

// basicCode returns the code of the other server's reply, or "".
func basicCode(r *Recipient) string {
	if m := smtpReply.FindStringSubmatch(r.Reply); r.SMTPReply && m != nil {
		return m[1]
	}
	return ""
}

// replyStatus returns the enhanced code in the other server's reply, or "". One of
// another class than the reply's is none (RFC 2034 §4).
func replyStatus(r *Recipient) string {
	m := enhancedCode.FindStringSubmatch(r.Reply)
	if !r.SMTPReply || m == nil || m[1][0] != r.Reply[0] {
		return ""
	}
	return m[1]
}

// cause returns the status code that says most about why: that of the reply, if the
// recipient's says only that something failed or that the time was over. Why it was
// over, no code says.
func cause(r *Recipient) string {
	own := r.Status
	if theirs := replyStatus(r); theirs != "" && (own == "" || expired(own) || strings.HasSuffix(own, ".0.0")) {
		return theirs
	}
	if expired(own) {
		return ""
	}
	return own
}

// expired reports whether a status says that the time for a message was over.
func expired(status string) bool { return strings.HasSuffix(status, ".4.7") }

// elsewhere reports whether what is told of is the fault of an address that is not
// told: the recipient's mail is forwarded, and failed or is late there.
func (r *Recipient) elsewhere() bool {
	return !r.Final.IsZero() && r.Action <= Delayed && !explain(r).Stays
}

// status returns the code of the Status field. Who forwards takes mail, and has no
// address that is wrong, whatever is said where it leads: a program would take 5.1.1
// for what the sender wrote to, and strike it off a list. So it is X.3.0: the
// destination "exists and normally accepts mail, but something about the system has
// caused the generation of this DSN" (RFC 3463 §3.4).
func (r *Recipient) status() string {
	status := r.found()
	if r.elsewhere() && !expired(status) {
		return status[:1] + ".3.0"
	}
	return status
}

// found returns the status that was found: the recipient's own, or what the reply or
// the action gives (RFC 3461 §6.3 g).
func (r *Recipient) found() string {
	switch theirs := replyStatus(r); {
	case statusCode.MatchString(r.Status):
		return r.Status
	case theirs != "" && fitsAction(r.Action, theirs):
		return theirs
	}
	switch basic := basicCode(r); {
	case r.Action == Delayed:
		return "4.0.0"
	case r.Action == Failed && strings.HasPrefix(basic, "4"):
		return "4.0.0" // given up though it might have passed (RFC 3464 §2.3.3)
	case r.Action == Failed:
		return "5.0.0"
	}
	return "2.0.0"
}

func fitsAction(a Action, status string) bool {
	switch a {
	case Failed:
		return status[0] != '2'
	case Delayed:
		return status[0] == '4'
	}
	return status[0] == '2'
}
