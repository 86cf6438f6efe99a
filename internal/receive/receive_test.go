package receive

import (
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

const hello = "Subject: hello\r\n\r\nHow are you?\r\n"

func TestRecipientsGetTheVerdictOfTheirAddress(t *testing.T) {
	s := newSite(t, nil)
	if got := s.send(strings.Repeat("Subject: fill\r\n", 100), "full@example.test"); !strings.HasPrefix(got, "250 ") {
		t.Fatalf("fill the mailbox: %s", got)
	}
	for _, c := range []struct{ name, mail, rcpt, want string }{
		{"account", "<a@b.test>", "<alice@example.test>", "250 2.1.5"},
		{"null reverse-path", "<>", "<alice@example.test>", "250 2.1.5"},
		{"upper case", "<a@b.test>", "<ALICE@EXAMPLE.TEST>", "250 2.1.5"},
		{"quoted", "<a@b.test>", `<"alice"@example.test>`, "250 2.1.5"},
		{"trailing dot", "<a@b.test>", "<alice@example.test.>", "250 2.1.5"},
		{"sub-address", "<a@b.test>", "<alice+tag@example.test>", "250 2.1.5"},
		{"alias", "<a@b.test>", "<team@example.test>", "250 2.1.5"},
		{"catch-all", "<a@b.test>", "<whoever@catch.test>", "250 2.1.5"},
		{"source route", "<a@b.test>", "<@relay.test:alice@example.test>", "250 2.1.5"},
		{"postmaster without a domain", "<a@b.test>", "<PostMaster>", "250 2.1.5"},
		{"postmaster", "<a@b.test>", "<postmaster@example.test>", "250 2.1.5"},
		{"unknown user", "<a@b.test>", "<nobody@example.test>", "550 5.1.1 Unknown user"},
		{"unknown sub-address", "<a@b.test>", "<nobody+alice@example.test>", "550 5.1.1 Unknown user"},
		{"percent means nothing", "<a@b.test>", "<alice%example.test@example.test>", "550 5.1.1 Unknown user"},
		{"percent and a foreign host", "<a@b.test>", "<victim%example.org@example.test>", "550 5.1.1 Unknown user"},
		{"bang means nothing", "<a@b.test>", "<example.org!victim@example.test>", "550 5.1.1 Unknown user"},
		{"relay", "<a@b.test>", "<alice@example.org>", "550 5.7.1 Relaying denied"},
		{"relay from a local sender", "<alice@example.test>", "<alice@example.org>", "550 5.7.1 Relaying denied"},
		{"relay by source route", "<a@b.test>", "<@example.test:alice@example.org>", "550 5.7.1 Relaying denied"},
		{"subdomain", "<a@b.test>", "<alice@sub.example.test>", "550 5.7.1 Relaying denied"},
		{"address literal", "<a@b.test>", "<alice@[192.0.2.1]>", "550 5.7.1 Relaying denied"},
		{"over quota with the declared size", "<a@b.test> SIZE=1000", "<full@example.test>", "452 4.2.2 Over quota"},
		{"size larger than the quota", "<a@b.test> SIZE=1000000", "<full@example.test>", "452 4.2.2 Over quota"},
		{"over quota by an alias", "<a@b.test> SIZE=1000", "<crowd@example.test>", "452 4.2.2 Over quota"},
		{"room without a declared size", "<a@b.test>", "<full@example.test>", "250 2.1.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := s.connect()
			defer m.Close()
			got := say(t, m, "EHLO client.example.org", "MAIL FROM:"+c.mail, "RCPT TO:"+c.rcpt)
			wantPrefix(t, "RCPT", got[len(got)-1], c.want)
		})
	}
	for reason, want := range map[string]float64{"relay": 5, "unknown user": 5, "over quota": 3} {
		if got := s.metric("postrider_refused_total", "reason="+reason, "role=mx", "stage=rcpt"); got != want {
			t.Errorf("refused for %s: got %v, want %v", reason, got, want)
		}
	}
}

func TestPostmasterIsNeverOverQuota(t *testing.T) {
	e := mail.Envelope{Size: 1 << 40}
	for _, c := range []struct {
		local string
		want  bool
	}{{"postmaster", true}, {"PostMaster", true}, {"postmaster2", false}} {
		a := overQuotaAttempt(e, c.local)
		if got := hasRoom(t.Context(), nil, a) == nil; got != c.want {
			t.Errorf("%s: taken %v, want %v", c.local, got, c.want)
		}
	}
}

func TestMessageThatFitsNowhereIsRefusedAtItsEnd(t *testing.T) {
	large := "Subject: x\r\n\r\n" + strings.Repeat("x", fullQuota) + "\r\n"
	for _, c := range []struct {
		name string
		to   []string
		want string
		mail string
	}{
		{"full alone", []string{"full@example.test"}, "452 4.2.2 Over quota", "full 0 bob 0 admin 0"},
		{"another has room", []string{"full@example.test", "bob@example.test"}, "250 2.0.0", "full 1 bob 1 admin 0"},
		{"postmaster", []string{"postmaster@example.test"}, "250 2.0.0", "full 0 bob 0 admin 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			if _, err := s.model.Change(t.Context(), store.PutAccount{
				Account: store.Account{ID: s.accounts["admin"], Address: "admin@example.test", Quota: fullQuota},
			}); err != nil {
				t.Fatal(err)
			}
			wantPrefix(t, "message", s.send(large, c.to...), c.want)
			if got := s.counts("full", "bob", "admin"); got != c.mail {
				t.Errorf("got %s, want %s", got, c.mail)
			}
		})
	}
}

func TestOneCopyGoesToEachMailbox(t *testing.T) {
	for _, c := range []struct {
		name string
		to   []string
		want string
	}{
		{"two recipients, one mailbox", []string{"alice@example.test", "al@example.test"}, "alice 1 bob 0"},
		{"one recipient twice", []string{"alice@example.test", "ALICE@example.test"}, "alice 1 bob 0"},
		{"sub-addresses", []string{"alice+a@example.test", "alice+b@example.test"}, "alice 1 bob 0"},
		{"alias of two", []string{"team@example.test"}, "alice 1 bob 1"},
		{"alias and its target", []string{"team@example.test", "bob@example.test"}, "alice 1 bob 1"},
		{"one known, one unknown", []string{"nobody@example.test", "bob@example.test"}, "alice 0 bob 1"},
		{"catch-all", []string{"x@catch.test", "y@catch.test"}, "alice 0 bob 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			wantPrefix(t, "message", s.send(hello, c.to...), "250 2.0.0")
			if got := s.counts("alice", "bob"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := s.metric("postrider_messages_accepted_total"); got != 1 {
				t.Errorf("counted %v messages, want 1", got)
			}
		})
	}
}

func TestRouteHasEachAccountOnce(t *testing.T) {
	var w route
	for range 3 {
		for i := range 3 * fewTargets {
			w.add(targetsTo(mail.AccountID(i+1), mail.AccountID(i+2)))
		}
	}
	if got, want := len(w.targets), 3*fewTargets+1; got != want {
		t.Errorf("got %d targets, want %d", got, want)
	}
	for i, target := range w.targets {
		if target.Account != mail.AccountID(i+1) {
			t.Fatalf("target %d: got account %d, want them in order", i, target.Account)
		}
	}
}

func TestTooManyCopiesAreLeftForAnotherTransaction(t *testing.T) {
	a := overQuotaAttempt(mail.Envelope{}, "x")
	a.targets = make([]target, MaxCopies)
	if err := hasFewEnoughCopies(t.Context(), nil, a); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	a.route.targets = a.targets[:1]
	if err := hasFewEnoughCopies(t.Context(), nil, a); err == nil {
		t.Error("over the limit: got nil")
	}
}

func TestASickStoreIsToldAtMail(t *testing.T) {
	for _, c := range []struct {
		kind fault.Kind
		want string
	}{{fault.NoSpace, "452 4.3.1"}, {fault.ReadOnly, "451 4.3.0"}} {
		t.Run(c.kind.String(), func(t *testing.T) {
			s := newSite(t, nil)
			s.model.SetHealth(fault.New(c.kind, "sync", nil))
			m := s.connect()
			defer m.Close()
			got := say(t, m, "HELO x", "MAIL FROM:<a@b.test>")
			wantPrefix(t, "MAIL", got[1], c.want)
			s.model.SetHealth(nil)
			wantPrefix(t, "MAIL when it is well again", say(t, m, "MAIL FROM:<a@b.test>")[0], "250 2.1.0")
		})
	}
}

func TestVerifyAndExpandAnswerOnATeachListenerOnly(t *testing.T) {
	s := newSite(t, nil)
	m := s.connect()
	defer m.Close()
	say(t, m, "EHLO x")
	for _, command := range []string{"VRFY alice@example.test", "EXPN team@example.test"} {
		wantPrefix(t, command+" on a strict listener", say(t, m, command)[0], "252 2.0.0")
	}
	s.teach = true
	teach := s.connect()
	defer teach.Close()
	say(t, teach, "EHLO x")
	for _, c := range []struct {
		command string
		want    []string
	}{
		{"VRFY alice@example.test", []string{"250 2.1.5 <alice@example.test>"}},
		{"VRFY <alice@example.test>", []string{"250 2.1.5 <alice@example.test>"}},
		{"VRFY alice", []string{"250 2.1.5 <alice@example.test>"}},
		{"VRFY nobody@example.test", []string{"550 5.1.1"}},
		{"VRFY alice@example.org", []string{"550 5.1.2"}},
		{"VRFY alice@", []string{"553 5.1.3"}},
		{"EXPN team@example.test", []string{"250-2.1.5 <alice@example.test>", "250 2.1.5 <bob@example.test>"}},
		{"EXPN nobody@example.test", []string{"550 5.1.1"}},
	} {
		got := say(t, teach, c.command)
		if len(got) != len(c.want) {
			t.Errorf("%s: got %q, want %q", c.command, got, c.want)
			continue
		}
		for i := range got {
			wantPrefix(t, c.command, got[i], c.want[i])
		}
	}
}
