package smtp

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// authLine returns a line of AUTH PLAIN of n octets with its CRLF. Its password
// is long, and wrong.
func authLine(prefix string, n int) string {
	line := prefix + b64("\x00"+aliceAddress+"\x00"+strings.Repeat("x", 9300))
	return line[:n-2] + "\r\n"
}

// loginScripts are spoken to a submission listener with TLS on.
var loginScripts = []struct{ name, in, want string }{
	{"PLAIN with an initial response", ehlo + authPlain, "250, 235 2.7.0"},
	{"PLAIN without one", ehlo + "AUTH PLAIN\r\n" + alicePlain + "\r\n", "250, 334, 235 2.7.0"},
	{"mechanism in lower case", ehlo + "auth plain " + alicePlain + "\r\n", "250, 235 2.7.0"},
	{"spaces", ehlo + "AUTH  PLAIN  " + alicePlain + " \r\n", "250, 235 2.7.0"},
	{"LOGIN", ehlo + "AUTH LOGIN\r\n" + b64(aliceAddress) + "\r\n" + b64(alicePassword) + "\r\n", "250, 334, 334, 235 2.7.0"},
	{"LOGIN with an initial response", ehlo + "AUTH LOGIN " + b64(aliceAddress) + "\r\n" + b64(alicePassword) + "\r\n", "250, 334, 235 2.7.0"},
	{"OAUTHBEARER", ehlo + "AUTH OAUTHBEARER " + b64("n,a="+aliceAddress+",\x01auth=Bearer token\x01\x01") + "\r\n", "250, 235 2.7.0"},
	{"wrong password", ehlo + "AUTH PLAIN " + wrongPlain + "\r\nNOOP\r\n", "250, 535 5.7.8, 250 2.0.0"},
	{"wrong password, then the right one", ehlo + "AUTH PLAIN " + wrongPlain + "\r\n" + authPlain, "250, 535 5.7.8, 235 2.7.0"},
	{
		"an authorization identity that isn't its own",
		ehlo + "AUTH PLAIN " + b64("bob@example.test\x00"+aliceAddress+"\x00"+alicePassword) + "\r\n", "250, 535 5.7.8",
	},
	{"NULs missing", ehlo + "AUTH PLAIN " + b64(aliceAddress+alicePassword) + "\r\n", "250, 501 5.5.2"},
	{"cancelled", ehlo + "AUTH PLAIN\r\n*\r\nNOOP\r\n", "250, 334, 501 5.7.0, 250 2.0.0"},
	{"cancelled in the middle", ehlo + "AUTH LOGIN\r\n" + b64(aliceAddress) + "\r\n*\r\n" + authPlain, "250, 334, 334, 501 5.7.0, 235 2.7.0"},
	{"an empty initial response", ehlo + "AUTH PLAIN =\r\nNOOP\r\n", "250, 501 5.5.2, 250 2.0.0"},
	{"an empty answer", ehlo + "AUTH PLAIN\r\n\r\nNOOP\r\n", "250, 334, 501 5.5.2, 250 2.0.0"},
	{"= as an answer", ehlo + "AUTH PLAIN\r\n=\r\nNOOP\r\n", "250, 334, 501 5.5.2, 250 2.0.0"},
	{"bad base64", ehlo + "AUTH PLAIN " + alicePlain[:len(alicePlain)-1] + "\r\nAUTH PLAIN !!!!\r\n", "250, 501 5.5.2, 501 5.5.2"},
	{"bad base64 in an answer", ehlo + "AUTH PLAIN\r\nno base64\r\nNOOP\r\n", "250, 334, 501 5.5.2, 250 2.0.0"},
	{"white space in an answer", ehlo + "AUTH PLAIN\r\n" + alicePlain + " \r\nNOOP\r\n", "250, 334, 501 5.5.2, 250 2.0.0"},
	{"an empty answer, as curl writes it", ehlo + "AUTH EXTERNAL\r\n=\r\nNOOP\r\n", "250, 334, 535 5.7.8, 250 2.0.0"},
	{"stray bits in base64", ehlo + "AUTH LOGIN YR==\r\n", "250, 501 5.5.2"},
	{"octets behind the initial response", ehlo + "AUTH PLAIN " + alicePlain + " x\r\n", "250, 501 5.5.2"},
	{"controls in an answer", ehlo + "AUTH PLAIN\r\n\x00\x01\r\nNOOP\r\n", "250, 334, 501 5.5.2, 250 2.0.0"},
	{"bare LF in an answer", ehlo + "AUTH PLAIN\r\n" + alicePlain + "\nNOOP\r\nNOOP\r\n", "250, 334, 500 5.5.2, 250 2.0.0"},
	{"bare CR in an answer", ehlo + "AUTH PLAIN\r\n" + alicePlain + "\rNOOP\r\nNOOP\r\n", "250, 334, 500 5.5.2, 250 2.0.0"},
	{"AUTH of 12,288 octets", ehlo + authLine("AUTH PLAIN ", 12288), "250, 501 5.5.2"},
	{"AUTH of 12,289 octets", ehlo + authLine("AUTH PLAIN ", 12289) + "NOOP\r\n", "250, 500 5.5.6, 250 2.0.0"},
	{"AUTH of 12,291 octets", ehlo + authLine("AUTH PLAIN ", 12291) + "NOOP\r\n", "250, 500 5.5.6, 250 2.0.0"},
	{"an answer of 12,286 octets", ehlo + "AUTH PLAIN\r\n" + authLine("", 12286), "250, 334, 535 5.7.8"},
	{"an answer of 12,289 octets", ehlo + "AUTH PLAIN\r\n" + authLine("", 12289) + "NOOP\r\n", "250, 334, 500 5.5.6, 250 2.0.0"},
	{"an answer of 20,000 octets", ehlo + "AUTH PLAIN\r\n" + strings.Repeat("x", 20000) + "\r\nNOOP\r\n", "250, 334, 500 5.5.6, 250 2.0.0"},
	{"another command of 2,049 octets", noop(2048) + noop(2049) + noop(12290) + noop(12291) + noop(10), "250 2.0.0, 500 5.5.2, 500 5.5.2, 500 5.5.2, 250 2.0.0"},
	{"BDAT of 2,049 octets", "BDAT " + strings.Repeat("0", 2041) + "1\r\nx", "500 5.5.2, 421 4.5.2"},
	{"no mechanism", ehlo + "AUTH\r\n", "250, 501 5.5.4"},
	{"unknown mechanisms", ehlo + "AUTH KERBEROS_V4\r\nAUTH *\r\nAUTH PL\x01AIN\r\nAUTH ABCDEFGHIJKLMNOPQRSTU\r\n", "250, 504 5.5.4, 504 5.5.4, 500 5.5.2, 504 5.5.4"},
	{"before EHLO", authPlain, "503 5.5.1"},
	{"after HELO", "HELO c\r\n" + authPlain, "250, 503 5.5.1"},
	{"after AUTH", ehlo + authPlain + authPlain, "250, 235 2.7.0, 503 5.5.1"},
	{"after AUTH and EHLO", ehlo + authPlain + ehlo + authPlain, "250, 235 2.7.0, 250, 503 5.5.1"},
	{"within a transaction", ehlo + authPlain + "MAIL FROM:<>\r\n" + authPlain, "250, 235 2.7.0, 250 2.1.0, 503 5.5.1"},
	{
		"a whole session", ehlo + authPlain + envelope + "DATA\r\n.\r\nQUIT\r\n",
		"250, 235 2.7.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 221 2.0.0",
	},
	{
		"everything before a login", ehlo + "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nBDAT 6 LAST\r\nQUIT\r\nVRFY alice\r\nEXPN staff\r\nNOOP\r\nRSET\r\nHELP\r\nHELO c\r\nQUIT\r\n",
		"250, 530 5.7.0, 530 5.7.0, 530 5.7.0, 530 5.7.0, 530 5.7.0, 530 5.7.0, 250 2.0.0, 250 2.0.0, 214 2.0.0, 250, 221 2.0.0",
	},
	{"STARTTLS under TLS", ehlo + "STARTTLS\r\nNOOP\r\n", "250, 503 5.5.1, 250 2.0.0"},
	{"AUTH's parameter of MAIL", ehlo + authPlain + "MAIL FROM:<a@b> AUTH=<>\r\nRSET\r\nMAIL FROM:<a@b> AUTH=e+3Dmc2@example.org\r\n", "250, 235 2.7.0, 250 2.1.0, 250 2.0.0, 250 2.1.0"},
	{
		"bad AUTH parameters", ehlo + authPlain + "MAIL FROM:<a@b> AUTH=\r\nMAIL FROM:<a@b> AUTH\r\nMAIL FROM:<a@b> AUTH=x\r\nMAIL FROM:<a@b> AUTH=a+2b@b\r\nMAIL FROM:<a@b> AUTH=a@b+0D\r\nMAIL FROM:<a@b> AUTH=<> AUTH=<>\r\n" +
			"MAIL FROM:<a@b> AUTH=" + strings.Repeat("a", 500) + "@b\r\n",
		"250, 235 2.7.0, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4",
	},
	{"holding where nothing is held", ehlo + authPlain + "MAIL FROM:<a@b> HOLDFOR=1\r\n", "250, 235 2.7.0, 555 5.5.4"},
}

func TestLogins(t *testing.T) {
	for _, s := range loginScripts {
		t.Run(s.name, func(t *testing.T) {
			submit(&fakeLogins{}, nil).check(t, s.in, s.want)
			d := submit(&fakeLogins{}, nil)
			d.out.Reset()
			for i := range len(s.in) {
				d.feed([]byte{s.in[i]})
			}
			if got := codes(d.out.String()); got != s.want {
				t.Errorf("octet by octet: got %q, want %q", got, s.want)
			}
		})
	}
}

func TestLoginWithoutTLS(t *testing.T) {
	for _, c := range []struct {
		name     string
		listener session.Listener
		in, want string
	}{
		{"no password in the clear", session.Listener{StartTLS: true}, authPlain + "AUTH LOGIN\r\n", "538 5.7.11, 538 5.7.11"},
		{"a proof", session.Listener{StartTLS: true}, "AUTH CRAM-MD5\r\n*\r\n", "334, 501 5.7.0"},
		{"a listener that allows it", session.Listener{PlaintextAuth: true}, authPlain, "235 2.7.0"},
		{"by hand", session.Listener{PlaintextAuth: true, Teach: true}, " auth plain\n " + alicePlain + " \n", "334, 235 2.7.0"},
		{"after STARTTLS", session.Listener{StartTLS: true}, "STARTTLS\r\n", "220 2.0.0"},
	} {
		c.listener.Role = "submission"
		d := connect(setup{Listener: c.listener, backend: &fakeBackend{}, logins: &fakeLogins{}})
		d.say(ehlo)
		t.Run(c.name, func(t *testing.T) { d.check(t, c.in, c.want) })
	}
}

func TestVerdictsOnLogins(t *testing.T) {
	down := fault.New(fault.Transient, "ask the secret oracle", nil)
	for _, c := range []struct {
		name   string
		logins fakeLogins
		in     string
		want   string
	}{
		{"locked out", fakeLogins{begin: fault.New(fault.Busy, "", nil)}, authPlain, "454 4.7.0"},
		{"trouble at the beginning", fakeLogins{begin: down}, authPlain, "454 4.7.0"},
		{"locked out at the end", fakeLogins{verdict: fault.New(fault.Busy, "", nil)}, authPlain, "454 4.7.0"},
		{"trouble at the end", fakeLogins{verdict: down}, authPlain, "454 4.7.0"},
		{"denied", fakeLogins{verdict: fault.New(fault.Denied, "", nil)}, authPlain, "535 5.7.8"},
		{"malformed", fakeLogins{verdict: fault.New(fault.Invalid, "", nil)}, authPlain, "501 5.5.2"},
		{"nobody in particular", fakeLogins{nobody: true}, authPlain + "MAIL FROM:<>\r\n", "454 4.7.0, 530 5.7.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := submit(&c.logins, nil)
			d.say(ehlo)
			d.check(t, c.in, c.want)
			if strings.Contains(d.out.String(), "oracle") {
				t.Errorf("%q tells what is for the log", d.out.String())
			}
		})
	}
	d := submit(&fakeLogins{begin: fault.New(fault.Busy, "", nil)}, nil)
	if got := d.say(ehlo + authPlain); !strings.Contains(got, "Too many failed logins from your address; try again later") {
		t.Errorf("got %q, want words about the lock-out", got)
	}
	d = submit(&fakeLogins{begin: down}, nil)
	if d.say(ehlo + authPlain); d.log != "" {
		t.Errorf("got log %q, want none: the authenticator has its own", d.log)
	}
	d = submit(&fakeLogins{nobody: true}, nil)
	if d.say(ehlo + authPlain); !strings.Contains(d.log, "nobody") {
		t.Errorf("a login that is nobody's: got log %q", d.log)
	}
}

func TestFailedLoginsAreBounded(t *testing.T) {
	wrong := "AUTH PLAIN " + wrongPlain + "\r\n"
	d := submit(&fakeLogins{}, nil)
	d.say(ehlo + strings.Repeat(wrong, DefaultMaxLogins-1))
	d.check(t, wrong+authPlain, "421 4.7.0")
	if !d.closed {
		t.Error("open after too many failed logins")
	}
	d = submit(&fakeLogins{}, &Options{MaxLogins: -1, MaxErrors: -1})
	d.say(ehlo + strings.Repeat(wrong, 100))
	d.check(t, authPlain, "235 2.7.0")

	d = submit(&fakeLogins{}, nil)
	d.say(ehlo + strings.Repeat("AUTH PLAIN\r\n*\r\n", DefaultMaxErrors))
	if !d.closed {
		t.Error("logins may be cancelled without end")
	}
}

func TestScramWithAClientThatIsNotOurs(t *testing.T) {
	client, err := scram.SHA256.NewClient(aliceAddress, alicePassword, "")
	if err != nil {
		t.Fatal(err)
	}
	talk := client.NewConversation()
	d := submit(&fakeLogins{}, nil)
	d.say(ehlo)
	message, err := talk.Step("")
	if err != nil {
		t.Fatal(err)
	}
	reply := d.say("AUTH SCRAM-SHA-256 " + b64(message) + "\r\n")
	for strings.HasPrefix(reply, "334 ") {
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(reply[4:]))
		if err != nil {
			t.Fatal(err)
		}
		if message, err = talk.Step(string(challenge)); err != nil {
			t.Fatal(err)
		}
		reply = d.say(b64(message) + "\r\n")
	}
	if codes(reply) != "235 2.7.0" || !talk.Valid() {
		t.Errorf("got %q, and the client finds the server valid: %t", reply, talk.Valid())
	}
}

func TestChallengesAreBase64(t *testing.T) {
	d := submit(&fakeLogins{}, nil)
	d.say(ehlo)
	if got := d.say("AUTH PLAIN\r\n"); got != "334 \r\n" {
		t.Errorf("got %q, want an empty challenge with its space", got)
	}
	if d.step.Next != session.SecretLine {
		t.Errorf("got mode %d, want a secret line", d.step.Next)
	}
	d.say("*\r\n")
	if got := d.say("AUTH LOGIN\r\n"); got != "334 "+b64("Username:")+"\r\n" {
		t.Errorf("got %q, want Username:", got)
	}
}

// TestIdentityReachesTheBackend also holds that nobody has one on an mx listener.
func TestIdentityReachesTheBackend(t *testing.T) {
	d := submit(&fakeLogins{}, nil)
	d.say(ehlo + authPlain + envelope + "DATA\r\n.\r\n")
	got := d.session.(*server).backend.(*fakeBackend).stored[0].client
	if got.Account != aliceAccount || got.Login != aliceAddress || got.Mechanism != "PLAIN" || got.AppPassword != "telephone" ||
		got.Role != "submission" || got.TLS != "TLS 1.3 AES-128-GCM" {
		t.Errorf("got client %+v", got)
	}
}

func TestImplicitTLSIsSubmissionToo(t *testing.T) {
	d := connect(setup{Listener: session.Listener{Role: "submission"}, backend: &fakeBackend{}, logins: &fakeLogins{}, implicit: true})
	d.check(t, ehlo+"MAIL FROM:<>\r\n"+authPlain, "250, 530 5.7.0, 235 2.7.0")
	if got := d.session.(*server).client.Role; got != "submission" {
		t.Errorf("got role %q, want submission", got)
	}
}

func TestNoLoginWithoutAnAuthenticator(t *testing.T) {
	d := connect(setup{Listener: session.Listener{Role: "submission"}, backend: &fakeBackend{}})
	d.check(t, ehlo+"AUTH PLAIN\r\nMAIL FROM:<>\r\n", "250, 502 5.5.1, 530 5.7.0")
}

func TestAddressTrustedSinceALogin(t *testing.T) {
	f := &fakeLogins{trusted: sasl.Identity{Account: aliceAccount, Address: aliceAddress}}
	d := connect(setup{Listener: session.Listener{Role: "submission"}, backend: &fakeBackend{}, logins: f})
	d.check(t, ehlo+"VRFY alice\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", "250, 530 5.7.0, 530 5.7.0, 530 5.7.0")
	d.check(t, envelope+"VRFY alice\r\nDATA\r\n.\r\n", "250 2.1.0, 250 2.1.5, 252 2.0.0, 354, 250 2.0.0")
	b := d.session.(*server).backend.(*fakeBackend)
	if got := b.stored[0].client; got.Account != aliceAccount || got.Login != aliceAddress || got.Mechanism != "" {
		t.Errorf("got client %+v", got)
	}
	if got := d.session.(*server).client.Account; got != 0 {
		t.Errorf("after the transaction: got account %d, want none", got)
	}
	f.trusted = sasl.Identity{}
	d.check(t, "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\n", "530 5.7.0, 530 5.7.0")

	f.trusted = sasl.Identity{Account: 9, Address: "bob@example.test"}
	d = submit(f, nil)
	d.say(ehlo + authPlain + envelope + "DATA\r\n.\r\n")
	b = d.session.(*server).backend.(*fakeBackend)
	if got := b.stored[0].client.Account; got != aliceAccount {
		t.Errorf("got account %d, want that of the login, %d", got, aliceAccount)
	}
}

// TestNoTranscriptHasASecret looks at what a driver may keep, at the replies and
// at the log, whatever becomes of the login.
func TestNoTranscriptHasASecret(t *testing.T) {
	secrets := []string{alicePassword, alicePlain, wrongPlain, b64(alicePassword), "fork"}
	for _, in := range []string{
		ehlo + authPlain,
		authPlain,
		"HELO c\r\n" + authPlain,
		ehlo + "auth  plain " + alicePlain + "\r\n",
		ehlo + "AUTH PLAIN " + wrongPlain + "\r\n",
		ehlo + "AUTH PLAIN\r\n" + alicePlain + "\r\n",
		ehlo + "AUTH PLAIN " + alicePlain + "\n\r\n",
		ehlo + "AUTH LOGIN\r\n" + b64(aliceAddress) + "\r\n" + b64(alicePassword) + "\r\n",
		ehlo + "AUTH LOGIN\r\n!\r\n" + b64(alicePassword) + "\r\n",
		ehlo + "AUTH NONE\r\n" + b64(aliceAddress) + "\r\n" + b64(alicePassword) + "\r\n",
		ehlo + authPlain + authPlain,
	} {
		for _, role := range []string{"mx", "submission"} {
			for _, logins := range []fakeLogins{{}, {begin: fault.New(fault.Transient, "down", nil)}, {verdict: fault.New(fault.Invalid, "odd", nil)}} {
				d := connect(setup{Listener: session.Listener{Role: role}, implicit: true, backend: &fakeBackend{}, logins: &logins})
				d.say(in)
				for _, kept := range append(d.transcript, d.out.String(), d.log) {
					for _, s := range secrets {
						if strings.Contains(kept, s) {
							t.Errorf("to %q as %s: %q has %q in it", in, role, kept, s)
						}
					}
				}
			}
		}
	}
}

func TestUnknownRecipientsAreBoundedForStrangers(t *testing.T) {
	guess := "RCPT TO:<unknown@example.test>\r\n"
	refused := "RCPT TO:<a@elsewhere.example>\r\n"
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(ehlo + "MAIL FROM:<>\r\n" + strings.Repeat(refused, 3*DefaultMaxErrors) + strings.Repeat(guess, DefaultMaxUnknown-1))
	d.check(t, "RCPT TO:<alice@example.test>\r\nRSET\r\nMAIL FROM:<>\r\n"+guess+"NOOP\r\n", "250 2.1.5, 250 2.0.0, 250 2.1.0, 421 4.7.0")
	if !d.closed {
		t.Error("open after too many guesses")
	}
	for name, d := range map[string]*driver{
		"by hand":     newDriver(&fakeBackend{}, nil, true),
		"no limit":    newDriver(&fakeBackend{}, &Options{MaxUnknown: -1}, false),
		"our own one": submit(&fakeLogins{}, nil),
	} {
		d.say(ehlo + authPlain + "MAIL FROM:<>\r\n" + strings.Repeat(guess, 20*DefaultMaxUnknown))
		if got := codes(d.say("RCPT TO:<alice@example.test>\r\n")); got != "250 2.1.5" {
			t.Errorf("%s: got %q, want 250 2.1.5", name, got)
		}
	}
}

func TestHoldingMessages(t *testing.T) {
	const week = 7 * 24 * time.Hour
	until := func(d time.Duration) string { return testTime.Add(d).Format(time.RFC3339) }
	for _, c := range []struct {
		name, params, want string
		hold               time.Duration // zero: not at all
	}{
		{"not at all", "", "250 2.1.0", 0},
		{"for a minute", "HOLDFOR=60", "250 2.1.0", time.Minute},
		{"for as long as can be", "holdfor=604800", "250 2.1.0", week},
		{"for too long", "HOLDFOR=604801", "501 5.5.4", 0},
		{"for longer than can be written", "HOLDFOR=1000000000", "501 5.5.4", 0},
		{"for no time", "HOLDFOR=0", "501 5.5.4", 0},
		{"for a negative time", "HOLDFOR=-1", "501 5.5.4", 0},
		{"for ever", "HOLDFOR=ever", "501 5.5.4", 0},
		{"for nothing", "HOLDFOR", "501 5.5.4", 0},
		{"until an hour from now", "HOLDUNTIL=" + until(time.Hour), "250 2.1.0", time.Hour},
		{"until then in lower case", "holduntil=" + strings.ToLower(until(time.Hour)), "250 2.1.0", time.Hour},
		{"until then elsewhere", "HOLDUNTIL=2026-11-22T13:00:00+02:00", "250 2.1.0", time.Hour},
		{"until too late", "HOLDUNTIL=" + until(week+time.Second), "501 5.5.4", 0},
		{"until yesterday", "HOLDUNTIL=" + until(-24*time.Hour), "501 5.5.4", 0},
		{"until then with a comma", "HOLDUNTIL=2026-11-22T11:00:00,5Z", "501 5.5.4", 0},
		{"until some day", "HOLDUNTIL=tomorrow", "501 5.5.4", 0},
		{"until a day", "HOLDUNTIL=2026-11-23", "501 5.5.4", 0},
		{"both", "HOLDFOR=60 HOLDUNTIL=" + until(time.Minute), "501 5.5.4", 0},
		{"both, the other way", "HOLDUNTIL=" + until(time.Minute) + " HOLDFOR=60", "501 5.5.4", 0},
		{"twice", "HOLDFOR=60 HOLDFOR=60", "501 5.5.4", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := submit(&fakeLogins{}, &Options{MaxHold: week})
			d.say(ehlo + authPlain)
			d.check(t, strings.TrimRight("MAIL FROM:<a@b> "+c.params, " ")+"\r\n", c.want)
			var got time.Time
			if tx := d.session.(*server).tx; tx != nil {
				got = tx.Envelope.Hold
			}
			if want := testTime.Add(c.hold); c.hold != 0 && !got.Equal(want) || c.hold == 0 && !got.IsZero() {
				t.Errorf("got held until %s, want for %s", got, c.hold)
			}
		})
	}
	d := newDriver(&fakeBackend{}, &Options{MaxHold: week}, false)
	d.check(t, ehlo+"MAIL FROM:<a@b> HOLDFOR=1\r\n", "250, 555 5.5.4")
}

func TestExtensionsByRole(t *testing.T) {
	const turning = "NOOP\r\n" // of a server that has a Turner
	o := &Options{MaxHold: time.Hour}
	const (
		hold    = "250-FUTURERELEASE 3600 2026-11-22T11:00:00Z\r\n"
		proofs  = "250-AUTH SCRAM-SHA-256 EXTERNAL CRAM-MD5\r\n"
		all     = "250-AUTH SCRAM-SHA-256 EXTERNAL OAUTHBEARER PLAIN LOGIN CRAM-MD5\r\n"
		offered = "250-STARTTLS\r\n"
		secure  = "250-REQUIRETLS\r\n"
		etrn    = "250-ETRN\r\n"
		atrn    = "250-ATRN\r\n"
	)
	listener := func(role string, starttls bool) session.Listener {
		return session.Listener{Role: role, StartTLS: starttls}
	}
	for _, c := range []struct {
		name     string
		listener session.Listener
		implicit bool
		in, want string
	}{
		{"mx", listener("mx", false), false, "", ""},
		{"mx with STARTTLS", listener("mx", true), false, "", offered},
		{"mx after STARTTLS", listener("mx", true), false, "STARTTLS\r\n", secure},
		{"mx where mail waits", listener("mx", false), false, turning, etrn},
		{"a role that isn't known", listener("repeat", false), false, "", ""},
		{"submission without TLS", listener("submission", false), false, "", proofs + hold},
		{"submission with STARTTLS", listener("submission", true), false, "", offered + proofs + hold},
		{"submission after STARTTLS", listener("submission", true), false, "STARTTLS\r\n", all + hold + secure},
		{"submission under TLS", listener("submission", false), true, "", all + hold + secure},
		{"submission after a login", listener("submission", false), true, ehlo + authPlain, hold + secure},
		{"submission where mail waits", listener("submission", false), false, turning, proofs + hold + etrn + atrn},
		{"relay", listener("relay", false), false, "", proofs},
		{"relay with STARTTLS", listener("relay", true), false, "", offered + proofs},
		{"relay under TLS", listener("relay", false), true, "", all + secure},
		{"relay after a login", listener("relay", false), true, ehlo + authPlain, secure},
		{"relay where mail waits", listener("relay", false), false, turning, proofs + etrn + atrn},
	} {
		u := setup{Listener: c.listener, implicit: c.implicit, backend: &fakeBackend{}, logins: &fakeLogins{}, options: o}
		if c.in == turning {
			u.options = &Options{MaxHold: time.Hour, Turner: &fakeTurner{}}
		}
		d := connect(u)
		d.say(c.in)
		_, got, _ := strings.Cut(d.say(ehlo), "250-LIMITS RCPTMAX=1000 MAILMAX=1000\r\n")
		if got != c.want+"250 HELP\r\n" {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestHelpListsWhatIsOffered(t *testing.T) {
	mx := newDriver(&fakeBackend{}, nil, true).say("HELP\r\nHELP AUTH\r\n")
	if strings.Contains(mx, "  AUTH ") || strings.Contains(mx, "STARTTLS") || !strings.Contains(mx, "AUTH is not offered: No login here") {
		t.Errorf("mx: got %q", mx)
	}
	d := connect(setup{
		Listener: session.Listener{Role: "submission", StartTLS: true, Teach: true}, backend: &fakeBackend{}, logins: &fakeLogins{},
	})
	if got := d.say("HELP\r\nHELP AUTH\r\n"); !strings.Contains(got, "  STARTTLS ") || !strings.Contains(got, "  AUTH PLAIN") || strings.Contains(got, "not offered") {
		t.Errorf("submission: got %q", got)
	}
	d.check(t, "STARTTLS\r\n", "220 2.0.0")
}

func TestRoleNames(t *testing.T) {
	for r, want := range map[Role]string{RoleMX: "mx", RoleSubmission: "submission", RoleMX | RoleRelay: "mx, relay", RoleAny: "any", 0: ""} {
		if got := r.String(); got != want {
			t.Errorf("role %d: got %q, want %q", r, got, want)
		}
	}
}
