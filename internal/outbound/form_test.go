package outbound

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"postrider/internal/mail"
	"postrider/internal/sinktest"
)

// Extensions of hosts that know less than others.
var (
	sevenBits = []string{"PIPELINING", "SIZE 1000000"}
	chunks    = []string{"PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME", "SIZE 1000000"}
)

const (
	plainHeader  = "From: <alice@example.org>\r\nSubject: form\r\nMIME-Version: 1.0\r\n"
	eightBitText = plainHeader + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
	signedText   = plainHeader + "Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		"Grüße\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nxyz\r\n--b--\r\n"
	binaryText = plainHeader + "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\r\x01\n\xff"
)

func TestAMessageTakesTheFormThatTheHostTakes(t *testing.T) {
	for name, row := range map[string]struct {
		text  string
		body  mail.BodyType
		host  []string
		want  string // of what arrives, a part
		fails string // the code of the notice
	}{
		"8-bit as it is":       {eightBitText, mail.Body8BitMIME, nil, "\r\nGrüße\r\n", ""},
		"8-bit for seven bits": {eightBitText, mail.Body8BitMIME, sevenBits, "R3LDvMOfZQ0K", ""},
		"signed":               {signedText, mail.Body8BitMIME, sevenBits, "", "5.6.3"},
		"binary as it is":      {binaryText, mail.BodyBinaryMIME, chunks, "\x00\r\x01\n\xff", ""},
		"binary for lines":     {binaryText, mail.BodyBinaryMIME, sevenBits, "AA0BCv8=", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				sink := s.host("203.0.114.1", sinktest.Options{Extensions: row.host})
				s.text = row.text
				s.queue("alice@example.org", func(o *Onward) { o.Envelope.Body = row.body }, "bob@remote.test")
				synctest.Wait()
				told := s.told()
				if row.fails != "" {
					if len(told) != 1 || !strings.Contains(told[0].text, "Status: "+row.fails) || len(sink.Messages()) != 0 {
						t.Errorf("got %v, and %d sent", told, len(sink.Messages()))
					}
					return
				}
				ms := sink.Messages()
				if len(ms) != 1 || !strings.Contains(string(ms[0].Data), row.want) {
					t.Fatalf("got %d messages, notices %v; log %s", len(ms), told, s.logged())
				}
				declared := strings.Contains(ms[0].Mail, "BODY="+row.body.String())
				if row.host == nil != declared && name != "binary as it is" {
					t.Errorf("got %q", ms[0].Mail)
				}
			})
		})
	}
}

func TestInternationalizedMailGoesToWhoTakesIt(t *testing.T) {
	for _, able := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			s := begin(t, nil)
			o := sinktest.Options{Extensions: sevenBits}
			if able {
				o.Extensions = []string{"PIPELINING", "8BITMIME", "SMTPUTF8"}
			}
			sink := s.host("203.0.114.1", o)
			s.queue("alice@example.org", func(o *Onward) {
				o.Envelope.SMTPUTF8 = true
				o.Envelope.Recipients[0].Address.Local = "jörg"
			}, "bob@remote.test")
			synctest.Wait()
			told := s.told()
			if able && (len(sink.Messages()) != 1 || len(told) != 0) {
				t.Errorf("got %d sent, notices %v", len(sink.Messages()), told)
			}
			if !able && (len(sink.Messages()) != 0 || len(told) != 1 || !strings.Contains(told[0].text, "5.6.7")) {
				t.Errorf("got %d sent, notices %v", len(sink.Messages()), told)
			}
		})
	}
}

// RFC 6531 §3.2: 8BITMIME is about what comes after the header.
func TestAnInternationalizedHeaderGoesToWhoTakesIt(t *testing.T) {
	international := "From: <alice@example.org>\r\nSubject: Grüße\r\n\r\nhello\r\n"
	for name, row := range map[string]struct {
		text       string
		extensions []string
		sent       bool
	}{
		"the host has SMTPUTF8": {international, []string{"PIPELINING", "8BITMIME", "SMTPUTF8"}, true},
		"it has not":            {international, []string{"PIPELINING", "8BITMIME"}, false},
		"the header is ASCII":   {eightBitText, []string{"PIPELINING", "8BITMIME"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				sink := s.host("203.0.114.1", sinktest.Options{Extensions: row.extensions})
				s.text = row.text
				s.queue("alice@example.org", func(o *Onward) {
					o.Envelope.SMTPUTF8, o.Envelope.Body = true, mail.Body8BitMIME
				}, "bob@remote.test")
				synctest.Wait()
				told := s.told()
				if n := len(sink.Messages()); row.sent && (n != 1 || len(told) != 0) {
					t.Errorf("got %d sent, notices %v", n, told)
				}
				if n := len(sink.Messages()); !row.sent && (n != 0 || len(told) != 1 || !strings.Contains(told[0].text, "Status: 5.6.7")) {
					t.Errorf("got %d sent, notices %v", n, told)
				}
			})
		})
	}
}

func TestOfManyDeadHostsSomeAreTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		zone := "$ORIGIN many.test.\n"
		for i := range 50 {
			zone += fmt.Sprintf("@ IN MX %d h%d\nh%d IN A 203.0.115.%d\n", i, i, i, i+1)
		}
		s.zone.Set(t, zone)
		id := s.queue("alice@example.org", nil, "bob@many.test")
		synctest.Wait()
		if n := len(s.dialled()); n != maxTries {
			t.Errorf("got %d connections, want %d", n, maxTries)
		}
		if rows := s.rows(id); len(rows) != 1 || rows[0].Attempts != 1 || !strings.Contains(rows[0].Reply, "connection refused") {
			t.Errorf("got %+v", rows)
		}
	})
}
