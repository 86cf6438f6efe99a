package dsn

import (
	"testing"

	"postrider/internal/mail"
)

func TestASenderIsToldWhatItWanted(t *testing.T) {
	all := []Action{Failed, Delayed, Delivered, Relayed, Expanded}
	from := address("alice@example.org")
	for _, c := range []struct {
		name   string
		from   mail.Address
		notify mail.Notify
		told   []Action
	}{
		{"nothing said", from, 0, []Action{Failed, Delayed}},
		{"NEVER", from, mail.NotifyNever, nil},
		{"SUCCESS", from, mail.NotifySuccess, []Action{Delivered, Relayed, Expanded}},
		{"FAILURE", from, mail.NotifyFailure, []Action{Failed}},
		{"DELAY", from, mail.NotifyDelay, []Action{Delayed}},
		{"all three", from, mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay, all},
		{"NEVER, though with others", from, mail.NotifyNever | mail.NotifyFailure, nil},
		{"the null reverse-path", mail.Address{}, mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := map[Action]bool{}
			for _, a := range c.told {
				told[a] = true
			}
			for _, a := range all {
				if got := Wanted(c.from, c.notify, a); got != told[a] {
					t.Errorf("%s: got %v", a, got)
				}
			}
		})
	}
}

func TestListsAndProgramsAreNotToldOfDelays(t *testing.T) {
	for _, c := range []struct {
		header string
		want   bool
	}{
		{"Subject: x\r\n", false},
		{"Subject: List-Id: x\r\n", false},
		{"Precedence: first-class\r\n", false},
		{"Auto-Submitted: no\r\n", false},
		{"Auto-Submitted: No (I wrote it)\r\n", false},
		{"Auto-Submitted:\r\n no; x=y\r\n", false},
		{"auto-submitted: auto-generated\r\n", true},
		{"Auto-Submitted: auto-replied; x=y\r\n", true},
		{"Auto-Submitted: nobody-knows\r\n", true},
		{"Subject: x\r\nPrecedence: BULK\r\n", true},
		{"Precedence: list\r\n", true},
		{"Precedence: junk\r\n", true},
		{"List-ID: A list <a.example.org>\r\n", true},
		{"List-Unsubscribe: <mailto:x@example.org>\r\n", true},
	} {
		if reason := Suppressed([]byte(c.header)); reason != "" != c.want {
			t.Errorf("%q: got %q", c.header, reason)
		}
	}
}
