package smtp

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// envelopeOf returns the envelope of the transaction that is open, nil if none is.
func (d *driver) envelopeOf() *mail.Envelope {
	if tx := d.session.(*server).tx; tx != nil {
		return &tx.Envelope
	}
	return nil
}

func TestDeliverBy(t *testing.T) {
	const longest = 999_999_999 * time.Second
	by := func(left time.Duration, mode mail.ByMode, trace bool) mail.DeliverBy {
		return mail.DeliverBy{Deadline: testTime.Add(left), Mode: mode, Trace: trace}
	}
	for _, c := range []struct {
		params, want string
		by           mail.DeliverBy
	}{
		{"BY=120;R", "250 2.1.0", by(2*time.Minute, mail.ByReturn, false)},
		{"by=120;rt", "250 2.1.0", by(2*time.Minute, mail.ByReturn, true)},
		{"BY=+60;R", "250 2.1.0", by(time.Minute, mail.ByReturn, false)},
		{"BY=1;N", "250 2.1.0", by(time.Second, mail.ByNotify, false)},
		{"BY=0;N", "250 2.1.0", by(0, mail.ByNotify, false)},
		{"BY=-5;NT", "250 2.1.0", by(-5*time.Second, mail.ByNotify, true)},
		{"BY=999999999;R", "250 2.1.0", by(longest, mail.ByReturn, false)},
		{"BY=-999999999;N", "250 2.1.0", by(-longest, mail.ByNotify, false)},
		{"BY=000000060;R", "250 2.1.0", by(time.Minute, mail.ByReturn, false)},
		{"BY=59;R", "555 5.5.4", mail.DeliverBy{}},
		{"BY=0;R", "501 5.5.4", mail.DeliverBy{}},
		{"BY=-1;RT", "501 5.5.4", mail.DeliverBy{}},
		{"BY=1000000000;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=-1000000000;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=+-1;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=-+1;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=--1;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=-;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=120", "501 5.5.4", mail.DeliverBy{}},
		{"BY=120;", "501 5.5.4", mail.DeliverBy{}},
		{"BY=120;T", "501 5.5.4", mail.DeliverBy{}},
		{"BY=120;TR", "501 5.5.4", mail.DeliverBy{}},
		{"BY=120;R;T", "501 5.5.4", mail.DeliverBy{}},
		{"BY=1.5;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY=1;N BY=1;N", "501 5.5.4", mail.DeliverBy{}},
		{"BY", "501 5.5.4", mail.DeliverBy{}},
		{"HOLDFOR=119 BY=120;R", "250 2.1.0", by(2*time.Minute, mail.ByReturn, false)},
		{"BY=120;R HOLDFOR=121", "501 5.5.4", mail.DeliverBy{}},
		{"BY=120;N HOLDFOR=121", "250 2.1.0", by(2*time.Minute, mail.ByNotify, false)},
	} {
		d := submit(&fakeLogins{}, &Options{MinDeliverBy: time.Minute + time.Second/2, MaxHold: time.Hour})
		if hello := d.say(ehlo + authPlain); !strings.Contains(hello, "250-DELIVERBY 60\r\n") {
			t.Fatalf("got %q, want a least time of 60", hello)
		}
		d.check(t, "MAIL FROM:<a@b> "+c.params+"\r\n", c.want)
		var got mail.DeliverBy
		if e := d.envelopeOf(); e != nil {
			got = e.DeliverBy
		}
		if got != c.by {
			t.Errorf("%s: got %+v, want %+v", c.params, got, c.by)
		}
	}
}

func TestPriority(t *testing.T) {
	const asked = "-9 -1 0 1 4 5 9"
	for _, c := range []struct {
		name, role, login string
		most              int // of the options
		want              string
	}{
		{"strangers", "mx", "", 9, "-9 -1 0 0 0 0 0"},
		{"accounts", "submission", authPlain, 0, "-9 -1 0 1 4 4 4"},
		{"accounts that may have all", "submission", authPlain, 100, "-9 -1 0 1 4 5 9"},
		{"accounts that may have none", "submission", authPlain, -1, "-9 -1 0 0 0 0 0"},
		{"named clients", "relay", "", 1, "-9 -1 0 1 4 5 9"},
		{"accounts of a relay listener", "relay", authPlain, 1, "-9 -1 0 1 1 1 1"},
	} {
		wants := strings.Fields(c.want)
		for i, p := range strings.Fields(asked) {
			b := &fakeBackend{}
			d := connect(setup{
				Listener: session.Listener{Role: c.role}, implicit: true, backend: b, logins: &fakeLogins{}, options: &Options{MaxPriority: c.most},
			})
			got := d.say(ehlo + c.login + "MAIL FROM:<a@b> MT-PRIORITY=" + p + "\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n.\r\n")
			if len(b.stored) != 1 {
				t.Fatalf("%s, %s: got %q, %d messages", c.name, p, got, len(b.stored))
			}
			if got := strconv.Itoa(int(b.stored[0].envelope.Priority)); got != wants[i] {
				t.Errorf("%s, %s: got %s, want %s", c.name, p, got, wants[i])
			}
			told := strings.Contains(got, "250-2.3.6 "+wants[i]+" is the new priority of the message\r\n250 2.3.6 Message accepted as ")
			if lowered := wants[i] != p; told != lowered || strings.Contains(got, " 2.3.6 ") != lowered {
				t.Errorf("%s, %s: got %q, want it told: %t", c.name, p, got, lowered)
			}
		}
	}
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(ehlo)
	for _, bad := range []string{"", "=", "=10", "=-10", "=+1", "=-0", "=-", "=01", "=x", "=1.0", "=1 MT-PRIORITY=1"} {
		d.check(t, "MAIL FROM:<a@b> MT-PRIORITY"+bad+"\r\n", "501 5.5.4")
	}
}

func TestRequireTLSNeedsTLS(t *testing.T) {
	const mailFrom = "MAIL FROM:<a@b> REQUIRETLS\r\n"
	for _, role := range []string{"mx", "relay"} {
		d := connect(setup{Listener: session.Listener{Role: role, StartTLS: true}, backend: &fakeBackend{}})
		d.check(t, ehlo+mailFrom, "250, 555 5.5.4")
		d.check(t, "STARTTLS\r\n", "220 2.0.0")
		d.check(t, ehlo+"MAIL FROM:<a@b> REQUIRETLS=1\r\nMAIL FROM:<a@b> REQUIRETLS REQUIRETLS\r\n"+mailFrom, "250, 501 5.5.4, 501 5.5.4, 250 2.1.0")
		if e := d.envelopeOf(); !e.RequireTLS {
			t.Errorf("%s: got envelope %+v", role, e)
		}
	}
}

func TestBinaryContentIsTakenAsItIs(t *testing.T) {
	const (
		start  = "MAIL FROM:<a@b> BODY=binarymime\r\nRCPT TO:<alice@example.test>\r\n"
		binary = "a\nb\rc\x00\xff\r"
	)
	long := strings.Repeat("x", 20_000)
	b := &fakeBackend{}
	d := newDriver(b, &Options{Binary: true}, false)
	if got := d.say(ehlo); !strings.Contains(got, "250-CHUNKING\r\n250-BINARYMIME\r\n") {
		t.Errorf("got %q, want it announced", got)
	}
	d.check(t, start+"DATA\r\n", "250 2.1.0, 250 2.1.5, 503 5.5.1")
	d.check(t, "BDAT 8\r\n"+binary+"BDAT 20000 LAST\r\n"+long, "250 2.0.0, 250 2.0.0")
	// Afterwards content is lines again.
	d.check(t, envelope+"BDAT 3 LAST\r\na\nb", "250 2.1.0, 250 2.1.5, 550 5.6.0")
	d.check(t, start+"BDAT 1\r\n\rBDAT 0 LAST\r\n", "250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0")
	if len(b.stored) != 2 || b.stored[0].octets != binary+long || b.stored[0].envelope.Body != mail.BodyBinaryMIME || b.stored[1].octets != "\r" {
		t.Errorf("got %d messages: %+v", len(b.stored), b.stored)
	}
	d.check(t, start+"BDAT 2\r\nxyDATA\r\nRSET\r\n", "250 2.1.0, 250 2.1.5, 250 2.0.0, 503 5.5.1, 250 2.0.0")

	without := newDriver(&fakeBackend{}, nil, false)
	if got := without.say(ehlo); strings.Contains(got, "BINARYMIME") {
		t.Errorf("got %q, want no word of it", got)
	}
	without.check(t, start, "555 5.6.1, 503 5.5.1")
}

func TestBinaryContentHasALimit(t *testing.T) {
	b := &fakeBackend{}
	d := newDriver(b, &Options{Binary: true, MaxSize: 100}, false)
	d.say(ehlo)
	d.check(t, "MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<alice@example.test>\r\nBDAT 60\r\n"+strings.Repeat("\n", 60)+"BDAT 60 LAST\r\n"+strings.Repeat("\n", 60),
		"250 2.1.0, 250 2.1.5, 250 2.0.0, 552 5.3.4")
	if len(b.stored) != 0 || b.open != 0 {
		t.Errorf("got %d messages, %d open", len(b.stored), b.open)
	}
}

func TestOriginalRecipientIsDecoded(t *testing.T) {
	for _, c := range []struct {
		value       string
		ascii, utf8 string // without SMTPUTF8 and with it; empty: refused
	}{
		{"rfc822;a+2Bb@x.example", "rfc822;a+b@x.example", "rfc822;a+b@x.example"},
		{`rfc822;a\x{FC}@x.example`, `rfc822;a\x{FC}@x.example`, `rfc822;a\x{FC}@x.example`},
		{"rfc822;\u00fc@x.example", "", ""},
		{"rfc822;+C3+BC@x.example", "", ""},

		// utf-8-addr-xtext, which is ASCII.
		{`utf-8;\x{FC}@x.example`, "utf-8;\u00fc@x.example", "utf-8;\u00fc@x.example"},
		{`UTF-8;\x{fc}\x{4E2D}\x{1F4E7}@x.example`, "UTF-8;\u00fc\u4e2d\U0001f4e7@x.example", "UTF-8;\u00fc\u4e2d\U0001f4e7@x.example"},
		{`utf-8;a\x{2B}b\x{3D}c\x{5C}d\x{20}e@x.example`, `utf-8;a+b=c\d e@x.example`, `utf-8;a+b=c\d e@x.example`},
		{"utf-8;plain@x.example", "utf-8;plain@x.example", "utf-8;plain@x.example"},
		{`utf-8;\x{10FFFF}@x`, "utf-8;\U0010ffff@x", "utf-8;\U0010ffff@x"},
		{"utf-8;a+2Bb@x.example", "utf-8;a+b@x.example", "utf-8;a+b@x.example"}, // xtext, which older software writes

		// utf-8-addr-unitext and utf-8-address, which have UTF-8 in them.
		{"utf-8;\u00fc\\x{3D}\\x{4E2D}@x.example", "", "utf-8;\u00fc=\u4e2d@x.example"},
		{"utf-8;\u00fc@\u4e2d.example", "", "utf-8;\u00fc@\u4e2d.example"},
		{"utf-8;+C3+BC@x.example", "", "utf-8;\u00fc@x.example"},

		// In none of the three: passed on as it is.
		{`utf-8;a\b@x`, `utf-8;a\b@x`, `utf-8;a\b@x`},
		{`utf-8;\x{41}@x`, `utf-8;\x{41}@x`, `utf-8;\x{41}@x`},
		{`utf-8;\x{0FC}@x`, `utf-8;\x{0FC}@x`, `utf-8;\x{0FC}@x`},
		{`utf-8;\x{D800}@x`, `utf-8;\x{D800}@x`, `utf-8;\x{D800}@x`},
		{`utf-8;\x{110000}@x`, `utf-8;\x{110000}@x`, `utf-8;\x{110000}@x`},
		{`utf-8;\x{1234567}@x`, `utf-8;\x{1234567}@x`, `utf-8;\x{1234567}@x`},
		{`utf-8;\x{FC@x`, `utf-8;\x{FC@x`, `utf-8;\x{FC@x`},
		{`utf-8;\X{FC}@x`, `utf-8;\X{FC}@x`, `utf-8;\X{FC}@x`},

		// Nothing that could break a header.
		{`utf-8;a\x{0D}\x{0A}b@x`, "", ""},
		{`utf-8;a\x{85}b@x`, "", ""},
		{`utf-8;a\x{7F}b@x`, "", ""},
		{`utf-8;a+0Ab@x`, "", ""},
		{`utf-8;\x{+FC}@x`, "", ""},
		{"utf-8;", "", ""},
	} {
		for _, eai := range []bool{false, true} {
			want := c.ascii
			if eai {
				want = c.utf8
			}
			var r mail.Recipient
			bad := setORcpt(&r, c.value, eai)
			if r.ORcpt != want || (bad != nil) != (want == "") {
				t.Errorf("%q, SMTPUTF8 %t: got %q, %v, want %q", c.value, eai, r.ORcpt, bad, want)
			}
		}
	}
}

func FuzzUnitext(f *testing.F) {
	for _, s := range []string{"", "a", `\`, `\x`, `\x{`, `\x{}`, `\x{FC}`, `a\x{2B}b`, `\x{fc}`, `\x{41}`, `\x{0A}`, "a+2Bb", "\u00fc", `\\x{FC}`, `\x{FC}\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, ok := decodeUnitext(s)
		if ok && (len(text) > len(s) || strings.IndexByte(s, '\\') < 0 && text != s) {
			t.Errorf("%q: got %q", s, text)
		}
	})
}

func FuzzParseBy(f *testing.F) {
	for _, s := range []string{"0", "-0", "+1", "-999999999", "1000000000", "--1", "", "-", "1x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		left, ok := parseBy(s)
		if ok && (left < -longestBy || left > longestBy || len(s) > maxByDigits+1 || (left < 0) != (s[0] == '-' && strings.Trim(s, "-0") != "")) {
			t.Errorf("%q: got %s", s, left)
		}
	})
}

// FuzzOriginalRecipientGoesOn holds that an original recipient which a client sends
// on is for the next server the one that it was for us.
func FuzzOriginalRecipientGoesOn(f *testing.F) {
	for _, s := range []string{"rfc822;a+2Bb@x", `utf-8;\x{FC}@x`, "utf-8;\u00fc@x", `utf-8;a\x{3D}b@x`, `utf-8;a\b@x`, "x400;/a+3Db/"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, eai bool) {
		var first, second mail.Recipient
		if strings.ContainsAny(s, " \t\r\n") || setORcpt(&first, s, eai) != nil || strings.Contains(first.ORcpt, `\x{`) {
			return // what looks encoded and isn't is passed on as it looks
		}
		sent := string(appendORcpt(nil, first.ORcpt, eai))
		if sent == "" {
			return // it has become too long
		}
		value, ok := strings.CutPrefix(sent, " ORCPT=")
		if bad := setORcpt(&second, value, eai); !ok || bad != nil || second != first {
			t.Errorf("%q is %q; sent as %q, it is %q, %v", s, first.ORcpt, sent, second.ORcpt, bad)
		}
	})
}
