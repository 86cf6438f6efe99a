package receive

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/srs"
	"postrider/internal/store/storetest"
)

func TestAliasesForwardToOtherHosts(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "message", s.deliver("<eve@sender.example>", hello, "<both@example.test>"), "250 2.0.0")
	if got := s.counts("alice"); got != "alice 1" {
		t.Errorf("got %s", got)
	}
	o := n.messages()[0]
	from := o.Envelope.From
	if from.Domain != "example.test" || !srs.Is(from) || o.Notify.String() != "eve@sender.example" {
		t.Errorf("from %v, notify %v", from, o.Notify)
	}
	if string(o.Prefix) != "Delivered-To: both@example.test\r\n" || o.ID != n.accepts[0].ID {
		t.Errorf("got the prefix %q", o.Prefix)
	}
	wantQueued(t, n, "<"+from.String()+"> → me@far.example (alias both@example.test)")
	if want := []string{"far.example"}; !slices.Equal(n.kicked, want) {
		t.Errorf("kicked %q, want %q", n.kicked, want)
	}
}

func TestEachAliasForwardsUnderItsOwnName(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\nHi\r\n", "<x@far.example>", "<two@catch.test>", "<ME@far.example>"), "250 2.0.0")
	wantQueued(t, n,
		"<alice@example.test> → x@far.example (account alice@example.test)",
		"<alice@example.test> → me@far.example (alias away@example.test)",
		"<alice@example.test> → you@far.example, she@other.example (alias two@catch.test)",
	)
	ids := map[mail.ID]bool{}
	for _, o := range n.messages() {
		ids[o.ID] = true
		if !o.Notify.IsZero() {
			t.Errorf("a sender of ours is rewritten: %+v", o)
		}
	}
	if len(ids) != 3 || len(n.accepts) != 1 || len(n.accepts[0].Deliveries) != 0 {
		t.Errorf("got %d ids, %d accepts", len(ids), len(n.accepts))
	}
}

// RFC 2852 §4: else anybody could have a message returned for certain, to anybody.
func TestStrangersMailThatIsToBeReturnedInTimeIsNotForwarded(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "R", s.deliver("<victim@sender.example> BY=3600;R RET=FULL", hello, "<away@example.test>"), "550 5.3.3")
	wantPrefix(t, "R, partly here", s.deliver("<victim@sender.example> BY=3600;RT", hello, "<both@example.test>"), "550 5.3.3")
	if len(n.accepts) != 0 {
		t.Fatalf("queued: %v", n.queued())
	}
	wantPrefix(t, "N", s.deliver("<eve@sender.example> BY=3600;N", hello, "<away@example.test>"), "250 2.0.0")
	wantPrefix(t, "a mailbox here", s.deliver("<eve@sender.example> BY=3600;R", hello, "<alice@example.test>"), "250 2.0.0")
	s.submitter = "alice"
	wantPrefix(t, "an account", s.deliver("<alice@example.test> BY=3600;R", complete+"\r\n", "<away@example.test>"), "250 2.0.0")
}

func TestTheNullReversePathIsForwardedAsItIs(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "message", s.deliver("<>", hello, "<away@example.test>"), "250 2.0.0")
	wantQueued(t, n, "<> → me@far.example (alias away@example.test)")
}

func TestAReversePathWithoutRoomStays(t *testing.T) {
	s, n := newOnwardSite(t)
	long := strings.Repeat("x", 50) + "@sender.example"
	wantPrefix(t, "message", s.deliver("<"+long+">", hello, "<away@example.test>"), "250 2.0.0")
	wantQueued(t, n, "<"+long+"> → me@far.example (alias away@example.test)")
}

// RFC 3461 §5.2.7
func TestForwardingKeepsWhatTheSenderWantsToBeTold(t *testing.T) {
	for _, c := range []struct {
		name, rcpt string
		notify     mail.Notify
		orcpt      string
		told       string // what the sender hears from us
	}{
		{"single, nothing said", "<away@example.test>", 0, "rfc822;away@example.test", ""},
		{"single, success", "<away@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.test", mail.NotifySuccess | mail.NotifyDelay, "rfc822;a@b.test", ""},
		{"single, never", "<away@example.test> NOTIFY=NEVER", mail.NotifyNever, "rfc822;away@example.test", ""},
		{"several, nothing said", "<both@example.test>", 0, "rfc822;both@example.test", ""},
		{"several, success", "<both@example.test> NOTIFY=SUCCESS,FAILURE", mail.NotifyFailure, "rfc822;both@example.test", "expanded"},
		{"several, only success", "<both@example.test> NOTIFY=SUCCESS", mail.NotifyNever, "rfc822;both@example.test", "expanded"},
		{"several, failure", "<both@example.test> NOTIFY=FAILURE", mail.NotifyFailure, "rfc822;both@example.test", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n := newOnwardSite(t)
			wantPrefix(t, "message", s.deliver("<eve@sender.example> ENVID=q RET=FULL", hello, c.rcpt), "250 2.0.0")
			e := n.messages()[0].Envelope
			if got := e.Recipients[0]; got.Notify != c.notify || got.ORcpt != c.orcpt || e.EnvID != "q" || e.Ret != mail.RetFull {
				t.Errorf("got %+v in %+v", got, e)
			}
			if c.told == "" {
				if len(n.accepts) > 1 {
					t.Errorf("told: %v", n.queued())
				}
				return
			}
			if len(n.accepts) != 2 || !strings.Contains(n.accepts[1].octets, "Action: "+c.told) {
				t.Errorf("got %d accepts, want a notification of %s", len(n.accepts), c.told)
			}
		})
	}
}

func TestNotificationsComeBackToTheSender(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "message", s.deliver("<Eve@sender.example>", hello, "<away@example.test>"), "250 2.0.0")
	back := n.messages()[0].Envelope.From.String()
	n.accepts = nil
	wantPrefix(t, "with a sender", s.deliver("<x@y.test>", hello, "<"+back+">"), "550 5.7.1 That address is for notifications")
	s.submitter = "alice"
	wantPrefix(t, "from an account", s.deliver("<alice@example.test>", complete+"\r\n", "<"+back+">"), "550 5.7.1")
	s.submitter = ""
	wantPrefix(t, "another hash", s.deliver("<>", hello, "<"+strings.Replace(back, "=eve", "=bob", 1)[:5]+"zzzzzzzz"+back[13:]+">"), "550 5.1.1")
	wantPrefix(t, "to another of our domains", s.deliver("<>", hello, "<"+strings.Replace(back, "example.test", "catch.test", 1)+">"), "250 2.0.0")
	wantPrefix(t, "in upper case", s.deliver("<>", hello, "<"+strings.ToUpper(back)+">"), "250 2.0.0")
	wantPrefix(t, "as it is", s.deliver("<>", hello, "<"+back+">"), "250 2.0.0")
	if got := n.queued()[2]; got != "<> → Eve@sender.example (alias "+back+")" {
		t.Errorf("got %s", got)
	}
	s.now = func() time.Time { return testTime.Add(srs.MaxAge + 25*time.Hour) }
	wantPrefix(t, "too late", s.deliver("<>", hello, "<"+back+">"), "550 5.1.1 Unknown user: that return address")
	if !strings.Contains(s.log.String(), `reason="forged return address: the address is too old"`) {
		t.Errorf("the log has no reason: %s", s.log.String())
	}
}

func TestAnotherHostsRewrittenAddressIsNoneOfOurs(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\n", "<SRS0=abcd=aa=x.test=u@far.example>"), "250 2.0.0")
	wantQueued(t, n, "<alice@example.test> → SRS0=abcd=aa=x.test=u@far.example (account alice@example.test)")
}

func TestTheKeyOfRewrittenAddressesIsKept(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "message", s.deliver("<eve@sender.example>", hello, "<away@example.test>"), "250 2.0.0")
	back := n.messages()[0].Envelope.From.String()
	s.receiver = New(s.options) // as after a start
	wantPrefix(t, "after a start", s.deliver("<>", hello, "<"+back+">"), "250 2.0.0")

	s, _ = newOnwardSite(t)
	s.model.FailNext(storetest.OpRecord, fault.New(fault.Transient, "x", nil))
	wantPrefix(t, "without the key", s.deliver("<eve@sender.example>", hello, "<away@example.test>"), "451 4.3.0")
	wantPrefix(t, "with it", s.deliver("<eve@sender.example>", hello, "<away@example.test>"), "250 2.0.0")
}

func TestForwardedMailThatComesBackIsRefused(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "message", s.deliver("<eve@sender.example>", hello, "<both@example.test>"), "250 2.0.0")
	again := string(n.messages()[0].Prefix) + n.accepts[0].octets
	wantPrefix(t, "the same alias", s.deliver("<eve@sender.example>", again, "<both@example.test>"), "554 5.4.6 Mail loop")
	wantPrefix(t, "its mailbox", s.deliver("<eve@sender.example>", again, "<alice@example.test>"), "250 2.0.0")
	wantPrefix(t, "another alias", s.deliver("<eve@sender.example>", again, "<away@example.test>"), "250 2.0.0")
}

func TestATargetThatHasBecomeLocalGetsItsMailHere(t *testing.T) {
	s, n := newOnwardSite(t)
	_, err := s.model.Change(t.Context(), putDomain("far.example"), putAccount("me@far.example"))
	if err != nil {
		t.Fatal(err)
	}
	wantPrefix(t, "message", s.deliver("<eve@sender.example>", hello, "<away@example.test>"), "250 2.0.0")
	wantQueued(t, n)
	if len(n.accepts[0].Deliveries) != 1 {
		t.Errorf("got %+v", n.accepts[0].Deliveries)
	}
}

func TestWhatIsRefusedIsNotForwarded(t *testing.T) {
	s, n := newOnwardSite(t)
	wantPrefix(t, "with an unknown user", s.deliver("<e@s.example>", hello, "<away@example.test>", "<nobody@example.test>"), "550 5.1.1")
	wantPrefix(t, "with too many hops", s.deliver("<e@s.example>", strings.Repeat("Received: x\r\n", 60)+hello, "<away@example.test>"), "554 5.4.6")
	wantQueued(t, n)
}

// Who may name many aliases makes no more work with each of them.
func TestManyAliasesAreGroupedInOneGo(t *testing.T) {
	s, _ := newOnwardSite(t)
	r := New(s.options)
	all := make([]forward, MaxCopies)
	for i := range all {
		to := mail.Address{Local: strconv.Itoa(i), Domain: "far.example"}
		all[i] = forward{to: mail.Recipient{Address: to}, via: mail.Address{Local: strconv.Itoa(i / 2), Domain: "example.test"}}
	}
	e := mail.Envelope{ID: mail.NewID(s.now()), From: mail.Address{Local: "eve", Domain: "sender.example"}}
	ids := idMaker{first: e.ID, now: s.now}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	passages, err := r.forward(t.Context(), &e, all, &ids, s.now())
	runtime.ReadMemStats(&after)
	if err != nil || len(passages) != MaxCopies/2 {
		t.Fatalf("got %d passages, %v", len(passages), err)
	}
	for i, p := range passages {
		m := p.Messages()[0]
		if len(m.Envelope.Recipients) != 2 || m.Envelope.Recipients[0].Address.Local != strconv.Itoa(2*i) {
			t.Fatalf("passage %d goes to %v", i, m.Envelope.Recipients)
		}
	}
	if octets := (after.TotalAlloc - before.TotalAlloc) >> 20; octets > 100 {
		t.Errorf("%d MiB went through memory", octets)
	}
}
