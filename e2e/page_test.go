//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/CLIENTS.md")

// pageFile is the page that is made of what the clients passed.
const pageFile = "../docs/CLIENTS.md"

const pageBeginning = `# Clients

<!-- Made by "make clients-page" from what Debian 12's clients pass in its tests (e2e). -->

Each ✓ is a message that this client sent, or collected, after a login by this mechanism, on both ports (or on the one that
is named): by STARTTLS (STLS), and by TLS from the first octet. The server's certificate was verified. A number is the reason
why not, below. [LOGINS.md](LOGINS.md) says what the mechanisms are, and which of them a server offers.
`

const pageRecipes = `
## How to set them up

These are the lines of the tests. message.eml is a message: its From, To and Subject, an empty line, its text. CRAM-MD5 and APOP
take the legacy secret in place of the password. Leave out what names ca.pem when a public authority vouches for your
server; the demo's is DIR/tls/ca.pem. alice.pem holds a client certificate and its key. A password in a command line can
be seen by others on the machine: for more than a try, use the client's own file or keyring.
`

// columns are the mechanisms of a table.
var smtpMechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL", "OAUTHBEARER"}

var popMechanisms = append([]string{"USER", "APOP"}, smtpMechanisms...)

// holdPage compares the page with the outcome, or writes it.
func holdPage(t *testing.T, sent, taken outcome) {
	t.Helper()
	if len(sent) < len(senders) || len(taken) < len(collectors) {
		t.Log("the page is not looked at: not all clients have run")
		return
	}
	var b strings.Builder
	b.WriteString(pageBeginning)
	var reasons []string
	writeTable(t, &b, "Sending: submission (587) and submissions (465)", senders, []string{submission, submissions}, smtpMechanisms, sent, &reasons)
	writeTable(t, &b, "Collecting: pop3 (110) and pop3s (995)", collectors, []string{pop3, pop3s}, popMechanisms, taken, &reasons)
	b.WriteString("\n")
	for i, r := range reasons {
		fmt.Fprintf(&b, "%d. %s\n", i+1, r)
	}
	b.WriteString(pageRecipes)
	writeRecipes(&b, "send", senders)
	writeRecipes(&b, "collect", collectors)
	if *update {
		if err := os.WriteFile(pageFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got := read(t, pageFile); got != b.String() {
		t.Errorf("%s is not what the clients pass: make clients-page writes it", pageFile)
	}
}

// ports are the services' own numbers.
var ports = map[string]string{submission: "587", submissions: "465", pop3: "110", pop3s: "995"}

func writeTable(t *testing.T, b *strings.Builder, title string, clients []client, services, mechanisms []string, o outcome, reasons *[]string) {
	fmt.Fprintf(b, "\n## %s\n\n| | %s |\n|%s\n", title, strings.Join(mechanisms, " | "), strings.Repeat(" --- |", len(mechanisms)+1))
	for _, c := range clients {
		fmt.Fprintf(b, "| %s |", c.name)
		for _, m := range mechanisms {
			fmt.Fprintf(b, " %s |", cell(t, c, services, m, o[c.name], reasons))
		}
		b.WriteString("\n")
	}
}

// cell says on which services a client logs in by a mechanism, and why not on
// the others.
func cell(t *testing.T, c client, services []string, mechanism string, passed map[login]bool, reasons *[]string) string {
	var yes, no []string
	for _, s := range services {
		l := login{s, mechanism}
		if passed[l] {
			yes = append(yes, ports[s])
			continue
		}
		why := c.why(l)
		if why == "" || c.has(l) {
			t.Errorf("%s: no reason why not %v", c.name, l)
		}
		if n := number(reasons, why); !slices.Contains(no, n) {
			no = append(no, n)
		}
	}
	switch {
	case no == nil:
		return "✓"
	case yes == nil:
		return strings.Join(no, " ")
	}
	return "✓ " + strings.Join(append(yes, no...), " ")
}

// number returns a reason's number on the page.
func number(reasons *[]string, why string) string {
	i := slices.Index(*reasons, why)
	if i < 0 {
		i = len(*reasons)
		*reasons = append(*reasons, why)
	}
	return fmt.Sprintf("(%d)", i+1)
}

// example are the words that the page has in place of those in braces.
func example(service string) *strings.Replacer {
	return strings.NewReplacer("{host}", "mail.example.org", "{port}", ports[service], "{user}", "alice@example.org",
		"{user%}", "alice%40example.org", "{password}", "PASSWORD", "{to}", "bob@example.net", "{token}", "TOKEN",
		"{user64}", "BASE64(alice@example.org)", "{password64}", "BASE64(PASSWORD)", "{plain64}", "BASE64(NUL alice@example.org NUL PASSWORD)",
		"{bearer64}", "BASE64(n,a=alice@example.org,^Aauth=Bearer TOKEN^A^A)", "{message}", "Subject: hello\n\nHello!")
}

func writeRecipes(b *strings.Builder, verb string, clients []client) {
	for _, c := range clients {
		fmt.Fprintf(b, "\n### %s: %s\n", c.name, verb)
		if c.note != "" {
			fmt.Fprintf(b, "\n%s\n", c.note)
		}
		for _, l := range c.shown {
			fmt.Fprintf(b, "\n%s, port %s:\n\n```sh\n", l.mechanism, ports[l.service])
			r := c.recipe(l.service, l.mechanism).with(example(l.service))
			for _, f := range r.files {
				fmt.Fprintf(b, "cat > %s <<'END'\n%sEND\nchmod 600 %s\n", f.name, f.text, f.name)
			}
			fmt.Fprintf(b, "%s\n", r.command)
			for _, s := range r.typed {
				fmt.Fprintf(b, "%s\n", s.line)
			}
			b.WriteString("```\n")
		}
	}
}
