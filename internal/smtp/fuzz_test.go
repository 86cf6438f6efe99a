package smtp

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// What a fuzzed listener is, as bits.
const (
	fuzzTeach = 1 << iota
	fuzzSubmission
	fuzzImplicit
	fuzzStartTLS // the input must not be cut: what follows STARTTLS is dropped
	fuzzTrusted
	fuzzPlaintext
	fuzzRelay
	fuzzBinary // the backend takes BINARYMIME, and there is a Turner
)

// FuzzSession gives a session whatever octets there are, through a driver that
// obeys every step, cut into pieces at places that don't matter.
func FuzzSession(f *testing.F) {
	for _, s := range scripts {
		kind := uint8(0)
		if s.teach {
			kind = fuzzTeach
		}
		if len(s.in) < 4096 {
			f.Add([]byte(s.in), kind, uint16(7))
		}
	}
	for _, s := range loginScripts {
		if len(s.in) < 4096 {
			f.Add([]byte(s.in), uint8(fuzzSubmission|fuzzImplicit), uint16(7))
			f.Add([]byte(s.in), uint8(fuzzSubmission|fuzzStartTLS|fuzzPlaintext|fuzzTeach), uint16(0))
		}
	}
	f.Add([]byte(ehlo+"STARTTLS\r\n"+ehlo+authPlain), uint8(fuzzSubmission|fuzzStartTLS), uint16(0))
	f.Add([]byte(ehlo+envelope+"DATA\r\n.\r\n"), uint8(fuzzSubmission|fuzzTrusted), uint16(1))
	f.Add([]byte(ehlo+authPlain+"ATRN a.example,b.example\r\n220 x\r\n250 x\r\n"), uint8(fuzzSubmission|fuzzImplicit|fuzzBinary), uint16(3))
	f.Add([]byte(ehlo+"ETRN @a.example\r\nETRN #q\r\n"+authPlain+"MAIL FROM:<> MT-PRIORITY=9 BY=60;R REQUIRETLS\r\n"), uint8(fuzzRelay|fuzzImplicit|fuzzBinary), uint16(3))
	f.Add([]byte(ehlo+"MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<a@example.test> ORCPT=utf-8;\\x{FC}\r\nDATA\r\nBDAT 3\r\n\r\x00\nBDAT 0 LAST\r\n"), uint8(fuzzBinary), uint16(2))
	for _, ending := range smugglingEndings {
		f.Add([]byte(ehlo+envelope+"DATA\r\na"+ending+"MAIL FROM:<>\r\n"), uint8(0), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, kind uint8, piece uint16) {
		whole, messages := fuzzOnce(t, in, kind, len(in)+1)
		if piece == 0 || kind&fuzzStartTLS != 0 {
			return
		}
		pieces, again := fuzzOnce(t, in, kind, int(piece))
		if whole != pieces || messages != again {
			t.Errorf("cut into pieces of %d it is answered\n%q (%d messages), whole\n%q (%d messages)", piece, pieces, again, whole, messages)
		}
	})
}

// fuzzOnce runs a session over in, in pieces, and checks what must always hold.
func fuzzOnce(t *testing.T, in []byte, kind uint8, piece int) (codesOf string, messages int) {
	b := &fakeBackend{verified: []string{"Alice <alice@example.test>"}}
	d := fuzzConnect(b, kind)
	for len(in) > 0 && !d.closed {
		n := min(piece, len(in))
		d.feed(in[:n])
		in = in[n:]
	}
	if _, serves := d.session.(*server); serves { // and has not been turned round
		if err := wellFormed(d.out.String()); err != nil {
			t.Error(err)
		}
	}
	if !d.closed {
		if s, ok := d.session.(*server); ok && s.tx != nil && len(s.tx.Envelope.Recipients) > 3 {
			t.Errorf("got %d recipients, want 3 at most", len(s.tx.Envelope.Recipients))
		}
		d.take(d.session.Event(session.Timeout))
	}
	if b.open != 0 {
		t.Errorf("%d contents are left open", b.open)
	}
	for _, m := range b.stored {
		if nobody := m.client.Account == 0; m.client.Role != "relay" && nobody != (m.client.Role == "mx") {
			t.Errorf("stored a message of account %d, as %s", m.client.Account, m.client.Role)
		}
		if m.client.Role == "mx" && m.envelope.Priority > 0 {
			t.Errorf("stored a stranger's message with priority %d", m.envelope.Priority)
		}
		if m.envelope.RequireTLS && m.client.TLS == "" {
			t.Error("stored a message with REQUIRETLS that came without TLS")
		}
		if len(m.octets) > 1000 || len(m.envelope.Recipients) == 0 {
			t.Errorf("stored %d octets for %d recipients", len(m.octets), len(m.envelope.Recipients))
		}
		binary := m.envelope.Body == mail.BodyBinaryMIME && kind&fuzzBinary != 0
		if rest := strings.ReplaceAll(m.octets, "\r\n", ""); !binary && strings.ContainsAny(rest, "\r\n") {
			t.Errorf("stored a message with a bare CR or LF: %q", m.octets)
		}
	}
	return codes(d.out.String()), len(b.stored)
}

func fuzzConnect(b Backend, kind uint8) *driver {
	f := &fakeLogins{}
	if kind&fuzzTrusted != 0 {
		f.trusted = sasl.Identity{Account: aliceAccount, Address: aliceAddress}
	}
	l := session.Listener{Role: "mx", Teach: kind&fuzzTeach != 0, StartTLS: kind&fuzzStartTLS != 0, PlaintextAuth: kind&fuzzPlaintext != 0}
	if kind&fuzzSubmission != 0 {
		l.Role = "submission"
	}
	if kind&fuzzRelay != 0 {
		l.Role = "relay"
	}
	o := &Options{MaxSize: 1000, MaxRecipients: 3, MaxTransactions: 5, MaxJunk: 50, MaxHold: time.Hour}
	if kind&fuzzBinary != 0 {
		o.Binary, o.Turner = true, &fakeTurner{waiting: 3, next: &fakeSender{}}
	}
	return connect(setup{Listener: l, backend: b, logins: f, implicit: kind&fuzzImplicit != 0, options: o})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"SIZE=1 BODY=8BITMIME", "RET=HDRS ENVID=a+2Bb SMTPUTF8", "NOTIFY=NEVER", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b", "ORCPT=utf-8;\u00fc", "AUTH=<> HOLDFOR=60", "BY=-1;NT MT-PRIORITY=-9 REQUIRETLS", "BY=60;R MT-PRIORITY=9 HOLDFOR=61", "ORCPT=utf-8;a\\x{FC}\\x{2B}", "HOLDUNTIL=2026-11-22T10:30:00Z AUTH=a+2Bb@c"} {
		f.Add(s, true)
	}
	d := submit(&fakeLogins{}, &Options{MaxHold: time.Hour})
	f.Fuzz(func(t *testing.T, s string, eai bool) {
		tx := &transaction{of: d.session.(*server)}
		e := &tx.Envelope
		if parseParams(tx.of, s, mailParams, tx, eai) == nil && (e.Size < 0 || !isPrintable(e.EnvID) || len(e.EnvID) > maxEnvID) {
			t.Errorf("%q: got %+v", s, e)
		}
		if e.Priority < mail.MinPriority || e.Priority > mail.MaxPriority || e.DeliverBy.Mode == mail.ByReturn && !e.DeliverBy.Deadline.IsZero() && !e.DeliverBy.Deadline.After(testTime) {
			t.Errorf("%q: got %+v", s, e)
		}
		if until := testTime.Add(time.Hour); e.Hold.After(until) || !e.Hold.IsZero() && e.Hold.Before(testTime) {
			t.Errorf("%q: held until %s, want none before %s and none after %s", s, e.Hold, testTime, until)
		}
		var r mail.Recipient
		if parseParams(tx.of, s, rcptParams, &r, eai) != nil {
			return
		}
		kind, _, _ := strings.Cut(r.ORcpt, ";")
		if hasControl(r.ORcpt) || !utf8.ValidString(r.ORcpt) || !strings.EqualFold(kind, utf8Type) && !isPrintable(r.ORcpt) || len(r.ORcpt) > maxORcpt || r.Notify > 2*mail.NotifyDelay-1 {
			t.Errorf("%q: got %+v", s, r)
		}
	})
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"", "abc", "a+2Bb", "+", "+2", "+2b", "a=b", "+00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, ok := decodeXtext(s)
		if ok && len(text)+2*strings.Count(s, "+") != len(s) {
			t.Errorf("%q: got %q", s, text)
		}
	})
}

func FuzzParseChunk(f *testing.F) {
	for _, s := range []string{"0", "86 LAST", "-1", "9223372036854775808", "1 last", "1  LAST", "1 FIRST"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		c, counted, _ := parseChunk(arg)
		if c.octets < 0 || counted && (len(arg) == 0 || arg[0] < '0' || arg[0] > '9') {
			t.Errorf("%q: got %+v, %t", arg, c, counted)
		}
	})
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"", "=", "====", "YQ==", "YR==", "YWI=", "YWJj", "YQ=\n=", "Y Q=", "YQ", alicePlain} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		octets, ok := decodeBase64(text)
		if ok && (octets == nil || b64(string(octets)) != string(text)) {
			t.Errorf("%q: got %q", text, octets)
		}
	})
}
