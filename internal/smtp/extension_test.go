package smtp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/internal/session"
)

// probes are commands that are executed just where an extension is announced; those
// of extensions that are always there, always.
var probes = map[string]string{
	"PIPELINING":          "NOOP\r\nNOOP",
	"SIZE":                "MAIL FROM:<a@b> SIZE=1",
	"8BITMIME":            "MAIL FROM:<a@b> BODY=8BITMIME",
	"CHUNKING":            "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nBDAT 0 LAST",
	"BINARYMIME":          "MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<alice@example.test>\r\nBDAT 3 LAST\r\n\n",
	"SMTPUTF8":            "MAIL FROM:<a@b> SMTPUTF8",
	"ENHANCEDSTATUSCODES": "NOOP",
	"DSN":                 "MAIL FROM:<a@b> RET=HDRS ENVID=x\r\nRCPT TO:<alice@example.test> NOTIFY=NEVER ORCPT=rfc822;a",
	"DELIVERBY":           "MAIL FROM:<a@b> BY=60;R",
	"MT-PRIORITY":         "MAIL FROM:<a@b> MT-PRIORITY=-1",
	"LIMITS":              "NOOP",
	"STARTTLS":            "STARTTLS",
	"AUTH":                "AUTH CRAM-MD5",
	"FUTURERELEASE":       "MAIL FROM:<a@b> HOLDFOR=1",
	"REQUIRETLS":          "MAIL FROM:<a@b> REQUIRETLS",
	"ETRN":                "ETRN example.org",
	"ATRN":                "ATRN example.org",
	"HELP":                "HELP",
}

// TestWhatIsAnnouncedIsThere asks sessions of every role, with and without TLS, a
// login and each option, for each extension: it is there if it is announced, and
// refused if it isn't. Before a login ETRN and ATRN may be announced and wait for it.
func TestWhatIsAnnouncedIsThere(t *testing.T) {
	for _, role := range []string{"mx", "submission", "relay"} {
		for i := range 1 << 6 {
			bit := func(n int) bool { return i&(1<<n) != 0 }
			u := setup{
				Listener: session.Listener{Role: role, StartTLS: bit(0), PlaintextAuth: true}, implicit: bit(1),
				backend: &fakeBackend{}, options: &Options{Binary: bit(2)},
			}
			if bit(3) {
				u.options.Turner = &fakeTurner{waiting: FlushBegun, next: &fakeSender{}}
			}
			if bit(4) {
				u.options.MaxHold = time.Hour
			}
			logins := []string{""}
			if bit(5) || role == "submission" {
				u.logins = &fakeLogins{trusted: aliceIdentity}
				logins = append(logins, authPlain)
			}
			for _, login := range logins {
				if role != "mx" || login == "" {
					checkAnnounced(t, fmt.Sprintf("%s, options %06b", role, i), u, login)
				}
			}
		}
	}
}

func checkAnnounced(t *testing.T, name string, u setup, login string) {
	t.Helper()
	for _, e := range Extensions() {
		d := connect(u)
		d.say(ehlo + login)
		announced := announcedIn(d.say(ehlo), e.Keyword)
		probe, ok := probes[e.Keyword]
		if !ok {
			t.Fatalf("%s has no probe", e.Keyword)
		}
		got := d.say(probe + "\r\n")
		waits := login == "" && (e.Keyword == "ETRN" || e.Keyword == "ATRN") && codes(got) == "530 5.7.0"
		if announced != done(got) && !(announced && waits) {
			t.Errorf("%s, login %t: %s announced %t, but got %q", name, login != "", e.Keyword, announced, got)
		}
	}
}

// announcedIn reports whether an answer to EHLO announces an extension.
func announcedIn(answer, keyword string) bool {
	for line := range strings.SplitSeq(answer, "\r\n") {
		if line = line[min(4, len(line)):]; line == keyword || strings.HasPrefix(line, keyword+" ") {
			return true
		}
	}
	return false
}

// done reports whether all replies are good ones.
func done(replies string) bool {
	for code := range strings.SplitSeq(codes(replies), ", ") {
		if code == "" || code[0] > '3' {
			return false
		}
	}
	return true
}
