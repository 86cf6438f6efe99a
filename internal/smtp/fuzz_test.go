package smtp

import (
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// FuzzSession gives a session whatever octets there are, through a driver that
// obeys every step, cut into pieces at places that don't matter.
func FuzzSession(f *testing.F) {
	for _, s := range scripts {
		if len(s.in) < 4096 {
			f.Add([]byte(s.in), s.teach, uint16(7))
		}
	}
	for _, ending := range smugglingEndings {
		f.Add([]byte(ehlo+envelope+"DATA\r\na"+ending+"MAIL FROM:<>\r\n"), false, uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, teach bool, piece uint16) {
		whole, messages := fuzzOnce(t, in, teach, len(in)+1)
		if piece == 0 {
			return
		}
		pieces, again := fuzzOnce(t, in, teach, int(piece))
		if whole != pieces || messages != again {
			t.Errorf("cut into pieces of %d it is answered\n%q (%d messages), whole\n%q (%d messages)", piece, pieces, again, whole, messages)
		}
	})
}

// fuzzOnce runs a session over in, in pieces, and checks what must always hold.
func fuzzOnce(t *testing.T, in []byte, teach bool, piece int) (codesOf string, messages int) {
	b := &fakeBackend{verified: []string{"Alice <alice@example.test>"}}
	d := newDriver(b, &Options{MaxSize: 1000, MaxRecipients: 3, MaxTransactions: 5, MaxJunk: 50}, teach)
	for len(in) > 0 && !d.closed {
		n := min(piece, len(in))
		d.feed(in[:n])
		in = in[n:]
	}
	if err := wellFormed(d.out.String()); err != nil {
		t.Error(err)
	}
	if !d.closed {
		if tx := d.session.(*server).tx; tx != nil && len(tx.Envelope.Recipients) > 3 {
			t.Errorf("got %d recipients, want 3 at most", len(tx.Envelope.Recipients))
		}
		d.take(d.session.Event(session.Timeout))
	}
	if b.open != 0 {
		t.Errorf("%d contents are left open", b.open)
	}
	for _, m := range b.stored {
		if len(m.octets) > 1000 || len(m.envelope.Recipients) == 0 {
			t.Errorf("stored %d octets for %d recipients", len(m.octets), len(m.envelope.Recipients))
		}
		if rest := strings.ReplaceAll(m.octets, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
			t.Errorf("stored a message with a bare CR or LF: %q", m.octets)
		}
	}
	return codes(d.out.String()), len(b.stored)
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"SIZE=1 BODY=8BITMIME", "RET=HDRS ENVID=a+2Bb SMTPUTF8", "NOTIFY=NEVER", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b", "ORCPT=utf-8;\u00fc"} {
		f.Add(s, true)
	}
	d := newDriver(&fakeBackend{}, &Options{MaxHold: time.Hour}, false)
	f.Fuzz(func(t *testing.T, s string, eai bool) {
		tx := &transaction{of: d.session.(*server)}
		e := &tx.Envelope
		if parseParams(s, mailParams, tx, eai) == nil && (e.Size < 0 || !isPrintable(e.EnvID) || len(e.EnvID) > maxEnvID) {
			t.Errorf("%q: got %+v", s, e)
		}
		if until := testTime.Add(time.Hour); e.Hold.After(until) || !e.Hold.IsZero() && e.Hold.Before(testTime) {
			t.Errorf("%q: held until %s, want none before %s and none after %s", s, e.Hold, testTime, until)
		}
		var r mail.Recipient
		if parseParams(s, rcptParams, &r, eai) != nil {
			return
		}
		if hasControl(r.ORcpt) || !eai && !isPrintable(r.ORcpt) || len(r.ORcpt) > maxORcpt || r.Notify > 2*mail.NotifyDelay-1 {
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
