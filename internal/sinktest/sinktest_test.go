package sinktest

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

// talk sends text to a sink and returns all it says.
func talk(t *testing.T, s *Sink, text string) string {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	var all []string
	in := bufio.NewScanner(nc)
	for in.Scan() {
		all = append(all, in.Text())
	}
	return strings.Join(all, "\n")
}

func TestASinkTakesMessages(t *testing.T) {
	s := Start(t, Options{})
	got := talk(t, s, "HELO me\r\nMAIL FROM:<a@b> SIZE=3\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n..x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nyBDAT 2 LAST\r\nz\nQUIT\r\n")
	want := "220 sink.test ESMTP sink\n250 sink.test\n250 2.1.0 OK\n250 2.1.5 OK\n250 2.1.5 OK\n354 Go ahead\n250 2.0.0 Taken\n" +
		"250 2.1.0 OK\n250 2.1.5 OK\n250 2.0.0 OK\n250 2.0.0 Taken\n221 2.0.0 Bye"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	m := s.Wait(2)
	if m[0].From() != "a@b" || m[0].Helo != "me" || strings.Join(m[0].To(), " ") != "c@d e@f" || string(m[0].Data) != ".x\r\n" || string(m[1].Data) != "yz\n" {
		t.Errorf("got %+v, %+v", m[0], m[1])
	}
	if got := s.Lines(1); s.Conns() != 1 || got[0] != "HELO me" || got[len(got)-1] != "QUIT" {
		t.Errorf("got lines %q", got)
	}
}

func TestASinkDoesAsItIsTold(t *testing.T) {
	s := Start(t, Options{On: func(c Command) Answer {
		switch {
		case c.Verb == "RCPT" && c.N == 1:
			return Answer{Text: "550-5.1.1 no\n550 5.1.1 no"}
		case c.Verb == "END":
			return Answer{Drop: true, Take: true}
		}
		return Answer{}
	}})
	got := talk(t, s, "HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\nx\r\n.\r\n")
	if !strings.HasSuffix(got, "250 2.1.5 OK\n550-5.1.1 no\n550 5.1.1 no\n354 Go ahead") {
		t.Errorf("got %q", got)
	}
	if m := s.Wait(1); len(m) != 1 || strings.Join(m[0].To(), " ") != "c@d" {
		t.Errorf("got %+v", m)
	}
}

func TestAMessageOfNobodyIsNotTaken(t *testing.T) {
	s := Start(t, Options{})
	got := talk(t, s, "HELO me\r\nMAIL FROM:<a@b>\r\nDATA\r\nQUIT\r\n")
	if !strings.Contains(got, "503 5.5.1 RCPT first") || len(s.Messages()) > 0 {
		t.Errorf("got %q, %v", got, s.Messages())
	}
}
