package message

import (
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	pmail "postrider/internal/mail"
)

var (
	testTime = time.Date(2026, 11, 21, 9, 5, 3, 0, time.FixedZone("", 3600))
	testID   = pmail.ID{1, 2, 3}
)

func TestWithNamesTheProtocolAsRegistered(t *testing.T) {
	for _, c := range []struct {
		extended, utf8, tls, auth bool
		want                      string
	}{
		{false, false, false, false, "SMTP"},
		{true, false, false, false, "ESMTP"},
		{true, false, true, false, "ESMTPS"},
		{true, false, false, true, "ESMTPA"},
		{true, false, true, true, "ESMTPSA"},
		{true, true, false, false, "UTF8SMTP"},
		{true, true, true, true, "UTF8SMTPSA"},
	} {
		if got := With(c.extended, c.utf8, c.tls, c.auth); got != c.want {
			t.Errorf("With(%v, %v, %v, %v): got %s, want %s", c.extended, c.utf8, c.tls, c.auth, got, c.want)
		}
	}
}

func TestReceivedIsWrittenFolded(t *testing.T) {
	alice := pmail.Address{Local: "alice", Domain: "example.test"}
	for _, c := range []struct {
		name string
		r    Received
		want string
	}{
		{"one recipient", Received{
			Helo: "client.example.org", Remote: netip.MustParseAddr("192.0.2.1"), By: "mx.example.test",
			With: "ESMTP", ID: testID, For: alice, Time: testTime,
		}, "Received: from client.example.org ([192.0.2.1]) by mx.example.test with ESMTP\r\n" +
			"\tid 04106000000000000000000000 for <alice@example.test>;\r\n" +
			"\tSat, 21 Nov 2026 08:05:03 +0000\r\n"},
		{"several recipients, IPv6, TLS", Received{
			Helo: "c.example.org", Remote: netip.MustParseAddr("2001:db8::1"), By: "mx.example.test",
			With: "ESMTPS", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", ID: testID, Time: testTime,
		}, "Received: from c.example.org ([IPv6:2001:db8::1]) by mx.example.test\r\n" +
			"\twith ESMTPS (TLS1.3 TLS_AES_128_GCM_SHA256) id 04106000000000000000000000;\r\n" +
			"\tSat, 21 Nov 2026 08:05:03 +0000\r\n"},
		{"no HELO, mapped address", Received{
			Remote: netip.MustParseAddr("::ffff:127.0.0.1"), By: "mx", With: "SMTP", ID: testID, Time: testTime,
		}, "Received: from [127.0.0.1] ([127.0.0.1]) by mx with SMTP\r\n" +
			"\tid 04106000000000000000000000; Sat, 21 Nov 2026 08:05:03 +0000\r\n"},
		{"hidden client", Received{
			Helo: "laptop.home.example", Remote: netip.MustParseAddr("192.0.2.1"), Hidden: true,
			By: "mx.example.test", With: "ESMTPSA", ID: testID, Time: testTime,
		}, "Received: from localhost by mx.example.test with ESMTPSA\r\n" +
			"\tid 04106000000000000000000000; Sat, 21 Nov 2026 08:05:03 +0000\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.r.AppendTo(nil)
			if string(got) != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			for f := range SplitFields(got) {
				if !IsReceived(f, testID) || IsReceived(f, pmail.ID{1, 2, 4}) {
					t.Error("it is not known by its ID")
				}
			}
		})
	}
}

func TestReceivedDisarmsWhatTheClientCallsItself(t *testing.T) {
	for _, c := range []struct{ name, helo, want string }{
		{"literal", "[192.0.2.1]", "from [192.0.2.1] ("},
		{"IPv6 literal", "[IPv6:2001:db8::1]", "from [IPv6:2001:db8::1] ("},
		{"injected line", "a\r\nBcc: x", "from a__Bcc__x ("},
		{"comment", "a(b)c", "from a_b_c ("},
		{"8-bit", "gr\xc3\xbc\xff", "from gr___ ("},
		{"NUL and DEL", "a\x00b\x7f", "from a_b_ ("},
		{"semicolon and angle brackets", "a;<b>", "from a__b_ ("},
		{"brackets within", "[a]b]", "from [a_b] ("},
		{"half a literal", "[a", "from _a ("},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(Received{Helo: c.helo, By: "b", With: "SMTP", Time: testTime}.AppendTo(nil))
			if !strings.HasPrefix(got, "Received: "+c.want) {
				t.Errorf("got %q, want it to begin with %q", got, c.want)
			}
		})
	}
	long := Received{Helo: strings.Repeat("h", 5000), By: "b", With: "SMTP", Time: testTime}.AppendTo(nil)
	if len(long) > 998 {
		t.Errorf("a HELO of 5,000 octets makes a field of %d", len(long))
	}
}

func TestReturnPathAndDeliveredTo(t *testing.T) {
	for _, c := range []struct {
		name              string
		a                 pmail.Address
		returned, arrived string
	}{
		{"plain", pmail.Address{Local: "a", Domain: "b.test"}, "Return-Path: <a@b.test>\r\n", "Delivered-To: a@b.test\r\n"},
		{"null", pmail.Address{}, "Return-Path: <>\r\n", "Delivered-To: \r\n"},
		{"quoted", pmail.Address{Local: "a b", Domain: "b.test"}, "Return-Path: <\"a b\"@b.test>\r\n", "Delivered-To: \"a b\"@b.test\r\n"},
		{"UTF-8", pmail.Address{Local: "ü", Domain: "b.test"}, "Return-Path: <ü@b.test>\r\n", "Delivered-To: ü@b.test\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(AppendReturnPath(nil, c.a)); got != c.returned {
				t.Errorf("got %q, want %q", got, c.returned)
			}
			if got := string(AppendDeliveredTo(nil, c.a)); got != c.arrived {
				t.Errorf("got %q, want %q", got, c.arrived)
			}
		})
	}
	evil := string(AppendReturnPath(nil, pmail.Address{Local: "a\r\nBcc: x", Domain: "b\n.test\xff"}))
	if strings.Count(evil, "\n") != 1 || !strings.HasSuffix(evil, "\r\n") {
		t.Errorf("an address with line ends got through: %q", evil)
	}
}

var receivedShape = regexp.MustCompile(`^from [^\s();<>,]+ \(\[[0-9A-Za-z.:]+\]\) by [^\s();<>,]+ with E?SMTP( \([^()\\]*\))? id [0-9a-z]{26}( for <[^\r\n]*>)?; (.*)$`)

func FuzzTraceFieldsParseAndHoldNoInjectedLine(f *testing.F) {
	f.Add("client.example", "mx", "TLS1.3 X", "alice", "example.test", []byte{192, 0, 2, 1})
	f.Add("a\r\n\r\nb", "[::1]", "(x\\)", "a\r\nb\"", "c\nd", []byte{0, 0})
	f.Add("", "", "", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, helo, by, tls, local, domain string, ip []byte) {
		remote, _ := netip.AddrFromSlice(ip)
		a := pmail.Address{Local: local, Domain: domain}
		r := Received{Helo: helo, Remote: remote, By: "x" + by, With: "ESMTP", TLS: tls, ID: testID, For: a, Time: testTime}
		b := AppendReturnPath(nil, a)
		b = AppendDeliveredTo(b, a)
		b = r.AppendTo(b)
		var s HeaderScanner
		s.Write(b)
		s.End()
		if h := s.Header(); h.Fields != 3 || h.Received != 1 {
			t.Fatalf("%q: got %+v, want three fields", b, h)
		}
		m, err := mail.ReadMessage(strings.NewReader(string(b) + "\r\n"))
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if len(m.Header) != 3 {
			t.Fatalf("%q: got fields %v", b, m.Header)
		}
		got := receivedShape.FindStringSubmatch(m.Header.Get("Received"))
		if got == nil {
			t.Fatalf("%q has not the shape of a Received field", m.Header.Get("Received"))
		}
		if when, err := mail.ParseDate(got[len(got)-1]); err != nil || !when.Equal(testTime) {
			t.Fatalf("date %q: %v", got[len(got)-1], err)
		}
	})
}

func BenchmarkReceived(b *testing.B) {
	r := Received{
		Helo: "client.example.org", Remote: netip.MustParseAddr("192.0.2.1"), By: "mx.example.test",
		With: "ESMTP", ID: testID, For: pmail.Address{Local: "alice", Domain: "example.test"}, Time: testTime,
	}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendTo(buf[:0])
	}
}
