//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoSecretIsKeptInReadableForm logs in by every mechanism, with passwords
// and tokens that are right and wrong, and looks for them in all that the server
// writes: its log, its list of logins, its metrics and its files.
func TestNoSecretIsKeptInReadableForm(t *testing.T) {
	watch := freeAddress(t)
	p := startPeople(t, forgiving+"[log]\nlevel = \"debug\"\n[admin]\naddress = \""+watch+"\"\n")
	app := p.printed("account", "app-password", "add", p.alice(), "phone")
	token := p.issuer.token(t, p.alice())
	secrets := map[string]string{
		"alice's password": p.password("PLAIN"), "legacy secret": p.secret, "app password": app, "token": token,
		"token's signature": token[strings.LastIndex(token, ".")+1:],
	}
	for _, c := range append(senders, collectors...) {
		if c.name != "msmtp" && c.name != "mpop" && c.name != "gsasl" {
			continue
		}
		for _, m := range c.mechanisms {
			l := login{c.services[len(c.services)-1], m}
			wrong := "wr0ng-" + strings.ToLower(strings.ReplaceAll(c.name+m, "-", "")) + "-Zx81q"
			secrets["wrong "+c.name+" "+m] = wrong
			p.enter(t, c, l, p.password(m), token)
			p.enter(t, c, l, wrong, wrong)
			if m == "PLAIN" {
				p.enter(t, c, l, app, "")
				p.wantLogin(t, l, "ok")
			}
		}
	}
	secrets["before TLS"], secrets["out of turn"], secrets["not base64"] = p.blurt(t)
	p.postQuietly(t)

	places := map[string]string{
		"the log": p.log.String(), "auth log": p.printed("auth", "log", "--json", "--limit", "0"),
		"/metrics": fetch(t, "http://"+watch+"/metrics"), "goroutines": fetch(t, "http://"+watch+"/debug/pprof/goroutine?debug=2"),
	}
	for name, text := range places {
		if len(text) < 100 {
			t.Errorf("%s: only %q", name, text)
		}
	}
	p.stop()
	places["the log to its end"] = p.log.String()
	for name, text := range contents(t, p.ready.Data) {
		places[name] = text
	}
	for name, secret := range secrets {
		for form, text := range forms(p.alice(), secret) {
			for place, all := range places {
				if strings.Contains(all, text) {
					t.Errorf("%s is in %s, %s: %q", name, place, form, text)
				}
			}
		}
	}
}

// enter has a client log in and send or collect, whatever comes of it.
func (p *people) enter(t *testing.T, c client, l login, password, token string) {
	t.Helper()
	text, _ := p.letter("a secret")
	r := c.recipe(l.service, l.mechanism).with(p.words(l.service, password, token, text))
	printed, err := r.run(t, p.folder(t, text))
	t.Logf("%s %v: %v %.80q", c.name, l, err, printed)
}

// blurt says secrets where nobody asked for them.
func (p *people) blurt(t *testing.T) (before, outOfTurn, notBase64 string) {
	before, outOfTurn, notBase64 = "bl0rt-before-Zx82q", "bl0rt-turn-Zx83q", "bl0rt-raw-Zx84q"
	c := dialPeer(t, p.server, submission)
	c.say("EHLO client.example.org", "250 ")
	c.say("AUTH PLAIN "+b64("\x00"+p.alice()+"\x00"+before), "538 ")
	c.say("PASS "+outOfTurn, "5")
	in := dialPeer(t, p.server, pop3)
	in.say("USER "+p.alice(), "-ERR")
	in.say("PASS "+before, "-ERR")
	in.say("AUTH PLAIN "+b64("\x00"+p.alice()+"\x00"+before), "-ERR")
	tls := secured(t, p.server, pop3s, p.trust())
	tls.say("PASS "+outOfTurn, "-ERR")
	tls.say("AUTH PLAIN", "+ ")
	tls.say(notBase64+"!", "-ERR")
	tls.say("USER "+p.alice(), "+OK")
	tls.say(outOfTurn, "-ERR")
	tls.say("PASS "+outOfTurn, "-ERR")
	return before, outOfTurn, notBase64
}

// postQuietly has the server at work after the logins, so that what lingers in
// buffers is written.
func (p *people) postQuietly(t *testing.T) {
	for range 3 {
		p.deliver(t, p.alice(), "Subject: x\n\n")
	}
	p.mail(t, 0)
}

// forms are what a secret looks like: as it is, in base64 wherever it begins
// there, in hexadecimal, and in the responses that carry it.
func forms(user, secret string) map[string]string {
	all := map[string]string{
		"as it is": secret, "in hexadecimal": hex.EncodeToString([]byte(secret)),
		"in HEXADECIMAL":  strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"in PLAIN's form": b64("\x00" + user + "\x00" + secret), "in PLAIN's form, decoded": "\x00" + user + "\x00" + secret,
	}
	for i, before := range []string{"", "\x00", "\x00\x00"} {
		// The first and the last characters depend on the neighbours.
		text := base64.RawStdEncoding.EncodeToString([]byte(before + secret))
		all["in base64, at "+string(rune('0'+i))] = text[[]int{0, 2, 3}[i] : len(text)-1]
	}
	return all
}

// contents are a data folder's files, but for the demo's own list.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "demo.json" {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("%s: %d files, %v", dir, len(all), err)
	}
	return all
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, r.Status, err)
	}
	return string(b)
}

// freeAddress returns an address on loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
