package smtp

import (
	"runtime"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/session"
)

// hello, and an envelope with one recipient.
const (
	ehlo     = "EHLO c.example\r\n"
	envelope = "MAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@example.test>\r\n"
)

// scripts are what a client sends and the codes of the answers.
var scripts = []struct {
	name  string
	teach bool
	in    string
	want  string
	kept  int // messages
}{
	{
		name: "a whole session", in: ehlo + envelope + "DATA\r\nSubject: hi\r\n\r\nhello\r\n.\r\nQUIT\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 221 2.0.0", kept: 1,
	},
	{
		name: "two messages", in: ehlo + envelope + "DATA\r\n.\r\n" + envelope + "DATA\r\n.\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0", kept: 2,
	},
	{
		name: "HELO in lower case", in: "helo c\r\nmail from: <b@example.org>\r\nrcpt to: alice@example.test\r\ndata\r\n.\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0", kept: 1,
	},
	{
		name: "by hand, without HELO", teach: true, in: "mail from:bob@example.org\nrcpt to:alice@example.test\r\ndata\r\n.\r\n",
		want: "250 2.1.0, 250 2.1.5, 354, 250 2.0.0", kept: 1,
	},
	{name: "without HELO on a strict listener", in: envelope + "DATA\r\n", want: "503 5.5.1, 503 5.5.1, 503 5.5.1"},
	{
		name: "null reverse-path", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n.\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0", kept: 1,
	},
	{name: "EHLO drops the transaction", in: ehlo + envelope + ehlo + "DATA\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250, 503 5.5.1"},
	{name: "RSET drops the transaction", in: ehlo + envelope + "RSET\r\nDATA\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 503 5.5.1"},
	{
		name: "a refused EHLO changes nothing", in: ehlo + envelope + "EHLO <x>\r\nDATA\r\n.\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 501 5.5.4, 354, 250 2.0.0", kept: 1,
	},
	{
		name: "nested MAIL", in: ehlo + envelope + "MAIL FROM:<x@example.org>\r\nDATA\r\n.\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 503 5.5.1, 354, 250 2.0.0", kept: 1,
	},
	{
		name: "one known and one unknown recipient", in: ehlo + envelope + "RCPT TO:<unknown@example.test>\r\nDATA\r\n.\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 550 5.1.1, 354, 250 2.0.0", kept: 1,
	},
	{
		name: "recipients' verdicts", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<full@example.test>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<own@example.test>\r\n",
		want: "250, 250 2.1.0, 452 4.2.2, 550 5.7.1, 550 5.7.1",
	},
	{name: "a backend that says 421", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<go@example.test>\r\nNOOP\r\n", want: "250, 250 2.1.0, 421 4.7.0"},
	{name: "DATA without a recipient tried", in: ehlo + "MAIL FROM:<>\r\nDATA\r\n", want: "250, 250 2.1.0, 503 5.5.1"},
	{
		name: "all recipients refused, pipelined", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<unknown@example.test>\r\nDATA\r\nRSET\r\nNOOP\r\n",
		want: "250, 250 2.1.0, 550 5.1.1, 554 5.5.1, 250 2.0.0, 250 2.0.0",
	},
	{
		name: "no second message after the first", in: ehlo + envelope + "DATA\r\n.\r\nDATA\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 503 5.5.1", kept: 1,
	},
	{name: "after QUIT nothing is read", in: "QUIT\r\nNOOP\r\n", want: "221 2.0.0"},
	{name: "trailing white space", in: "EHLO c.example \t\r\nNOOP   \r\n", want: "250, 250 2.0.0"},
	{
		name: "obsolete and absent commands", in: ehlo + "SEND FROM:<a@b>\r\nSOML FROM:<a@b>\r\nSAML FROM:<a@b>\r\nTURN\r\nSTARTTLS\r\nAUTH PLAIN AGEAYg==\r\nETRN x.example\r\nATRN x.example\r\n",
		want: "250, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1",
	},

	// Names of hosts.
	{name: "HELO without a name", in: "HELO\r\nEHLO \r\n", want: "501 5.5.4, 501 5.5.4"},
	{
		name: "malformed but harmless names", in: "HELO my_pc\r\nHELO [::1]\r\nHELO host..x\r\nHELO -x-\r\nHELO [192.0.2.1]\r\nHELO a b\r\n",
		want: "250, 250, 250, 250, 250, 250",
	},
	{
		name: "harmful names", in: "HELO (x)\r\nHELO a;b\r\nHELO \"x\"\r\nHELO x@y\r\nHELO " + strings.Repeat("a", 256) + "\r\n",
		want: "501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4",
	},
	{name: "controls in names", in: "HELO a\x01b\r\nHELO a\x00\r\nEHLO \xff\r\nEHLO \u00fc\r\n", want: "500 5.5.2, 500 5.5.2, 500 5.5.2, 500 5.5.2"},

	// Lines.
	{name: "unknown", in: "XYZZY\r\n\r\n  \r\n", want: "500 5.5.2, 500 5.5.2, 500 5.5.2"},
	{name: "bare LF on a strict listener", in: "NOOP\nNOOP\r\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
	{name: "bare CR on a strict listener", in: "NOOP\rNOOP\r\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
	{name: "bare LF and CR on a teach listener", teach: true, in: "NOOP\nNO\rOP\r\nNOOP\r\x00", want: "250 2.0.0, 250 2.0.0, 250 2.0.0"},
	{name: "lines of 512 and 513", in: noop(512) + noop(513), want: "250 2.0.0, 250 2.0.0"},
	{name: "lines of 2048 and 2049", in: noop(2048) + noop(2049) + noop(10), want: "250 2.0.0, 500 5.5.2, 250 2.0.0"},
	{name: "1 MB without LF", in: strings.Repeat("x", 1<<20) + "\r\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
	{name: "a line without end", in: strings.Repeat("x", 3<<20) + "\r\nNOOP\r\n", want: "500 5.5.2, 421 4.5.2"},
	{name: "NUL and 8-bit octets", in: "NO\x00OP\r\nN\xd6OP\r\nNOOP \xd6\r\nVRFY \xd6\r\n", want: "500 5.5.2, 500 5.5.2, 500 5.5.2, 501 5.5.2"},
	{name: "HTTP on a strict listener", in: "GET / HTTP/1.1\r\nHost: x\r\nMAIL FROM:<a@b>\r\n", want: "421 4.7.0"},
	{name: "HTTP field on a strict listener", in: "Host: x\r\n", want: "421 4.7.0"},
	{name: "browser on a teach listener", teach: true, in: "POST / HTTP/1.1\r\nHost: x\r\nMAIL FROM:<a@b>\r\n", want: "500 5.5.2, 421 4.7.0"},
	{name: "HTTP on a teach listener", teach: true, in: "GET / HTTP/1.1\r\nNOOP\r\n", want: "500 5.5.2, 250 2.0.0"},
	{name: "telnet options on a strict listener", in: "\xff\xfb\x01NOOP\r\n", want: "500 5.5.2"},

	// Paths and parameters.
	{name: "source route", in: ehlo + "MAIL FROM:<@a.example,@b.example:c@example.org>\r\nRCPT TO:<@x:alice@example.test>\r\n", want: "250, 250 2.1.0, 250 2.1.5"},
	{
		name: "bad senders", in: ehlo + "MAIL FROM:\r\nMAIL FROM:<Postmaster>\r\nMAIL FROM:<a@>\r\nMAIL FROM:<a@b\r\nMAIL FROM:<a b@c>\r\nMAIL FROM <a@b>\r\nMAIL\r\nMAIL TO:<a@b>\r\n",
		want: "250, 501 5.1.7, 501 5.1.7, 501 5.1.7, 501 5.1.7, 501 5.1.7, 501 5.5.4, 501 5.5.4, 501 5.5.4",
	},
	{
		name: "bad recipients", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<;for i in 0 1;do echo;done>\r\nRCPT TO:<\"a@b>\r\nRCPT TO:a\r\n",
		want: "250, 250 2.1.0, 501 5.1.3, 501 5.1.3, 501 5.1.3, 501 5.1.3",
	},
	{
		name: "local part of 64 and 65 octets", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<" + strings.Repeat("a", 64) + "@example.test>\r\nRCPT TO:<" + strings.Repeat("a", 65) + "@example.test>\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 501 5.1.3",
	},
	{name: "MAIL's parameters", in: ehlo + "MAIL FROM:<a@b> size=100 BODY=8bitmime RET=hdrs ENVID=x+2By SMTPUTF8\r\n", want: "250, 250 2.1.0"},
	{
		name: "bad parameters", in: ehlo + "MAIL FROM:<a@b> SIZE=\r\nMAIL FROM:<a@b> SIZE=-1\r\nMAIL FROM:<a@b> SIZE\r\nMAIL FROM:<a@b> SIZE=1=2\r\nMAIL FROM:<a@b> BODY=9BIT\r\n" +
			"MAIL FROM:<a@b> SMTPUTF8=1\r\nMAIL FROM:<a@b> RET=ALL\r\nMAIL FROM:<a@b> ENVID=+2b\r\nMAIL FROM:<a@b> ENVID=+00\r\nMAIL FROM:<a@b>SIZE=1\r\n",
		want: "250, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.1.7",
	},
	{
		name: "repeated and unknown parameters", in: ehlo + "MAIL FROM:<a@b> SIZE=1 SIZE=1\r\nMAIL FROM:<a@b> AUTH=<>\r\nMAIL FROM:<a@b> NOTIFY=NEVER\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\n",
		want: "250, 501 5.5.4, 555 5.5.4, 555 5.5.4, 555 5.6.1",
	},
	{
		name: "RCPT's parameters", in: ehlo + "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test> NOTIFY=success,DELAY ORCPT=rfc822;Alice+40example.test\r\n",
		want: "250, 250 2.1.0, 250 2.1.5",
	},
	{
		name: "bad parameters of RCPT", in: ehlo + "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test> NOTIFY=NEVER,DELAY\r\nRCPT TO:<alice@example.test> NOTIFY=\r\n" +
			"RCPT TO:<alice@example.test> NOTIFY=SUCCESS,\r\nRCPT TO:<alice@example.test> ORCPT=alice\r\nRCPT TO:<alice@example.test> ORCPT=rfc822;a+0A\r\n" +
			"RCPT TO:<alice@example.test> NOTIFY=NEVER NOTIFY=NEVER\r\nRCPT TO:<alice@example.test> SIZE=1\r\nDATA\r\n",
		want: "250, 250 2.1.0, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 555 5.5.4, 554 5.5.1",
	},
	{
		name: "SIZE too large", in: ehlo + "MAIL FROM:<a@b> SIZE=52428800\r\nRSET\r\nMAIL FROM:<a@b> SIZE=52428801\r\nMAIL FROM:<a@b> SIZE=1" + strings.Repeat("0", 30) + "\r\n",
		want: "250, 250 2.1.0, 250 2.0.0, 552 5.3.4, 552 5.3.4",
	},
	{
		name: "UTF-8 without SMTPUTF8", in: ehlo + "MAIL FROM:<\u00fc@example.org>\r\nMAIL FROM:<a@\u00fc.example>\r\nMAIL FROM:<>\r\nRCPT TO:<\u00fc@example.test>\r\n",
		want: "250, 553 5.6.7, 553 5.6.7, 250 2.1.0, 553 5.6.7",
	},
	{
		name: "UTF-8 with SMTPUTF8", in: ehlo + "MAIL FROM:<\u00fc@\u00fc.example> SMTPUTF8\r\nRCPT TO:<\u00fc@example.test> ORCPT=utf-8;\u00fc@example.test\r\nRCPT TO:<\xff@example.test>\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 501 5.5.2",
	},

	// VRFY, EXPN.
	{name: "VRFY on a strict listener", in: "VRFY alice\r\nEXPN staff\r\nVRFY\r\n", want: "252 2.0.0, 252 2.0.0, 501 5.5.4"},
	{name: "VRFY on a teach listener", teach: true, in: "VRFY alice\r\nEXPN staff SMTPUTF8\r\nVRFY nobody\r\n", want: "250 2.1.5, 250 2.1.5, 550 5.1.1"},

	// Data.
	{name: "bare LF in data", in: ehlo + envelope + "DATA\r\na\nb\r\n.\r\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 354, 550 5.6.0, 250 2.0.0"},
	{name: "bare CR in data", in: ehlo + envelope + "DATA\r\na\rb\r\n.\r\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 354, 550 5.6.0, 250 2.0.0"},
	{
		name: "DATA from a client that has only LF", teach: true, in: "HELO c\n" + strings.ReplaceAll(envelope, "\r", "") + "DATA\nNOOP\n",
		want: "250, 250 2.1.0, 250 2.1.5, 554 5.5.2, 250 2.0.0",
	},
	{
		name: "DATA from a client that has CR NUL", teach: true, in: "HELO c\r\x00" + strings.ReplaceAll(envelope, "\n", "\x00") + "DATA\r\x00NOOP\r\x00",
		want: "250, 250 2.1.0, 250 2.1.5, 554 5.5.2, 250 2.0.0",
	},
	{
		name: "DATA from a client that has CR CR LF", teach: true, in: "HELO c\r\r\n" + strings.ReplaceAll(envelope, "\r", "\r\r") + "DATA\r\r\nNOOP\r\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 554 5.5.2, 250 2.0.0",
	},

	// BDAT.
	{name: "one chunk", in: ehlo + envelope + "BDAT 5 LAST\r\na\r\n\r\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0", kept: 1},
	{name: "chunks that part CR and LF", in: ehlo + envelope + "BDAT 2\r\na\rBDAT 1 last\r\n\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0, 250 2.0.0", kept: 1},
	{name: "zero-length LAST", in: ehlo + envelope + "BDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0, 250 2.0.0", kept: 1},
	{name: "nothing but a zero-length LAST", in: ehlo + envelope + "BDAT 0 LAST\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0", kept: 1},
	{name: "zero-length chunk", in: ehlo + envelope + "BDAT 0\r\nBDAT 0 LAST\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0", kept: 1},
	{name: "bare LF in a chunk", in: ehlo + envelope + "BDAT 3\r\na\nbBDAT 1 LAST\r\ncNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 550 5.6.0, 250 2.0.0"},
	{name: "CR at the end of chunks", in: ehlo + envelope + "BDAT 3 LAST\r\nab\rNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 550 5.6.0, 250 2.0.0"},
	{name: "bare CR between chunks", in: ehlo + envelope + "BDAT 3\r\nab\rBDAT 1 LAST\r\ncNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 550 5.6.0, 250 2.0.0"},
	{name: "BDAT without a recipient tried", in: ehlo + "MAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", want: "250, 250 2.1.0, 503 5.5.1, 250 2.0.0"},
	{
		name: "BDAT after failed recipients", in: ehlo + "MAIL FROM:<>\r\nRCPT TO:<unknown@example.test>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n" + envelope,
		want: "250, 250 2.1.0, 550 5.1.1, 554 5.5.1, 503 5.5.1, 250 2.1.0, 250 2.1.5",
	},
	{name: "BDAT without MAIL", in: "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", want: "503 5.5.1, 250 2.0.0"},
	{name: "BDAT after LAST", in: ehlo + envelope + "BDAT 0 LAST\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 503 5.5.1, 250 2.0.0", kept: 1},
	{
		name: "RSET between chunks", in: ehlo + envelope + "BDAT 1\r\nxRSET\r\n" + envelope + "BDAT 0 LAST\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.0.0, 250 2.1.0, 250 2.1.5, 250 2.0.0", kept: 1,
	},
	{
		name: "other commands between chunks", in: ehlo + envelope + "BDAT 1\r\nxRCPT TO:<a@example.test>\r\nMAIL FROM:<>\r\nDATA\r\nNOOP\r\nBDAT 0 LAST\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 503 5.5.1, 503 5.5.1, 503 5.5.1, 250 2.0.0, 250 2.0.0", kept: 1,
	},
	{
		name: "BDAT with an unknown word", in: ehlo + envelope + "BDAT 6 FIRST\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\n",
		want: "250, 250 2.1.0, 250 2.1.5, 501 5.5.4, 503 5.5.1, 250 2.1.0",
	},
	{name: "BDAT negative", in: ehlo + envelope + "BDAT -5\r\nQUIT\r\n", want: "250, 250 2.1.0, 250 2.1.5, 501 5.5.4, 421 4.5.2"},
	{name: "BDAT not a number", in: ehlo + envelope + "BDAT ten LAST\r\nQUIT\r\n", want: "250, 250 2.1.0, 250 2.1.5, 501 5.5.4, 421 4.5.2"},
	{name: "BDAT 2^63", in: ehlo + envelope + "BDAT 9223372036854775808\r\nQUIT\r\n", want: "250, 250 2.1.0, 250 2.1.5, 552 5.3.4, 421 4.5.2"},
	{name: "BDAT ended by LF alone on a strict listener", in: ehlo + envelope + "BDAT 6 LAST\nQUIT\r\nNOOP\r\n", want: "250, 250 2.1.0, 250 2.1.5, 500 5.5.2, 421 4.5.2"},
}

// noop returns a NOOP line of n octets with its CRLF.
func noop(n int) string { return "NOOP " + strings.Repeat("x", n-7) + "\r\n" }

func TestScripts(t *testing.T) {
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			checkScript(t, s.in, s.teach, s.want, s.kept, len(s.in))
			if len(s.in) < 4096 {
				checkScript(t, s.in, s.teach, s.want, s.kept, 1)
			}
		})
	}
}

// checkScript sends a script in pieces of some octets.
func checkScript(t *testing.T, in string, teach bool, want string, kept, piece int) {
	t.Helper()
	b := &fakeBackend{verified: []string{"Alice <alice@example.test>"}}
	d := newDriver(b, nil, teach)
	d.out.Reset()
	for len(in) > 0 {
		n := min(piece, len(in))
		d.feed([]byte(in[:n]))
		in = in[n:]
	}
	got := d.out.String()
	if codes(got) != want {
		t.Errorf("in pieces of %d: got\n%s (%.400q), want\n%s", piece, codes(got), got, want)
	}
	if err := wellFormed(got); err != nil {
		t.Error(err)
	}
	if len(b.stored) != kept {
		t.Errorf("got %d messages, want %d", len(b.stored), kept)
	}
	d.end()
	if b.open != 0 {
		t.Errorf("%d contents are left open", b.open)
	}
}

func TestEnvelopeReachesTheBackend(t *testing.T) {
	b := &fakeBackend{}
	d := newDriver(b, nil, false)
	d.check(t, "EHLO Client.Example\r\n"+
		"MAIL FROM:<Bob@EXAMPLE.org> SIZE=42 BODY=8BITMIME RET=FULL ENVID=QQ+2B1 SMTPUTF8\r\n"+
		"RCPT TO:<\"a b\"@example.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;A+2BB@example.test\r\n"+
		"RCPT TO:<postMASTER>\r\nDATA\r\n..x\r\n.\r\n",
		"250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0")
	if len(b.stored) != 1 {
		t.Fatalf("got %d messages, want 1", len(b.stored))
	}
	got := b.stored[0]
	e := got.envelope
	if e.From != (mail.Address{Local: "Bob", Domain: "example.org"}) || e.Size != 42 || e.Body != mail.Body8BitMIME ||
		e.Ret != mail.RetFull || e.EnvID != "QQ+1" || !e.SMTPUTF8 || !e.ID.Time().Equal(testTime) {
		t.Errorf("got envelope %+v", e)
	}
	want := []mail.Recipient{
		{Address: mail.Address{Local: "a b", Domain: "example.test"}, Notify: mail.NotifyFailure | mail.NotifyDelay, ORcpt: "rfc822;A+B@example.test"},
		{Address: mail.Address{Local: "Postmaster"}},
	}
	if len(e.Recipients) != 2 || e.Recipients[0] != want[0] || e.Recipients[1] != want[1] {
		t.Errorf("got recipients %+v, want %+v", e.Recipients, want)
	}
	if c := got.client; c.Helo != "Client.Example" || !c.Extended || c.Hostname != testHost || c.Role != "mx" || c.ConnID != "c1" {
		t.Errorf("got client %+v", c)
	}
	if got.octets != ".x\r\n" {
		t.Errorf("got content %q, want %q", got.octets, ".x\r\n")
	}
}

// smugglingEndings are all that is not CRLF.CRLF and that some software takes
// for the end of a message.
var smugglingEndings = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\n.\r", "\r\n.\r",
	"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n.\r\r\n",
}

func TestNothingButCRLFDotCRLFEndsTheData(t *testing.T) {
	for _, ending := range smugglingEndings {
		for _, piece := range []int{1, 1 << 20} {
			b := &fakeBackend{}
			d := newDriver(b, nil, false)
			d.say(ehlo + envelope + "DATA\r\n")
			d.out.Reset()
			in := "a" + ending + "MAIL FROM:<evil@example.org>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nb\r\n.\r\nNOOP\r\n"
			for len(in) > 0 {
				n := min(piece, len(in))
				d.feed([]byte(in[:n]))
				in = in[n:]
			}
			got := codes(d.out.String())
			if got != "550 5.6.0, 250 2.0.0" && got != "250 2.0.0, 250 2.0.0" {
				t.Errorf("%q: got %q, want one answer to the data and one to NOOP", ending, got)
			}
			bare := strings.Contains(strings.ReplaceAll(ending, "\r\n", ""), "\r") || strings.Contains(strings.ReplaceAll(ending, "\r\n", ""), "\n")
			if want := map[bool]int{true: 0, false: 1}[bare]; len(b.stored) != want {
				t.Errorf("%q: got %d messages, want %d", ending, len(b.stored), want)
			}
		}
	}
}

func TestMessageLargerThanTheLimit(t *testing.T) {
	o := &Options{MaxSize: 10}
	big, fits := strings.Repeat("x", 9)+"\r\n", strings.Repeat("x", 8)+"\r\n"
	b := &fakeBackend{}
	d := newDriver(b, o, false)
	d.check(t, ehlo+envelope+"DATA\r\n"+big+".\r\nNOOP\r\n", "250, 250 2.1.0, 250 2.1.5, 354, 552 5.3.4, 250 2.0.0")
	d.check(t, envelope+"DATA\r\n"+fits+".\r\n", "250 2.1.0, 250 2.1.5, 354, 250 2.0.0")
	d.check(t, envelope+"BDAT 11 LAST\r\n"+big+"NOOP\r\n", "250 2.1.0, 250 2.1.5, 552 5.3.4, 250 2.0.0")
	d.check(t, envelope+"BDAT 5\r\nxxxxxBDAT 6\r\nxxxxxxBDAT 6 LAST\r\nxxxxxxNOOP\r\n",
		"250 2.1.0, 250 2.1.5, 250 2.0.0, 552 5.3.4, 503 5.5.1, 250 2.0.0")
	d.check(t, envelope+"BDAT 10 LAST\r\n"+fits, "250 2.1.0, 250 2.1.5, 250 2.0.0")
	d.check(t, envelope+"BDAT 44 LAST\r\n", "250 2.1.0, 250 2.1.5, 552 5.3.4, 421 4.5.2")
	if !d.closed || len(b.stored) != 2 {
		t.Errorf("got closed %t and %d messages, want a closed connection and 2", d.closed, len(b.stored))
	}
}

func TestFailuresOfTheBackend(t *testing.T) {
	kinds := map[fault.Kind]string{
		fault.Internal: "451 4.3.0", fault.NotFound: "550 5.1.1", fault.Denied: "550 5.7.1", fault.OverQuota: "452 4.2.2",
		fault.TooLarge: "552 5.3.4", fault.Busy: "451 4.3.0", fault.Transient: "451 4.3.0", fault.NoSpace: "452 4.3.1",
		fault.ReadOnly: "451 4.3.0", fault.Invalid: "554 5.6.0", fault.Corrupt: "451 4.3.0", fault.Exists: "451 4.3.0", 200: "451 4.3.0",
	}
	for kind, want := range kinds {
		err := fault.New(kind, "secret operation", nil)
		at := map[string]struct {
			b        fakeBackend
			in, want string
		}{
			"content of DATA": {fakeBackend{content: err}, "DATA\r\nNOOP\r\n", want + ", 250 2.0.0"},
			"write":           {fakeBackend{write: err}, "DATA\r\nx\r\n.\r\nNOOP\r\n", "354, " + want + ", 250 2.0.0"},
			"commit":          {fakeBackend{commit: err}, "DATA\r\nx\r\n.\r\nNOOP\r\n", "354, " + want + ", 250 2.0.0"},
			"content of BDAT": {fakeBackend{content: err}, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", want + ", 250 2.0.0"},
			"write of a chunk": {
				fakeBackend{write: err},
				"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
				want + ", 503 5.5.1, 250 2.0.0",
			},
			"commit of chunks": {fakeBackend{commit: err}, "BDAT 0 LAST\r\nNOOP\r\n", want + ", 250 2.0.0"},
		}
		for name, a := range at {
			d := newDriver(&a.b, nil, false)
			d.say(ehlo + envelope)
			d.check(t, a.in, a.want)
			if strings.Contains(d.out.String(), "secret") {
				t.Errorf("%s of kind %s: %q tells what is for the log", name, kind, d.out.String())
			}
			if a.b.open != 0 {
				t.Errorf("%s of kind %s: %d contents are left open", name, kind, a.b.open)
			}
		}
	}
	d := newDriver(&fakeBackend{sender: fault.New(fault.Invalid, "", nil)}, nil, false)
	d.check(t, ehlo+"MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\n", "250, 553 5.1.7, 503 5.5.1")
	d = newDriver(&fakeBackend{sender: &Reply{Code: 250, Enhanced: "0.0", Text: "not an error"}}, nil, false)
	d.check(t, ehlo+"MAIL FROM:<a@b>\r\n", "250, 451 4.3.0")
}

func TestTooManyRecipients(t *testing.T) {
	b := &fakeBackend{}
	d := newDriver(b, &Options{MaxRecipients: 2}, false)
	d.check(t, ehlo+envelope+"RCPT TO:<b@example.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\n.\r\n",
		"250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 452 4.5.3, 354, 250 2.0.0")
	if len(b.stored) != 1 || len(b.stored[0].envelope.Recipients) != 2 {
		t.Errorf("got %+v, want one message with the recipients accepted", b.stored)
	}
}

func TestTooManyTransactions(t *testing.T) {
	d := newDriver(&fakeBackend{}, &Options{MaxTransactions: 2}, false)
	d.check(t, ehlo+envelope+"RSET\r\n"+envelope+"DATA\r\n.\r\nMAIL FROM:<a@b>\r\nNOOP\r\n",
		"250, 250 2.1.0, 250 2.1.5, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 421 4.5.3")
	if got := newDriver(&fakeBackend{}, &Options{MaxTransactions: -1}, false).say(ehlo); strings.Contains(got, "MAILMAX") {
		t.Errorf("got %q, want no MAILMAX when there is no limit", got)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	wrong := strings.Repeat("XYZZY\r\n", DefaultMaxErrors-1)
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(wrong)
	if d.closed {
		t.Fatal("closed before the limit")
	}
	d.check(t, "MAIL\r\nNOOP\r\n", "421 4.7.0")
	if !d.closed {
		t.Error("open after too many errors")
	}
	d = newDriver(&fakeBackend{}, nil, true)
	d.say(wrong + wrong + wrong)
	d.check(t, "NOOP\r\n", "250 2.0.0")
	d.say(strings.Repeat("XYZZY\r\n", DefaultMaxErrors*TeachPatience))
	if !d.closed {
		t.Error("a teach listener's patience has no end")
	}
	d = newDriver(&fakeBackend{}, &Options{MaxErrors: -1}, false)
	d.say(strings.Repeat("XYZZY\r\n", 10000))
	d.check(t, "NOOP\r\n", "250 2.0.0")
}

func TestRefusedRecipientsAreNoErrors(t *testing.T) {
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(ehlo + "MAIL FROM:<>\r\n" + strings.Repeat("RCPT TO:<full@example.test>\r\n", 3*DefaultMaxErrors))
	d.check(t, "RCPT TO:<alice@example.test>\r\n", "250 2.1.5")
}

func TestJunkIsCountedBetweenMessages(t *testing.T) {
	o := &Options{MaxJunk: 10, MaxErrors: 5}
	junk := strings.Repeat("NOOP\r\n", 9)
	d := newDriver(&fakeBackend{}, o, false)
	for range 10 {
		d.say(junk + "HELO c\r\n" + envelope + "DATA\r\n.\r\n")
	}
	if d.closed {
		t.Fatal("closed although messages came in between")
	}
	d.say(strings.Repeat("NOOP\r\n", 10+5))
	if !d.closed {
		t.Error("junk without end is let through")
	}
	d = newDriver(&fakeBackend{}, o, true)
	d.say(strings.Repeat("NOOP\r\n", 1000))
	if d.closed {
		t.Error("a teach listener counts junk")
	}
}

func TestHintsOnATeachListener(t *testing.T) {
	for in, want := range map[string]string{
		"Subject: hi":  "header line",
		"MIAL FROM:<>": "did you mean MAIL",
		"RCTP TO:<>":   "did you mean RCPT",
		"QUI":          "did you mean QUIT",
		"HELLO me":     "HELP",
		"GET / HTTP":   "not HTTP",
	} {
		if got := newDriver(&fakeBackend{}, nil, true).say(in + "\r\n"); !strings.Contains(got, want) || got[:3] != "500" {
			t.Errorf("%q: got %q, want 500 and %q", in, got, want)
		}
	}
	d := newDriver(&fakeBackend{}, nil, true)
	if got := d.say("HELO c\n" + strings.ReplaceAll(envelope, "\r", "") + "DATA\n"); !strings.Contains(got, "nc -C") {
		t.Errorf("got %q, want a word about nc -C", got)
	}
}

func TestRepliesNeverEchoInput(t *testing.T) {
	const mark = "zqzqz"
	for _, teach := range []bool{false, true} {
		for _, line := range []string{
			mark, "HELP " + mark, "NOOP " + mark, "VRFY " + mark, "EHLO " + mark, "MAIL FROM:<" + mark + "@" + mark + "> " + mark + "=1",
			"MAIL FROM:<" + mark, "RCPT TO:<" + mark + ">", "MAIL FROM:<" + mark + "@" + mark + ">", "RCPT TO:<unknown" + mark + "@example.test>", "BDAT " + mark, mark + ": x",
		} {
			d := newDriver(&fakeBackend{}, nil, teach)
			if got := d.say(ehlo + "MAIL FROM:<>\r\n" + line + "\r\nRSET\r\n" + line + "\r\n"); strings.Contains(got, mark) {
				t.Errorf("%q is echoed: %q", line, got)
			}
		}
	}
}

func TestVerifyLists(t *testing.T) {
	b := &fakeBackend{verified: []string{"Alice <alice@example.test>", "<al@example.test>"}}
	d := newDriver(b, nil, true)
	d.check(t, "VRFY al\r\nEXPN al\r\n", "553 5.1.4, 250 2.1.5")
	b.verified = []string{"\u00dc <ue@example.test>"}
	d.check(t, "VRFY ue\r\n", "252 2.6.8")
	if got := d.say("VRFY ue SMTPUTF8\r\n"); got != "250 2.1.5 \u00dc <ue@example.test>\r\n" {
		t.Errorf("got %q, want UTF-8 for a client that asks for it", got)
	}
	b.verified = make([]string, 3*MaxListed)
	if got := strings.Count(d.say("EXPN all\r\n"), "\n"); got != MaxListed+1 {
		t.Errorf("got %d lines, want %d", got, MaxListed+1)
	}
}

func TestEvents(t *testing.T) {
	for _, e := range []struct {
		event session.Event
		want  string
	}{{session.Timeout, "421 4.4.2"}, {session.Shutdown, "421 4.3.2"}, {session.Shed, "421 4.3.2"}, {session.Flood, "421 4.5.2"}} {
		d := newDriver(&fakeBackend{}, nil, false)
		d.out.Reset()
		d.take(d.session.Event(e.event))
		if got := codes(d.out.String()); got != e.want || !d.closed {
			t.Errorf("event %d: got %q and closed %t, want %q and closed", e.event, got, d.closed, e.want)
		}
	}
}

// TestRecipientsDoNotKeepTheirLines bounds what an open transaction holds.
func TestRecipientsDoNotKeepTheirLines(t *testing.T) {
	const recipients, padding = 1000, 1900 // octets
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(ehlo + "MAIL FROM:<>\r\n")
	before := heap()
	for range recipients {
		d.say("RCPT TO:" + strings.Repeat(" ", padding) + "<alice@example.test>\r\n")
		d.out.Reset()
		d.transcript = nil
	}
	if grown := int64(heap()) - int64(before); grown > recipients*padding/2 {
		t.Errorf("%d recipients hold %d octets", recipients, grown)
	}
	d.check(t, "DATA\r\n.\r\n", "354, 250 2.0.0")
}

func TestShutdownLetsATransactionFinish(t *testing.T) {
	for _, between := range []string{"", "BDAT 1\r\nx"} {
		b := &fakeBackend{}
		d := newDriver(b, nil, false)
		d.say(ehlo + envelope + between)
		d.out.Reset()
		d.take(d.session.Event(session.Shutdown))
		if d.closed || d.out.Len() > 0 {
			t.Fatalf("%q: the transaction was cut: %q", between, d.out.String())
		}
		d.check(t, "BDAT 0 LAST\r\n", "250 2.0.0")
		d.out.Reset()
		d.take(d.session.Event(session.Shutdown))
		if got := codes(d.out.String()); got != "421 4.3.2" || len(b.stored) != 1 {
			t.Errorf("%q: got %q and %d messages, want 421 4.3.2 and 1", between, got, len(b.stored))
		}
	}
}

func TestLostConnectionKeepsNothing(t *testing.T) {
	for _, in := range []string{"DATA\r\nhalf a mess", "BDAT 100 LAST\r\nhalf", "BDAT 4\r\nhalfBDAT 10 LAST\r\nx", "BDAT 4\r\nhalf"} {
		for _, event := range []session.Event{session.Closed, session.Timeout, session.Shed} {
			b := &fakeBackend{}
			d := newDriver(b, nil, false)
			d.say(ehlo + envelope + in)
			if b.open != 1 {
				t.Fatalf("%q: got %d contents open, want 1", in, b.open)
			}
			d.session.Event(event)
			if b.open != 0 || len(b.stored) != 0 {
				t.Errorf("%q, event %d: got %d contents open and %d messages, want none", in, event, b.open, len(b.stored))
			}
		}
	}
}

func TestTLSReadyForgetsWhatWasLearnt(t *testing.T) {
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(ehlo + envelope)
	d.session.(*server).conn.TLS = &session.TLS{Version: "TLS 1.3", Cipher: "AES"}
	d.take(d.session.Event(session.TLSReady))
	if got := d.stateOf(); got != StateFresh {
		t.Errorf("got state %s, want fresh", got)
	}
}

func TestDeadlines(t *testing.T) {
	d := newDriver(&fakeBackend{}, nil, false)
	for _, in := range []string{"", ehlo, "XYZZY\r\n", envelope, "HELP\r\n"} {
		d.say(in)
		if d.step.Wait != DefaultCommandTimeout {
			t.Errorf("after %q: got %s, want %s", in, d.step.Wait, DefaultCommandTimeout)
		}
	}
	for _, in := range []string{"DATA\r\n", ".\r\n" + envelope + "BDAT 1\r\n", "xBDAT 1 FIRST\r\n"} {
		if d.say(in); d.step.Wait != DefaultDataTimeout {
			t.Errorf("after %q: got %s, want %s", in, d.step.Wait, DefaultDataTimeout)
		}
	}
}

func TestExtensions(t *testing.T) {
	got := newDriver(&fakeBackend{}, nil, false).say(ehlo)
	want := "250-mx.example.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n" +
		"250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-DELIVERBY\r\n250-MT-PRIORITY\r\n250-LIMITS RCPTMAX=1000 MAILMAX=1000\r\n250 HELP\r\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := newDriver(&fakeBackend{}, nil, false).say("HELO c\r\n"); got != "250 mx.example.test\r\n" {
		t.Errorf("got %q to HELO", got)
	}
}

func TestReplyFraming(t *testing.T) {
	for _, r := range []struct {
		reply Reply
		want  string
	}{
		{Reply{Code: 250, Enhanced: "1.1", Text: "OK"}, "250 2.1.1 OK\r\n"},
		{Reply{Code: 452, Enhanced: "2.2", Text: "a\nb"}, "452-4.2.2 a\r\n452 4.2.2 b\r\n"},
		{Reply{Code: 220, Enhanced: "", Text: "x"}, "220 x\r\n"},
		{Reply{Code: 550, Enhanced: "0.0", Text: "a\rb\x00\u00fc"}, "550 5.0.0 a?b???\r\n"},
		{Reply{Code: 550, Enhanced: "0.0", Text: ""}, "550 5.0.0 \r\n"},
	} {
		if got := string(r.reply.Append(nil)); got != r.want {
			t.Errorf("%+v: got %q, want %q", r.reply, got, r.want)
		}
	}
	long := (&Reply{Code: 550, Enhanced: "0.0", Text: strings.Repeat("x", 5000)}).Append(nil)
	if err := wellFormed(string(long)); err != nil {
		t.Error(err)
	}
}
