package dsn

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// part is a part of a report, decoded.
type part struct {
	kind    string
	header  textproto.MIMEHeader
	content string
}

// report is a notification as other readers understand it.
type report struct {
	header netmail.Header
	parts  []part
	// message and recipients are the fields of the second part.
	message    textproto.MIMEHeader
	recipients []textproto.MIMEHeader
}

// parsed reads a notification by other means, and holds it to what all have in
// common.
func parsed(t testing.TB, text string) *report {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("a line that no host takes: %.2000q", line)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%v: it is %q", err, m.Header["Content-Type"])
	}
	if m.Header.Get("Auto-Submitted") != "auto-replied" || !strings.Contains(m.Header.Get("From"), "<MAILER-DAEMON@") {
		t.Errorf("header %q", m.Header)
	}
	r := &report{header: m.Header}
	for all := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := all.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		r.parts = append(r.parts, decoded(t, p))
	}
	fields := textproto.NewReader(bufio.NewReader(strings.NewReader(r.parts[1].content + "\r\n")))
	if r.message, err = fields.ReadMIMEHeader(); err != nil {
		t.Fatal(err)
	}
	for {
		h, err := fields.ReadMIMEHeader()
		if err != nil || len(h) == 0 {
			return r
		}
		r.recipients = append(r.recipients, h)
	}
}

func decoded(t testing.TB, p *multipart.Part) part {
	t.Helper()
	kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	coding := p.Header.Get("Content-Transfer-Encoding")
	var body io.Reader = p
	switch coding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, p)
	case "quoted-printable":
		body = quotedprintable.NewReader(p)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if coding == "7bit" && !isASCII(string(content)) {
		t.Errorf("%s is not 7bit: %q", kind, content)
	}
	return part{kind, p.Header, string(content)}
}

func TestOtherReadersUnderstandNotices(t *testing.T) {
	for name, n := range notices() {
		t.Run(name, func(t *testing.T) {
			text := written(t, n)
			r := parsed(t, text)
			if !n.UTF8() && n.Envelope.SMTPUTF8 && !isASCII(text) {
				t.Error("a downgraded notice is not ASCII")
			}
			if len(r.recipients) != len(n.Recipients) {
				t.Errorf("%d recipients in the report, want %d", len(r.recipients), len(n.Recipients))
			}
			want := 3
			if n.Original == nil || n.Stranger {
				want = 2
			}
			if len(r.parts) != want {
				t.Fatalf("%d parts, want %d", len(r.parts), want)
			}
			if r.parts[0].kind != "text/plain" {
				t.Errorf("the first part is %s", r.parts[0].kind)
			}
			if from, err := netmail.ParseAddress(r.header.Get("From")); err != nil || from.Address != "MAILER-DAEMON@mail.example.org" {
				t.Errorf("%v: from %v", err, from)
			}
			if _, err := r.header.Date(); err != nil {
				t.Error(err)
			}
			for i, h := range r.recipients {
				if h.Get("Action") != n.Recipients[i].Action.String() || !statusCode.MatchString(h.Get("Status")) {
					t.Errorf("recipient %d: %q", i, h)
				}
			}
		})
	}
}

func TestWhatIsReturnedIsTheOriginal(t *testing.T) {
	header, _, _ := strings.Cut(lunch, "\r\n\r\n")
	for name, want := range map[string]struct{ kind, content string }{
		"failure":           {"message/rfc822", lunch},
		"several":           {"text/rfc822-headers", header + "\r\n"},
		"delay":             {"text/rfc822-headers", header + "\r\n"},
		"success":           {"text/rfc822-headers", header + "\r\n"},
		"too-large":         {"text/rfc822-headers", header + "\r\n"},
		"binary":            {"text/rfc822-headers", header + "\r\n"},
		"utf8":              {"message/global", strings.Replace(lunch, "=?utf-8?q?Mittag_f=C3=BCr_zwei?=", "Mittag für zwei", 1)},
		"downgraded":        {"message/global", strings.Replace(lunch, "=?utf-8?q?Mittag_f=C3=BCr_zwei?=", "Mittag für zwei", 1)},
		"downgraded-header": {"message/global-headers", strings.Replace(header, "=?utf-8?q?Mittag_f=C3=BCr_zwei?=", "Mittag für zwei", 1) + "\r\n"},
		"eight-bits":        {"message/rfc822", strings.Replace(lunch, "At noon?", "Um zwölf?", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			got := parsed(t, written(t, notices()[name])).parts[2]
			if got.kind != want.kind || got.content != want.content {
				t.Errorf("got %s\n%q\nwant %s\n%q", got.kind, got.content, want.kind, want.content)
			}
		})
	}
}

func TestANoticeCanBeSentToAHostOfSevenBits(t *testing.T) {
	for name, n := range notices() {
		t.Run(name, func(t *testing.T) {
			text := written(t, n)
			var b strings.Builder
			err := message.Lines(&b, strings.NewReader(text), int64(len(text)), false)
			var form *message.FormError
			switch {
			case n.UTF8():
				if !errors.As(err, &form) || !form.HeaderEightBit {
					t.Errorf("got %v, want that its header needs SMTPUTF8", err)
				}
			case err != nil:
				t.Error(err)
			case isASCII(text) && b.String() != text:
				t.Errorf("it is ASCII, and became\n%s", b.String())
			case len(parsed(t, b.String()).parts) != len(parsed(t, text).parts):
				t.Errorf("it became\n%s", b.String())
			}
		})
	}
}

func TestAStoreThatFailsInBetweenIsSaid(t *testing.T) {
	n := failure()
	down := errors.New("disk on fire")
	for after := range 3 {
		n.Original = &failing{n.Original, after, down}
		if _, err := n.WriteTo(io.Discard); !errors.Is(err, down) {
			t.Errorf("after %d reads: got %v", after, err)
		}
	}
	whole := len(written(t, failure()))
	for room := 0; room < whole; room += 97 {
		if _, err := failure().WriteTo(&full{room, down}); err != down {
			t.Errorf("with room for %d octets: got %v", room, err)
		}
	}
}

// failing fails after so many reads.
type failing struct {
	io.ReaderAt
	after int
	err   error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.after--; f.after < 0 {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// full has room for so many octets.
type full struct {
	room int
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestManyRecipientsAreToldInOneNotice(t *testing.T) {
	n := failure()
	full := n.Recipients[0]
	full.Reply, full.Attempts = "550 5.7.1 go away", 2
	n.Recipients = nil
	for i := range maxTold + 50 {
		full.Address.Local = fmt.Sprintf("user%03d", i)
		n.Recipients = append(n.Recipients, full)
	}
	got := parsed(t, written(t, n))
	text := got.parts[0].content
	if subject := got.header.Get("Subject"); subject != "Your message to user000@example.net and 149 other addresses could not be delivered" {
		t.Errorf("subject %q", subject)
	}
	if strings.Count(text, "go away") != 1 || strings.Count(text, "@example.net\r\n") != maxTold || !strings.Contains(text, "There are 50 more addresses") {
		t.Errorf("people read\n%s", text)
	}
	if len(got.recipients) != len(n.Recipients) {
		t.Errorf("%d recipients in the report, want %d", len(got.recipients), len(n.Recipients))
	}
}

func TestNamesWithoutADomainGetOne(t *testing.T) {
	n := failure()
	n.Hostname = "box"
	n.To, n.Recipients[0].Address = mail.Address{Local: "postmaster"}, mail.Address{Local: "postmaster"}
	n.Recipients[0].Status, n.Recipients[0].Reply = "5.4.4", ""
	got := parsed(t, written(t, n))
	if to := got.header.Get("To"); to != "<postmaster@box>" {
		t.Errorf("to %q", to)
	}
	if got.message.Get("Reporting-Mta") != "x-local-hostname; box" || !strings.Contains(got.parts[0].content, "mail for box") {
		t.Errorf("%q\n%s", got.message, got.parts[0].content)
	}
}

func TestRequireTLSReturnsOnlyTheHeader(t *testing.T) {
	n := failure()
	n.Envelope.RequireTLS, n.Envelope.Ret = true, 1 // full
	if got := parsed(t, written(t, n)).parts[2]; strings.Contains(got.content, "At noon?") {
		t.Errorf("RFC 8689 §5: returned %q", got.content)
	}
}

// evil are texts that others may send, to break what we write.
var evil = []string{
	"\r\nBcc: victim@example.org", "x\r\n\r\n--b", "\x00\x01\x7f", "\u202egnp.exe", "\xff\xfe", strings.Repeat("x", 5000), strings.Repeat("many words ", 3000),
	"550 5.1.1 a\n\n\n\n" + strings.Repeat("line\n", 3000), "=?utf-8?q?=0D=0A=0D=0A?=", "a\rb\nc", "\u2028\u2029", strings.Repeat("ü", 3000), "550 5.1.1", "(((", `"`,
}

func TestWhatOthersSayCanDoNothing(t *testing.T) {
	for i, text := range evil {
		for _, eai := range []bool{false, true} {
			n := failure()
			n.Envelope.EnvID, n.Hostname = text, "mail.example.org"
			original := "Subject: " + text + "\r\nDate: " + text + "\r\nMessage-ID: <" + text + "@x>\r\n\r\n" + text + "\r\n"
			n.Original, n.OriginalSize = strings.NewReader(original), int64(len(original))
			r := &n.Recipients[0]
			r.Reply, r.Remote, r.ORcpt, r.Status, r.Stage = text, text, "rfc822;"+text, text, text
			r.Address.Local = mail.Cut(text, 64)
			if eai {
				n.To, n.Envelope.SMTPUTF8 = address("ü@example.org"), true
			}
			got := parsed(t, written(t, n))
			if len(got.parts) != 3 || len(got.recipients) != 1 || got.header.Get("Bcc") != "" {
				t.Errorf("%d: %d parts, %d recipients, header %q", i, len(got.parts), len(got.recipients), got.header)
			}
			if human := got.parts[0].content; strings.ContainsAny(human, "\u202e\x00\x01\x7f\u2028") || strings.Count(human, "\n    > ") > 60 {
				t.Errorf("%d: people read %q", i, human)
			}
			for _, h := range append(got.recipients, got.message) {
				for name, values := range h {
					if len(values) != 1 || strings.EqualFold(name, "Bcc") {
						t.Errorf("%d: field %s: %q", i, name, values)
					}
				}
			}
		}
	}
}

func TestAnOriginalCannotEndItsPart(t *testing.T) {
	first := written(t, failure())
	_, params, _ := mime.ParseMediaType(parsed(t, first).header.Get("Content-Type"))
	original := lunch + "--" + params["boundary"] + "--\r\nand more\r\n"
	n := failure()
	n.Original, n.OriginalSize = strings.NewReader(original), int64(len(original))
	if got := parsed(t, written(t, n)).parts; len(got) != 3 || got[2].content != original {
		t.Errorf("got %q", got)
	}
}

// endless is an original of a size that no memory has.
type endless struct{ header string }

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		at := off + int64(i)
		switch {
		case at < int64(len(e.header)):
			p[i] = e.header[at]
		case at%64 == 62:
			p[i] = '\r'
		case at%64 == 63:
			p[i] = '\n'
		default:
			p[i] = 'x'
		}
	}
	return len(p), nil
}

func TestALargeOriginalTakesNoMoreMemory(t *testing.T) {
	header := "Subject: large\r\n\r\n" // ends within the first line of 64
	allocations := func(size int64) float64 {
		n := failure()
		n.Original, n.OriginalSize, n.MaxReturn = endless{header}, size, 1<<40
		return testing.AllocsPerRun(1, func() {
			if count, err := n.WriteTo(io.Discard); err != nil || count < size {
				t.Fatalf("%d, %v", count, err)
			}
		})
	}
	if small, large := allocations(1<<12), allocations(64<<20); large > small+20 {
		t.Errorf("%v allocations for 4 KiB, %v for 64 MiB", small, large)
	}
}

func TestAHeaderIsReturnedUpToItsLimit(t *testing.T) {
	n := failure()
	header := "From someone Sat Mar 14\r\nSubject: long\r\n" + strings.Repeat("X-Y: "+strings.Repeat("z", 90)+"\r\n", 2000)
	n.Original, n.OriginalSize, n.MaxReturn = strings.NewReader(header), int64(len(header)), 0
	got := parsed(t, written(t, n)).parts[2].content
	if len(got) > MaxHeader || len(got) < MaxHeader-200 || !strings.HasPrefix(got, "Subject: long\r\n") || !strings.HasSuffix(got, "z\r\n") {
		t.Errorf("%d octets: %.100q ... %q", len(got), got, got[len(got)-20:])
	}
}

func TestNobodyIsToldThroughTheNullReversePath(t *testing.T) {
	n := failure()
	n.To.Local, n.To.Domain = "", ""
	if count, err := n.WriteTo(io.Discard); err == nil || count != 0 {
		t.Errorf("got %d, %v", count, err)
	}
}

func TestAnOriginalThatCannotBeReadStopsTheNotice(t *testing.T) {
	n := failure()
	n.OriginalSize++
	if count, err := n.WriteTo(io.Discard); err == nil || count != 0 {
		t.Errorf("got %d, %v, want an error before the first octet", count, err)
	}
}

func FuzzNotice(f *testing.F) {
	for i, text := range evil {
		f.Add(text, evil[(i+1)%len(evil)], uint8(i), uint8(i*3))
	}
	f.Add("550 5.7.1 spam", lunch, uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, reply, original string, action, flags uint8) {
		if len(original) > 1<<16 || len(reply) > 1<<16 {
			return
		}
		n := failure()
		n.Original, n.OriginalSize = strings.NewReader(original), int64(len(original))
		r := &n.Recipients[0]
		r.Action, r.SMTPReply, r.Reply = Action(action%5), flags&1 != 0, reply
		if n.Envelope.SMTPUTF8 = flags&2 != 0; flags&4 != 0 {
			n.To = address("ü@example.org")
		}
		if flags&8 != 0 {
			r.ORcpt = "utf-8;" + mail.Cut(reply, 400)
		}
		if flags&16 != 0 {
			n.MaxReturn = 0
		}
		got := parsed(t, written(t, n))
		if len(got.parts) != 3 || len(got.recipients) != 1 {
			t.Fatalf("%d parts, %d recipients", len(got.parts), len(got.recipients))
		}
		if got.parts[2].kind == "message/rfc822" && got.parts[2].content != original {
			t.Fatalf("%q was returned as %q", original, got.parts[2].content)
		}
		if kinds := []string{"text/plain", "message/delivery-status", "message/global-delivery-status"}; !slices.Contains(kinds, got.parts[1].kind) {
			t.Fatalf("the second part is %s", got.parts[1].kind)
		}
	})
}
