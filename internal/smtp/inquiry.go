package smtp

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/session"
)

// noop does nothing.
func (s *server) noop([]byte) session.Step { return s.fixed(replyOK) }

// quit says goodbye.
func (s *server) quit([]byte) session.Step { return s.bye(replyBye, "") }

// vrfy answers VRFY (RFC 5321 §3.5).
func (s *server) vrfy(arg []byte) session.Step {
	step, found := s.inquire(arg, s.backend.Verify)
	if len(found) == 0 {
		return step
	}
	r := Reply{Code: 250, Enhanced: "1.5", Text: found[0]}
	if len(found) > 1 {
		// RFC 5321 §3.5.1: several are no success, but may be listed.
		r = Reply{Code: 553, Enhanced: "1.4", Text: "Several mailboxes fit:\n" + strings.Join(found, "\n")}
	}
	return s.list(&r)
}

// expn answers EXPN (RFC 5321 §3.5).
func (s *server) expn(arg []byte) session.Step {
	step, found := s.inquire(arg, s.backend.Expand)
	if len(found) == 0 {
		return step
	}
	return s.list(&Reply{Code: 250, Enhanced: "1.5", Text: strings.Join(found, "\n")})
}

// inquire asks the backend where that is allowed. Either it returns lines to be
// listed, or the answer.
func (s *server) inquire(arg []byte, ask func(context.Context, string) ([]string, error)) (session.Step, []string) {
	who, utf8 := cutSMTPUTF8(arg)
	switch {
	case !s.teach():
		return s.fixed(replyVerify), nil
	case len(who) == 0:
		return s.wrong(&Reply{Code: 501, Enhanced: "5.4", Text: "A name or an address is missing"}), nil
	}
	found, err := ask(s.conn.Context, string(who))
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "verify", nil)
	}
	if err != nil {
		return s.fail(err, stageRecipient), nil
	}
	if !utf8 && !isPrintable(strings.Join(found, "")) {
		return s.fixed(replyUTF8Listing), nil
	}
	if more := len(found) - MaxListed; more > 0 {
		found = append(found[:MaxListed:MaxListed], fmt.Sprintf("and %d more", more))
	}
	return session.Step{}, found
}

// cutSMTPUTF8 returns the argument of VRFY or EXPN without the parameter that
// allows UTF-8 in the answer (RFC 6531 §3.7.4.2), and whether it was there.
func cutSMTPUTF8(arg []byte) (rest []byte, found bool) {
	i := bytes.LastIndexByte(arg, ' ')
	if i >= 0 && bytes.EqualFold(arg[i+1:], []byte("SMTPUTF8")) {
		return bytes.TrimRight(arg[:i], " "), true
	}
	return arg, false
}

// list answers with lines that may be UTF-8, since inquire has let them through.
func (s *server) list(r *Reply) session.Step {
	s.buf = r.append(s.buf[:0], true)
	return session.Step{Reply: s.buf, Wait: s.opts.CommandTimeout}
}

// help lists the commands, or explains one (RFC 5321 §4.1.1.8).
func (s *server) help(arg []byte) session.Step {
	var text strings.Builder
	if len(arg) == 0 {
		s.helpAll(&text)
	} else {
		c := s.table.find(arg)
		if c == nil {
			return s.wrong(&replyNoHelp.Reply)
		}
		s.explain(c, &text)
	}
	return s.say(&Reply{Code: 214, Enhanced: "0.0", Text: text.String()})
}

// helpAll writes one line a command that is offered; to hands, an example of a
// whole session as well.
func (s *server) helpAll(text *strings.Builder) {
	text.WriteString("These commands work here; HELP and a name tells more:")
	for i := range s.table.list {
		c := &s.table.list[i]
		if !s.offers(c) {
			continue
		}
		first, _, _ := strings.Cut(c.Help, "\n")
		fmt.Fprintf(text, "\n  %-8s %s", c.Verb, first)
	}
	if !s.teach() {
		return
	}
	text.WriteString("\nA message by hand:")
	for _, verb := range s.role.byHand {
		text.WriteString("\n  " + s.table.byVerb[verb].Example)
	}
	text.WriteString("\n  Subject: hello\n\n  How are you?\n  .\n  QUIT")
}

// explain writes everything about one command.
func (s *server) explain(c *Command, text *strings.Builder) {
	rfc := strings.ReplaceAll(c.RFC, "§", "section ") // replies are ASCII
	if !s.offers(c) {
		fmt.Fprintf(text, "%s is not offered: %s\n%s", c.Verb, c.Instead, rfc)
		return
	}
	fmt.Fprintf(text, "%s\n%s\n", s.usage(c), c.Help)
	for i := range c.Params {
		if p := &c.Params[i]; s.takes(p) {
			fmt.Fprintf(text, "  %s: %s\n", p.Syntax, p.Help)
		}
	}
	fmt.Fprintf(text, "Example: %s\n%s", c.Example, rfc)
}

// usage returns how a command is written here, with the parameters that the
// session takes.
func (s *server) usage(c *Command) string {
	usage := c.Syntax
	for i := range c.Params {
		if p := &c.Params[i]; s.takes(p) {
			usage += " [" + p.Syntax + "]"
		}
	}
	return usage
}
