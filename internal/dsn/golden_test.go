package dsn

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
)

var update = flag.Bool("update", false, "write testdata/*.eml anew")

// at is a fixed time, for notices that do not change.
func at(hours int) time.Time {
	return time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC).Add(time.Duration(hours) * time.Hour)
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// id returns an ID that does not change.
func id(n byte) mail.ID { return mail.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, n} }

const lunch = "Received: from [192.0.2.44] by mail.example.org; Sat, 14 Mar 2026 09:26:53 +0000\r\n" +
	"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?Mittag_f=C3=BCr_zwei?=\r\n" +
	"Date: Sat, 14 Mar 2026 10:26:50 +0100\r\nMessage-ID: <lunch.1@example.org>\r\n\r\nAt noon?\r\n"

// failure returns a notice of one failure.
func failure() *Notice {
	return &Notice{
		ID: id(1), Hostname: "mail.example.org", Now: at(1), To: address("alice@example.org"),
		Envelope: mail.Envelope{ID: id(2), From: address("alice@example.org"), EnvID: "lunch  1"},
		Arrived:  at(0),
		Recipients: []Recipient{{
			Recipient: mail.Recipient{Address: address("bob@example.net"), ORcpt: "rfc822;Bob@example.net"},
			Action:    Failed, Remote: "mx.example.net [192.0.2.7]",
			Reply: "550-5.1.1 <bob@example.net>: there is nobody of that name here,\n550 5.1.1 nor was there ever", SMTPReply: true, Stage: "RCPT",
			LastAttempt: at(1), Attempts: 1,
		}},
		Original: strings.NewReader(lunch), OriginalSize: int64(len(lunch)), MaxReturn: 1 << 20,
	}
}

func written(t testing.TB, n *Notice) string {
	t.Helper()
	var b bytes.Buffer
	count, err := n.WriteTo(&b)
	if err != nil || count != int64(b.Len()) {
		t.Fatalf("WriteTo returned %d, %v for %d octets", count, err, b.Len())
	}
	return b.String()
}

func TestNoticesReadAsTheyAlwaysDid(t *testing.T) {
	for name, n := range notices() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".eml")
			got := written(t, n)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != string(want) {
				t.Errorf("%v; if it is meant to change, go test -run %s -update\ngot\n%s\nwant\n%s", err, t.Name(), got, want)
			}
			if again := written(t, n); again != got {
				t.Errorf("written again it is\n%s", again)
			}
		})
	}
}

// notices are those of testdata.
func notices() map[string]*Notice {
	all := map[string]*Notice{"failure": failure()}
	add := func(name string, change func(n *Notice, r *Recipient)) {
		n := failure()
		change(n, &n.Recipients[0])
		all[name] = n
	}
	add("delay", func(n *Notice, r *Recipient) {
		*r = Recipient{
			Recipient: r.Recipient, Action: Delayed, Remote: r.Remote, Stage: "RCPT", SMTPReply: true,
			Reply: "450 4.7.1 Greylisted, come again in 5 minutes", LastAttempt: at(4), Attempts: 9, RetryUntil: at(120),
		}
		n.Now, n.Envelope.EnvID = at(4), ""
	})
	add("success", func(n *Notice, r *Recipient) {
		*r = Recipient{Recipient: r.Recipient, Action: Delivered, LastAttempt: at(0)}
	})
	add("relayed", func(n *Notice, r *Recipient) {
		r.Action, r.Reply = Relayed, "250 2.0.0 Ok: queued as 4X1"
	})
	add("success-of-a-stranger", func(n *Notice, r *Recipient) {
		*r = Recipient{Recipient: r.Recipient, Action: Delivered, LastAttempt: at(0)}
		n.Stranger = true
		n.Recipients = append(n.Recipients, *r, Recipient{Recipient: mail.Recipient{Address: address("a@example.com")}, Action: Expanded})
	})
	add("expanded", func(n *Notice, r *Recipient) {
		*r = Recipient{Recipient: r.Recipient, Action: Expanded, LastAttempt: at(0)}
	})
	add("forwarded", func(n *Notice, r *Recipient) {
		r.Final, r.Reply = address("secret@elsewhere.example"), "550 5.2.2 secret@elsewhere.example: mailbox full"
	})
	add("forwarded-late", func(n *Notice, r *Recipient) {
		*n, *r = *all["delay"], all["delay"].Recipients[0]
		r.Final, r.Status, r.Reply = address("secret@elsewhere.example"), "4.1.1", "450 5.1.1 secret is not here"
		n.Recipients = []Recipient{*r}
	})
	add("forwarded-too-large", func(n *Notice, r *Recipient) {
		r.Final, r.Reply = address("secret@elsewhere.example"), "552 5.3.4 too much for secret@elsewhere.example"
	})
	add("several", func(n *Notice, r *Recipient) {
		n.Envelope.Ret = mail.RetHeaders
		timeout := Recipient{
			Action: Failed, Status: "4.4.7", Reply: "no connection could be made within 30 s", Stage: "connection",
			Remote: "mx.example.com [2001:db8::7]", LastAttempt: at(120), Attempts: 44,
		}
		for _, a := range []string{"carol@example.com", "dave@example.com"} {
			timeout.Address = address(a)
			n.Recipients = append(n.Recipients, timeout)
		}
		n.Recipients = append(n.Recipients, Recipient{Recipient: mail.Recipient{Address: address("erin@example.org")}, Action: Delivered, LastAttempt: at(0)})
	})
	add("utf8", func(n *Notice, r *Recipient) {
		header := strings.Replace(lunch, "=?utf-8?q?Mittag_f=C3=BCr_zwei?=", "Mittag f\u00fcr zwei", 1)
		n.Original, n.OriginalSize = strings.NewReader(header), int64(len(header))
		n.Envelope.SMTPUTF8, n.To = true, address("\u03b1\u03bb\u03af\u03ba\u03b7@example.org")
		r.Address, r.ORcpt = address("b\u00f8b@example.net"), `utf-8;b\x{F8}b@example.net`
		r.Reply = "550 5.1.1 b\u00f8b isn't here"
	})
	add("downgraded", func(n *Notice, r *Recipient) {
		*n, *r = *all["utf8"], all["utf8"].Recipients[0]
		n.Recipients = []Recipient{*r}
		n.To = address("alice@example.org")
	})
	add("downgraded-header", func(n *Notice, r *Recipient) {
		*n = *all["downgraded"]
		n.Envelope.Ret = mail.RetHeaders
	})
	add("eight-bits", func(n *Notice, r *Recipient) {
		content := strings.Replace(lunch, "At noon?", "Um zwölf?", 1)
		n.Original, n.OriginalSize = strings.NewReader(content), int64(len(content))
	})
	add("too-large", func(n *Notice, r *Recipient) { n.MaxReturn = 100 })
	add("binary", func(n *Notice, r *Recipient) {
		content := lunch + "\x00\n"
		n.Original, n.OriginalSize = strings.NewReader(content), int64(len(content))
	})
	add("nothing-returned", func(n *Notice, r *Recipient) { n.Original, n.OriginalSize = nil, 0 })
	return all
}
