package receive

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postrider/internal/mail"
)

// at is a time that begins a slot of every window.
var at = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestRatesOfAnAccount(t *testing.T) {
	type step struct {
		after time.Duration // the step before
		a     amount
		want  string // of the reply; empty: it is taken
	}
	message := amount{1, 1}
	for _, c := range []struct {
		name   string
		limits SubmissionLimits
		steps  []step
	}{
		{"messages an hour", SubmissionLimits{MessagesPerHour: 2}, []step{
			{0, message, ""},
			{30 * time.Minute, message, ""},
			{0, message, "450 4.7.1 You have sent too much: at most 2 messages an hour; try again in 35 minutes"},
			{34 * time.Minute, message, "450 4.7.1 You have sent too much: at most 2 messages an hour; try again in 1 minute"},
			{time.Minute, message, ""},
			{0, message, "450 4.7.1 You have sent too much: at most 2 messages an hour; try again in 30 minutes"},
		}},
		{"messages a day", SubmissionLimits{MessagesPerDay: 2}, []step{
			{0, message, ""},
			{2 * time.Hour, message, ""},
			{22 * time.Hour, message, "450 4.7.1 You have sent too much: at most 2 messages a day; try again in 120 minutes"},
			{2 * time.Hour, message, ""},
		}},
		{"recipients an hour", SubmissionLimits{RecipientsPerHour: 10}, []step{
			{0, amount{1, 4}, ""},
			{0, amount{1, 7}, "450 4.7.1 You have sent too much: at most 10 recipients an hour; try again in 65 minutes"},
			{0, amount{1, 6}, ""},
			{0, amount{1, 1}, "450 4.7.1 You have sent too much: at most 10 recipients an hour"},
		}},
		{"recipients a day", SubmissionLimits{RecipientsPerDay: 10}, []step{
			{0, amount{1, 10}, ""},
			{2 * time.Hour, amount{1, 1}, "450 4.7.1 You have sent too much: at most 10 recipients a day"},
			{24 * time.Hour, amount{1, 1}, ""},
		}},
		{"more than ever fits", SubmissionLimits{RecipientsPerHour: 10}, []step{
			{0, amount{1, 11}, "450 4.7.1 You have sent too much: at most 10 recipients an hour; try again in 60 minutes"},
		}},
		{"no limit", SubmissionLimits{-1, -1, -1, -1}, []step{{0, amount{1_000_000, 1_000_000}, ""}, {0, amount{1_000_000, 1_000_000}, ""}}},
		{"the defaults", SubmissionLimits{}, []step{
			{0, amount{DefaultMessagesPerHour, DefaultRecipientsPerHour}, ""},
			{0, message, fmt.Sprintf("450 4.7.1 You have sent too much: at most %d messages an hour", DefaultMessagesPerHour)},
			{0, amount{0, 1}, fmt.Sprintf("450 4.7.1 You have sent too much: at most %d recipients an hour", DefaultRecipientsPerHour)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, now := newRates(c.limits), at
			for i, s := range c.steps {
				now = now.Add(s.after)
				v, err := r.reserve(7, now, s.a)
				if err == nil {
					v.keep(now)
				}
				if got := replyOf(err); !strings.HasPrefix(got, s.want) || s.want == "" && err != nil {
					t.Errorf("step %d: got %q, want %q", i+1, got, s.want)
				}
			}
			if err := r.check(8, now, message); err != nil {
				t.Errorf("another account: got %v", err)
			}
		})
	}
}

func replyOf(err error) string {
	if v, ok := err.(*verdict); ok {
		return v.reply.Error()
	}
	return fmt.Sprint(err)
}

func TestOnlyWhatIsAcceptedCounts(t *testing.T) {
	r := newRates(SubmissionLimits{MessagesPerHour: 1})
	for range 3 {
		v, err := r.reserve(7, at, amount{1, 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.reserve(7, at, amount{1, 1}); err == nil {
			t.Fatal("while one is being sent: another is taken")
		}
		v.release()
		v.release()
	}
	v, err := r.reserve(7, at, amount{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	v.keep(at)
	v.release()
	if err := r.check(7, at, amount{1, 1}); err == nil {
		t.Error("after one was accepted: another is taken")
	}
}

func TestConnectionsTogetherSendNoMore(t *testing.T) {
	r := newRates(SubmissionLimits{MessagesPerHour: 50})
	var all sync.WaitGroup
	taken := make(chan bool, 1000)
	for i := range 20 {
		all.Go(func() {
			for range 50 {
				if v, err := r.reserve(7, at, amount{1, 1}); err == nil {
					if i%2 == 0 {
						v.release()
						continue
					}
					v.keep(at)
					taken <- true
				}
			}
		})
	}
	all.Wait()
	for { // what those that were released may have kept others from
		v, err := r.reserve(7, at, amount{1, 1})
		if err != nil {
			break
		}
		v.keep(at)
		taken <- true
	}
	if len(taken) != 50 {
		t.Errorf("got %d, want 50", len(taken))
	}
}

// In no hour is more counted than the limit, and after an hour and a slot
// nothing is remembered.
func TestNoHourHasMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 5
		r, now := newRates(SubmissionLimits{MessagesPerHour: limit}), at
		var sent []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40*60).Draw(t, "seconds")) * time.Second)
			v, err := r.reserve(7, now, amount{1, 1})
			if err != nil {
				if v := after(now.Add(-65*time.Minute), sent); v < limit {
					t.Fatalf("refused with %d in the last 65 minutes", v)
				}
				continue
			}
			v.keep(now)
			sent = append(sent, now)
			if n := after(now.Add(-time.Hour), sent); n > limit {
				t.Fatalf("%d within an hour", n)
			}
		}
	})
}

// after returns how many of sent came after a time.
func after(when time.Time, sent []time.Time) (n int) {
	for _, s := range sent {
		if s.After(when) {
			n++
		}
	}
	return n
}

func TestAClockThatIsSetBackForgetsNothing(t *testing.T) {
	r := newRates(SubmissionLimits{MessagesPerHour: 1})
	v, err := r.reserve(7, at, amount{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	v.keep(at)
	if err := r.check(7, at.Add(-24*time.Hour), amount{1, 1}); err == nil {
		t.Error("got nil, want a refusal")
	}
}

func TestAClockThatWasAheadBlocksNobody(t *testing.T) {
	r := newRates(SubmissionLimits{MessagesPerHour: 2})
	for _, now := range []time.Time{at.AddDate(10, 0, 0), at} {
		v, err := r.reserve(7, now, amount{1, 1})
		if err != nil {
			t.Fatal(err)
		}
		v.keep(now)
	}
	want := "450 4.7.1 You have sent too much: at most 2 messages an hour; try again in 65 minutes"
	if got := replyOf(r.check(7, at, amount{1, 1})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := r.check(7, at.Add(65*time.Minute), amount{1, 1}); err != nil {
		t.Errorf("after an hour: got %v, want nil", err)
	}
}

func TestRatesAreRememberedOfSoManyAccounts(t *testing.T) {
	r := newRates(SubmissionLimits{MessagesPerHour: 1})
	for i := range MaxRated + 10 {
		v, err := r.reserve(mail.AccountID(i+1), at, amount{1, 1})
		if err != nil {
			t.Fatal(err)
		}
		v.keep(at)
	}
	if len(r.accounts) != MaxRated || r.recent.Len() != MaxRated {
		t.Errorf("got %d and %d accounts, want %d", len(r.accounts), r.recent.Len(), MaxRated)
	}
	if err := r.check(MaxRated, at, amount{1, 1}); err == nil {
		t.Error("a recent account is forgotten")
	}
	if err := r.check(1, at, amount{1, 1}); err != nil {
		t.Errorf("the oldest account is remembered: %v", err)
	}
}

func TestASessionIsToldOfItsRate(t *testing.T) {
	s := submitted(t, "alice", SubmissionLimits{MessagesPerHour: 2, RecipientsPerHour: 3})
	const from = "alice@example.test"
	m := s.connect()
	defer m.Close()
	say(t, m, "MAIL FROM:<"+from+">", "RCPT TO:<bob@example.test>", "RCPT TO:<carol@example.test>", "RCPT TO:<alice@example.test>")
	wantPrefix(t, "a recipient too many", say(t, m, "RCPT TO:<admin@example.test>")[0], "450 4.7.1 You have sent too much: at most 3 recipients an hour; try again in ")
	say(t, m, "RSET")
	wantPrefix(t, "first", s.submit(from, own+"\r\n", "bob@example.test"), "250 2.0.0")
	wantPrefix(t, "refused ones don't count", s.submit(from, "From: bob@example.test\r\n\r\n", "bob@example.test"), "550 5.7.1")

	say(t, m, "MAIL FROM:<"+from+">", "RCPT TO:<bob@example.test>")
	wantPrefix(t, "second, beside the other session", s.submit(from, own+"\r\n", "bob@example.test"), "250 2.0.0")
	wantPrefix(t, "DATA", say(t, m, "DATA")[0], "450 4.7.1 You have sent too much: at most 2 messages an hour")
	wantPrefix(t, "MAIL", say(t, m, "RSET", "MAIL FROM:<"+from+">")[1], "450 4.7.1")
	if got := s.counts("bob"); got != "bob 2" {
		t.Errorf("got %s, want 2", got)
	}
	s.submitter = "bob"
	wantPrefix(t, "another account", s.submit("bob@example.test", "", "bob@example.test"), "250 2.0.0")
}

func TestAMessageThatIsBrokenOffGivesItsRateBack(t *testing.T) {
	s := newLimitedSite(t, nil, SubmissionLimits{MessagesPerHour: 1})
	for range 2 {
		c := s.beginSubmission("alice", "bob@example.test")
		c.Abort()
	}
	s.submitter = "alice"
	m := s.connect()
	say(t, m, "MAIL FROM:<alice@example.test>", "RCPT TO:<bob@example.test>", "DATA", "Subject: x")
	m.Close()
	wantPrefix(t, "after it", s.submit("alice@example.test", own+"\r\n", "bob@example.test"), "250 2.0.0")
}
