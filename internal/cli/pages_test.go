package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/pop3"
	"postrider/internal/sasl"
	"postrider/internal/smtp"
)

// protocolsPage returns docs/PROTOCOLS.md, made from the tables that the
// sessions obey.
func protocolsPage() string {
	var b strings.Builder
	b.WriteString(`# The protocols, command by command

This page is made from the tables in the code (make docs writes it, a test holds it to them). HELP says the same,
over telnet.

## SMTP

A session is *fresh* until the client has said who it is, then *ready*; MAIL makes it *sender*, the first accepted
RCPT *recipients*, the first BDAT *chunks*, or *failed* when a chunk is refused. A command in another state is answered 503.

`)
	for _, c := range smtp.Commands() {
		fmt.Fprintf(&b, "### %s\n\n`%s` · %s · in state: %s%s\n\n", c.Verb, smtpSyntax(c), c.RFC, c.Where, smtpWhere(c))
		if c.Never() {
			fmt.Fprintf(&b, "Known, and answered 502: %s\n\n", sentence(c.Instead))
			continue
		}
		fmt.Fprintf(&b, "%s\n\n", sentence(c.Help))
		for _, p := range c.Params {
			fmt.Fprintf(&b, "- `%s` · %s%s · %s\n", p.Syntax, p.RFC, smtpRoles(p.Roles), p.Help)
		}
		if len(c.Params) > 0 {
			b.WriteString("\n")
		}
		if c.Instead != "" {
			fmt.Fprintf(&b, "Where it is not offered, 502: %s\n\n", sentence(c.Instead))
		}
	}
	b.WriteString("### What EHLO announces\n\n")
	for _, e := range smtp.Extensions() {
		fmt.Fprintf(&b, "- `%s` · %s", strings.TrimSpace(e.Keyword+" "+e.Parameters), e.RFC)
		if e.Where != "" {
			b.WriteString(" · " + e.Where)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	b.WriteString("## POP3\n\nMessages keep their numbers for a session; deleted ones are skipped. Only QUIT in TRANSACTION removes.\n\n")
	for _, c := range pop3.Commands() {
		fmt.Fprintf(&b, "### %s\n\n`%s` · %s · in state: %s\n\n", c.Verb, c.Syntax, c.RFC, c.States)
		fmt.Fprintf(&b, "%s\n\n", sentence(c.Help))
		if c.Offered != "" {
			fmt.Fprintf(&b, "Offered %s.\n\n", c.Offered)
		}
	}
	b.WriteString("## SASL\n\nThe mechanisms of AUTH, the best first. [LOGINS.md](LOGINS.md) says when each is offered.\n\n")
	for _, m := range sasl.Mechanisms() {
		fmt.Fprintf(&b, "### %s\n\n%s · %s\n\n", m.Name, m.RFC, sentence(m.Help))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// smtpSyntax is how a command is written.
func smtpSyntax(c smtp.Command) string {
	if len(c.Params) == 0 {
		return c.Syntax
	}
	return c.Syntax + " [parameters]"
}

// smtpWhere says what else it takes to give a command.
func smtpWhere(c smtp.Command) string {
	s := ""
	if !c.Never() {
		s = smtpRoles(c.Roles)
	}
	switch {
	case c.Flags&smtp.Proven != 0:
		s += " · after a login"
	case c.Flags&smtp.Login != 0:
		s += " · for submission after a login"
	}
	return s
}

// smtpRoles says which listeners have something, unless all do.
func smtpRoles(r smtp.Role) string {
	if r == smtp.RoleAny {
		return ""
	}
	return " · listeners with the role " + r.String()
}

// sentence makes a sentence of a table's text.
func sentence(s string) string {
	s = strings.ReplaceAll(s, "\n", " ")
	s = strings.ToUpper(s[:1]) + s[1:]
	return strings.TrimSuffix(s, ".") + "."
}

var update = flag.Bool("update", false, "write the pages that are made from tables")

func TestPageProtocolsIsCurrent(t *testing.T) {
	const path = "../../docs/PROTOCOLS.md"
	if *update {
		if err := os.WriteFile(path, []byte(protocolsPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != protocolsPage() {
		t.Errorf("%s is not what the tables say; make docs writes it", path)
	}
}

// TestPageDialoguesAreRunByTests holds every dialogue that is printed in the
// README or in docs to a file of testdata/dialogues, which the tests run.
func TestPageDialoguesAreRunByTests(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../testdata/dialogues/*.dialogue")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	var known []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, string(b))
	}
	printed := 0
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range fenced(string(b), "dialogue") {
			printed++
			if !someContains(known, d) {
				t.Errorf("%s prints a dialogue that no file of testdata/dialogues has:\n%s", page, d)
			}
		}
	}
	if printed == 0 {
		t.Error("no page prints a dialogue")
	}
}

// fenced returns the blocks of a Markdown text that have the language.
func fenced(text, language string) []string {
	var all []string
	for _, block := range strings.Split(text, "\n```"+language+"\n")[1:] {
		body, _, _ := strings.Cut(block, "\n```")
		all = append(all, body+"\n")
	}
	return all
}

func someContains(texts []string, part string) bool {
	for _, t := range texts {
		if strings.Contains(t, part) {
			return true
		}
	}
	return false
}
