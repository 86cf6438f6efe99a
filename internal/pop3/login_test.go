package pop3

import (
	"errors"
	"strings"
	"testing"

	"postrider/internal/dialogue"
	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

func TestUnknownUserAndWrongPasswordGetOneAnswer(t *testing.T) {
	b := newFake(two)
	c := connect(t, b, nil, false)
	unknown := c.say("USER mallory@example.test", "PASS x")
	wrong := c.say("USER alice@example.test", "PASS x")
	if unknown != wrong || !strings.Contains(wrong, "-ERR [AUTH] ") {
		t.Errorf("got %q for an unknown user and %q for a wrong password, want the same, with [AUTH]", unknown, wrong)
	}
	if b.logins != 2 {
		t.Errorf("the backend was asked %d times, want 2: it takes the same time for both", b.logins)
	}
}

func TestBackendIsToldWhoHadLoggedIn(t *testing.T) {
	b := newFake(two)
	login(t, b, nil).want("QUIT", "+OK")
	want := sasl.Identity{Account: 1, Address: "alice@example.test", Mechanism: "USER"}
	if len(b.gone) != 1 || b.gone[0] != want {
		t.Errorf("got %+v, want one %+v", b.gone, want)
	}
}

func TestPassTakesTheRestOfTheLineAsItIs(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"PASS " + fakePassword, "+OK 1 message (24 octets)"},
		{"pass " + fakePassword, "+OK"},
		{"PASS " + strings.TrimSpace(fakePassword), "-ERR [AUTH]"},
		{"PASS  " + fakePassword, "-ERR [AUTH]"},
		{"PASS " + fakePassword + " ", "-ERR [AUTH]"},
	} {
		c := connect(t, newFake(two), nil, false)
		c.want("USER  alice@example.test ", "+OK")
		c.want(row.line, row.want)
	}
}

func TestPassNeedsUserEachTime(t *testing.T) {
	b := newFake(two)
	c := connect(t, b, nil, false)
	c.want("PASS "+fakePassword, "-ERR say who you are")
	c.want("USER alice@example.test", "+OK")
	c.want("PASS wrong", "-ERR [AUTH]")
	c.want("PASS "+fakePassword, "-ERR say who you are")
	c.want("USER alice@example.test", "+OK")
	c.want("CAPA x", "-ERR")
	c.want("PASS "+fakePassword, "+OK")
	c.want("USER alice@example.test", "-ERR you are logged in")
	if b.logins != 2 {
		t.Errorf("the backend was asked %d times, want 2", b.logins)
	}
}

func TestNamesAndPasswordsThatAreRefusedUnasked(t *testing.T) {
	b := newFake(two)
	c := connect(t, b, &Options{MaxErrors: 100}, false)
	for _, line := range []string{
		"USER", "USER ", "USER a\x00b", "USER a\x7f", "USER \xff", "USER " + strings.Repeat("u", maxUser+1),
	} {
		c.want(line, "-ERR")
	}
	c.want("USER "+strings.Repeat("u", maxUser), "+OK")
	for _, line := range []string{"PASS", "PASS ", "PASS a\x00b", "PASS a\tb", "PASS \xff", "PASS " + strings.Repeat("p", 3000)} {
		c.want("USER alice@example.test", "+OK")
		c.want(line, "-ERR")
	}
	if b.logins != 0 {
		t.Errorf("the backend was asked %d times, want never", b.logins)
	}
	c.want("USER jürgen@example.test", "+OK")
	c.want("PASS pässword", "-ERR [AUTH]")
}

func TestNothingBeforeTheLoginIsForTheTranscript(t *testing.T) {
	c := connect(t, newFake(two), nil, false)
	for _, line := range []string{"CAPA", "PASS too early", "USER alice@example.test", "PASS wrong", "PASS again", "USER alice@example.test"} {
		if c.Mode() != session.SecretLine {
			t.Errorf("before %q: got mode %v, want SecretLine", line, c.Mode())
		}
		c.say(line)
	}
	c.say("PASS " + fakePassword)
	if c.Mode() != session.Line {
		t.Errorf("after the login: got mode %v, want Line", c.Mode())
	}
}

func TestRepliesEchoNothing(t *testing.T) {
	c := connect(t, newFake(two), nil, false)
	got := c.say("USER mal<lory>", "PASS hunter2", "hunter3", "HELP hunter4", "UTF8 hunter5")
	if strings.Contains(got, "mal") || strings.Contains(got, "hunter") {
		t.Errorf("got %q, which has what the client said", got)
	}
}

func TestFailedLoginsAreLimited(t *testing.T) {
	for _, teach := range []bool{false, true} {
		c := connect(t, newFake(two), &Options{MaxLogins: 3}, teach)
		got := c.say("USER a", "PASS a", "USER a", "PASS a", "USER a", "PASS a", "USER a", "PASS a")
		if strings.Count(got, "-ERR [AUTH]") != 3 || !c.closed() {
			t.Errorf("teach %t: got %q, closed %t; want three refusals and the end", teach, got, c.closed())
		}
		if len(c.Logs()) != 1 {
			t.Errorf("teach %t: got %q for the log, want a word", teach, c.Logs())
		}
	}
}

func TestFailuresOfTheLogin(t *testing.T) {
	for _, row := range []struct {
		kind fault.Kind
		want string
	}{
		{fault.Denied, "-ERR [AUTH] "},
		{fault.Busy, "-ERR [IN-USE] "},
		{fault.Transient, "-ERR [SYS/TEMP] "},
		{fault.Internal, "-ERR [SYS/TEMP] "},
		{fault.ReadOnly, "-ERR [SYS/TEMP] "},
		{fault.NotFound, "-ERR [SYS/PERM] "},
		{fault.Corrupt, "-ERR [SYS/PERM] "},
	} {
		t.Run(row.kind.String(), func(t *testing.T) {
			b := newFake(two)
			failure := fault.New(row.kind, "op", errors.New("the detail"))
			c := connect(t, b, nil, false)
			b.loginErr = failure
			if row.kind != fault.Busy {
				c.want("USER alice@example.test", "+OK")
				c.want("PASS "+fakePassword, row.want)
			}
			b.loginErr, b.openErr = nil, failure
			c.want("USER alice@example.test", "+OK")
			c.want("PASS "+fakePassword, row.want)
			c.want("STAT", "-ERR log in first")
			b.openErr = nil
			c.want("USER alice@example.test", "+OK")
			c.want("PASS "+fakePassword, "+OK")
		})
	}
}

func TestALockedMaildropIsInUseUntilTheOtherEnds(t *testing.T) {
	b := newFake(two)
	first, second := login(t, b, nil), connect(t, b, nil, false)
	if got := second.say("USER alice@example.test", "PASS "+fakePassword); !strings.Contains(got, "-ERR [IN-USE] ") {
		t.Errorf("got %q, want [IN-USE]", got)
	}
	_ = first.Close()
	if got := second.say("USER alice@example.test", "PASS "+fakePassword); strings.Contains(got, "-ERR") {
		t.Errorf("got %q after the other has gone", got)
	}
}

func TestNewMailAppearsInTheNextSession(t *testing.T) {
	b := newFake(two)
	c := login(t, b, nil)
	b.add("alice@example.test", fakeMessage{uid: 99, content: two})
	c.want("STAT", "+OK 1 ")
	c.want("LIST 2", "-ERR")
	c.want("QUIT", "+OK")
	login(t, b, nil).want("STAT", "+OK 2 ")
}

func TestAMessageThatWasNeverSentIsClosed(t *testing.T) {
	b := newFake(two)
	s := New(b, b, nil)
	m := dialogue.NewMemory(s, newConn(false))
	if _, err := m.Write([]byte("USER alice@example.test\r\nPASS " + fakePassword + "\r\n")); err != nil {
		t.Fatal(err)
	}
	step := s.Line(line("RETR 1"))
	if step.Body == nil || b.readers != 1 {
		t.Fatalf("got body %v and %d open messages, want one", step.Body, b.readers)
	}
	_ = m.Close()
	if b.readers != 0 || b.closes != 1 {
		t.Errorf("got %d open messages and %d closes after the end, want 0 and 1", b.readers, b.closes)
	}
}
