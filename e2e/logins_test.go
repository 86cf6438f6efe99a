//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The services that people log in to, as the demo names their listeners.
const (
	submission  = "submission"
	submissions = "submissions"
	pop3        = "pop3"
	pop3s       = "pop3s"
)

// A client is a program that sends, or collects, mail.
type client struct {
	name       string
	services   []string // that it can reach
	mechanisms []string // that it has
	recipe     func(service, mechanism string) recipe
	denies     []string // what it prints about a wrong password, one of them
	lacks      []lack   // why it does not do the others
	shown      []login  // what of it the page shows
	note       string   // what else its user should know, in Markdown
}

// A login is a mechanism on a service.
type login struct{ service, mechanism string }

// A lack is a mechanism, or a service, that a client does not have. Where the
// client can be asked, it is: the probe prints says, and doesn't print never.
type lack struct{ what, why, probe, says, never string }

// why returns the reason why a client lacks a mechanism, or else a service.
func (c client) why(l login) string {
	for _, what := range []string{l.mechanism, l.service} {
		for _, lack := range c.lacks {
			if lack.what == what {
				return lack.why
			}
		}
	}
	return ""
}

func (c client) has(l login) bool {
	return slices.Contains(c.services, l.service) && slices.Contains(c.mechanisms, l.mechanism)
}

func pick(service, one, yes, no string) string { return pick2(service == one, yes, no) }

func pick2(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func lower(mechanism string) string { return strings.ToLower(mechanism) }

// legacy tells whether a mechanism takes the legacy secret.
func legacy(mechanism string) bool { return mechanism == "CRAM-MD5" || mechanism == "APOP" }

// people is a demo with all that its accounts may log in with.
type people struct {
	*server
	issuer *issuer
	client string // the PEM file with alice's certificate and its key
	secret string // alice's legacy secret
}

// forgiving is a configuration in which all can be tried, as often as tests do:
// CRAM-MD5 under TLS is offered where it is named.
const forgiving = `
[login]
mechanisms = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5", "APOP", "USER"]
max_delay = "0s"
pair_failures = -1
address_failures = -1
`

// startPeople starts a strict demo with an issuer of tokens, an authority for
// clients' certificates, and a legacy secret for alice.
func startPeople(t *testing.T, more string) *people {
	t.Helper()
	p := &people{issuer: newIssuer(t)}
	ca, client := clientCertificate(t, "alice@example.test")
	p.client = client
	config := p.issuer.config() + more
	for _, l := range []string{submission, submissions, pop3, pop3s} {
		config += fmt.Sprintf("\n[[listener]]\nname = %q\nclient_ca = %q\n", l, ca)
	}
	p.server = start(t, t.TempDir(), "--strict", "--config", write(t, "people.toml", config))
	p.secret = p.printed("account", "legacy-secret", "on", p.alice())
	return p
}

func (p *people) alice() string { return p.ready.Accounts[0].Address }
func (p *people) bob() string   { return p.ready.Accounts[1].Address }

// printed runs a subcommand and returns what it prints on standard output.
func (s *server) printed(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(binary, append([]string{"--data", s.ready.Data}, args...)...).Output()
	if err != nil {
		s.t.Fatalf("postrider %q: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// password returns what alice logs in with by a mechanism.
func (p *people) password(mechanism string) string {
	if legacy(mechanism) {
		return p.secret
	}
	return p.ready.Accounts[0].Password
}

// words are those in braces, for alice who logs in with a password and a token.
func (p *people) words(service, password, token, message string) *strings.Replacer {
	user := p.alice()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	port := p.port(service)
	return strings.NewReplacer("{host}", "localhost", "{port}", port, "{user}", user, "{user%}", strings.ReplaceAll(user, "@", "%40"),
		"{password}", password, "{to}", p.bob(), "{token}", token,
		"{user64}", b64(user), "{password64}", b64(password), "{plain64}", b64("\x00"+user+"\x00"+password),
		"{bearer64}", b64("n,a="+user+",\x01auth=Bearer "+token+"\x01\x01"),
		"{message}", strings.ReplaceAll(strings.TrimSuffix(message, "\n"), "\n.", "\n.."))
}

// folder makes the folder that a recipe is followed in.
func (p *people) folder(t *testing.T, message string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"message.eml": message, "ca.pem": read(t, p.ready.CA), "alice.pem": read(t, p.client),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// letter is the message that clients send.
func (p *people) letter(subject string) (text, body string) {
	body = "A line.\n.a line that begins with a dot\n..\n\nThe last line, " + subject + "."
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\n\n%s\n", p.alice(), p.bob(), subject, body), body
}

// attempt is an entry of the list of logins.
type attempt struct {
	Time                                                 time.Time
	Protocol, Listener, Account, Name, Mechanism, Result string
}

// lastAttempt returns the newest entry.
func (s *server) lastAttempt() (a attempt) {
	s.t.Helper()
	out := s.printed("auth", "log", "--json", "--limit", "1")
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		s.t.Fatalf("auth log: %v in %q", err, out)
	}
	return a
}

// outcome maps what each client passed: client's name, login.
type outcome map[string]map[login]bool

func (o outcome) pass(c client, l login) {
	if o[c.name] == nil {
		o[c.name] = map[login]bool{}
	}
	o[c.name][l] = true
}

// each runs a test for each login that a client has.
func each(t *testing.T, clients []client, f func(t *testing.T, c client, l login)) {
	for _, c := range clients {
		for _, service := range c.services {
			for _, mechanism := range c.mechanisms {
				l := login{service, mechanism}
				t.Run(strings.Join([]string{c.name, service, mechanism}, " "), func(t *testing.T) { f(t, c, l) })
			}
		}
	}
}

// TestClientsLogIn has each client send, or collect, a message after each login
// that it knows, and holds what arrives to what was sent. What they passed is
// what docs/CLIENTS.md says.
func TestClientsLogIn(t *testing.T) {
	p := startPeople(t, forgiving)
	sent, taken := outcome{}, outcome{}
	each(t, senders, func(t *testing.T, c client, l login) {
		if p.sends(t, c, l) {
			sent.pass(c, l)
		}
	})
	each(t, collectors, func(t *testing.T, c client, l login) {
		if p.collects(t, c, l) {
			taken.pass(c, l)
		}
	})
	if !t.Failed() {
		holdPage(t, sent, taken)
	}
}

func (p *people) sends(t *testing.T, c client, l login) bool {
	subject := fmt.Sprintf("sent by %s, %s, %s", c.name, l.service, l.mechanism)
	text, body := p.letter(subject)
	r := c.recipe(l.service, l.mechanism).with(p.words(l.service, p.password(l.mechanism), p.issuer.token(t, p.alice()), text))
	if printed, err := r.run(t, p.folder(t, text)); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	p.wantLogin(t, l, "ok")
	got := p.mail(t, 1)
	if len(got) != 1 {
		t.Fatalf("got %d messages, want 1: %q", len(got), got)
	}
	if strings.TrimRight(after(got[0], "\n\n"), "\n") != body {
		t.Errorf("the body arrived as %q, want %q", got[0], body)
	}
	for _, want := range []string{"\nSubject: " + subject + "\n", " by mail.example.test", "with ESMTPSA", "\nMessage-ID: ", "\nDate: ", "\nFrom: "} {
		if !strings.Contains(strings.ReplaceAll(got[0], "Message-Id", "Message-ID"), want) {
			t.Errorf("got %q, want %q in it", got[0], want)
		}
	}
	return !t.Failed()
}

func (p *people) collects(t *testing.T, c client, l login) bool {
	subject := fmt.Sprintf("for %s, %s, %s", c.name, l.service, l.mechanism)
	text, body := p.letter(subject)
	p.mail(t, 0)
	p.deliver(t, p.alice(), text)
	r := c.recipe(l.service, l.mechanism).with(p.words(l.service, p.password(l.mechanism), p.issuer.token(t, p.alice()), text))
	got, err := r.run(t, p.folder(t, text))
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	p.wantLogin(t, l, "ok")
	if r.typed != nil { // a person sees what the line carries
		body = strings.ReplaceAll(body, "\n.", "\n..")
	}
	for _, want := range []string{"Delivered-To: " + p.alice() + "\n", "\nSubject: " + subject + "\n", "\n\n" + body + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	return !t.Failed()
}

// wantLogin holds the newest login to what a client was told to do.
func (p *people) wantLogin(t *testing.T, l login, result string) {
	t.Helper()
	a := p.lastAttempt()
	if a.Listener != l.service || a.Mechanism != l.mechanism || a.Result != result {
		t.Errorf("the latest login is %+v, want %v: %s", a, l, result)
	}
}

// mail returns what an account has and removes it.
func (p *people) mail(t *testing.T, account int) (all []string) {
	t.Helper()
	c, err := dialPOPS(p.server, account)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return takeAll(t, c)
}

// deliver sends a message as a stranger does.
func (p *people) deliver(t *testing.T, to, text string) {
	t.Helper()
	c := dialPeer(t, p.server, "smtp")
	c.say("EHLO client.example.org", "250 ")
	c.say("MAIL FROM:<me@example.org>", "250 ")
	c.say("RCPT TO:<"+to+">", "250 ")
	c.say("DATA", "354 ")
	c.say(strings.ReplaceAll(strings.ReplaceAll(text, "\n.", "\n.."), "\n", "\r\n")+".", "250 ")
	c.say("QUIT", "221 ")
}

func after(s, sep string) string {
	_, rest, _ := strings.Cut(s, sep)
	return rest
}

// TestWrongPasswordsAreDenied gives each client a wrong password: it says so,
// ends, and nothing is sent.
func TestWrongPasswordsAreDenied(t *testing.T) {
	p := startPeople(t, forgiving)
	deny := func(t *testing.T, c client, l login) {
		if l.mechanism == "EXTERNAL" || l.service != c.services[len(c.services)-1] {
			return // without a password, or tried already
		}
		text, _ := p.letter("never sent")
		r := c.recipe(l.service, l.mechanism).with(p.words(l.service, "wr0ng-"+p.password(l.mechanism), "wr0ng", text))
		got, err := r.run(t, p.folder(t, text))
		if !slices.ContainsFunc(c.denies, func(words string) bool { return strings.Contains(got, words) }) {
			t.Errorf("got %q, %v; want one of %q", got, err, c.denies)
		}
		if a := p.lastAttempt(); a.Listener != l.service || a.Result == "ok" {
			t.Errorf("the latest login is %+v, want a failed one at %s", a, l.service)
		}
		if got := p.mail(t, 1); len(got) != 0 {
			t.Errorf("bob got %q", got)
		}
	}
	p.deliver(t, p.alice(), "Subject: not yours\n\n")
	each(t, senders, deny)
	each(t, collectors, deny)
}

// TestClientsLackWhatThePageSays asks the clients that can be asked.
func TestClientsLackWhatThePageSays(t *testing.T) {
	for _, c := range slices.Concat(senders, collectors) {
		for _, l := range c.lacks {
			if l.probe == "" {
				continue
			}
			t.Run(c.name+" "+l.what, func(t *testing.T) {
				got, _ := recipe{command: l.probe}.run(t, t.TempDir()) // most probes fail: that is the point
				if !strings.Contains(got, l.says) || l.never != "" && strings.Contains(strings.ToLower(got), strings.ToLower(l.never)) {
					t.Errorf("%s: got %q, want %q and not %q", l.probe, got, l.says, l.never)
				}
			})
		}
	}
}
