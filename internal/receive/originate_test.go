package receive

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

func putDomain(name string) store.Change {
	return store.PutDomain{Domain: store.Domain{Name: name}}
}

func putAccount(address string) store.Change {
	return store.PutAccount{New: true, Account: store.Account{Address: address}}
}

var settlement = store.Settlement{RowLease: store.RowLease{Row: store.RowID{Message: mail.ID{1}, Index: 2}, Fence: 3}, Remove: true}

// notice is a message of the server's own.
func notice(t testing.TB, to string) Original {
	t.Helper()
	a, err := mail.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	return Original{
		ID: mail.NewID(testTime), To: a, What: "bounce", Settle: []store.Settlement{settlement},
		Write: func(w io.Writer) error {
			_, err := io.WriteString(w, "Subject: x\r\n\r\nIt failed.\r\n")
			return err
		},
	}
}

func TestTheServersOwnMailGoesWhereItLeads(t *testing.T) {
	s, n := newOnwardSite(t)
	forwarded := s.deliver("<eve@sender.example>", hello, "<away@example.test>")
	wantPrefix(t, "message", forwarded, "250 2.0.0")
	back := n.messages()[0].Envelope.From.String()
	for _, c := range []struct {
		to, queued string
		copies     int
	}{
		{"alice@example.test", "", 1},
		{"full@example.test", "", 1},
		{"team@example.test", "", 2},
		{"x@far.example", "<> → x@far.example (server bounce)", 0},
		{"both@example.test", "<> → me@far.example (alias both@example.test)", 1},
		{back, "<> → eve@sender.example (server bounce)", 0},
	} {
		n.accepts, n.settled, n.kicked = nil, nil, nil
		o := notice(t, c.to)
		if err := s.receiver.Originate(t.Context(), o); err != nil {
			t.Fatalf("%s: %v", c.to, err)
		}
		a := n.accepts[0]
		if got := strings.Join(n.queued(), "; "); got != c.queued || len(a.Deliveries) != c.copies || len(a.Settle) != 1 {
			t.Errorf("%s: queued %q, %d copies, %d settled", c.to, got, len(a.Deliveries), len(a.Settle))
		}
		if (len(n.kicked) > 0) != (c.queued != "") {
			t.Errorf("%s: kicked %q", c.to, n.kicked)
		}
		want := "Received: by mx.example.test id " + o.ID.String() + ";\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\nSubject: x\r\n\r\nIt failed.\r\n"
		if a.octets != want || !a.Envelope.From.IsZero() || !a.Received.Equal(testTime) {
			t.Errorf("%s: got %q, want %q", c.to, a.octets, want)
		}
	}
	if got := s.inbox("full")[0]; !strings.HasPrefix(got, "Return-Path: <>\r\nDelivered-To: full@example.test\r\nReceived: by ") {
		t.Errorf("got %s", got)
	}
	o := notice(t, "full@example.test")
	o.ID, o.About = mail.NewID(testTime), mail.NewID(testTime)
	if err := s.receiver.Originate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if log := s.log.String(); !strings.Contains(log, `msg="message originated"`) || !strings.Contains(log, "about="+o.About.String()) {
		t.Errorf("it is not logged, with what it tells of:\n%s", log)
	}
}

func TestRowsAreSettledEvenIfNobodyCanBeTold(t *testing.T) {
	for _, to := range []string{"nobody@example.test", "SRS0=abcdefgh=aa=far.example=x@example.test"} {
		s, n := newOnwardSite(t)
		if err := s.receiver.Originate(t.Context(), notice(t, to)); err != nil {
			t.Fatal(err)
		}
		if len(n.accepts) > 0 || len(n.settled) != 1 || !strings.Contains(s.log.String(), "nobody can be told") {
			t.Errorf("%s: accepted %d, settled %v; log %s", to, len(n.accepts), n.settled, s.log.String())
		}
	}
	s, n := newOnwardSite(t, func(o *Options) { o.Onward = false })
	if err := s.receiver.Originate(t.Context(), notice(t, "x@far.example")); err != nil || len(n.settled) != 1 {
		t.Errorf("without a queue: %v, settled %v", err, n.settled)
	}
	if err := s.receiver.Originate(t.Context(), notice(t, "away@example.test")); err != nil || len(n.settled) != 2 {
		t.Errorf("by an alias without a queue: %v, settled %v", err, n.settled)
	}
}

func TestWhatCannotBeOriginatedIsAnErrorAndSettlesNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		op   storetest.Op
		kind fault.Kind
	}{
		{"lookup", storetest.OpLookup, fault.Transient},
		{"new content", storetest.OpNewContent, fault.NoSpace},
		{"write", storetest.OpWrite, fault.NoSpace},
		{"accept", storetest.OpAccept, fault.NoSpace},
		{"an account that goes away", storetest.OpAccept, fault.NotFound},
		{"a stale lease", storetest.OpAccept, fault.Denied},
	} {
		s, n := newOnwardSite(t)
		s.model.FailNext(c.op, fault.New(c.kind, "x", broken))
		err := s.receiver.Originate(t.Context(), notice(t, "alice@example.test"))
		want := c.kind
		if want == fault.NotFound {
			want = fault.Transient
		}
		if !fault.Is(err, want) || len(n.settled) > 0 || s.counts("alice") != "alice 0" {
			t.Errorf("%s: got %v, settled %d", c.name, err, len(n.settled))
		}
	}
	s, n := newOnwardSite(t)
	o := notice(t, "alice@example.test")
	o.Write = func(io.Writer) error { return broken }
	if err := s.receiver.Originate(t.Context(), o); !errors.Is(err, broken) || len(n.settled) > 0 {
		t.Errorf("a message that can't be written: got %v, settled %d", err, len(n.settled))
	}
}

func TestARowIsSettledWithItsNotice(t *testing.T) {
	s, n := newOnwardSite(t)
	n.settles, s.submitter = true, "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "250 2.0.0")
	leased, err := n.Lease(t.Context(), store.LeaseQuery{Destination: "far.example", Now: testTime, Until: testTime.Add(time.Minute), Limit: 1})
	if err != nil || len(leased) != 1 {
		t.Fatalf("leased %v, %v", leased, err)
	}
	o := notice(t, "alice@example.test")
	o.Settle[0].RowLease = store.RowLease{Row: store.RowID{Message: leased[0].Message.ID}, Fence: leased[0].Fences[0]}
	if err := s.receiver.Originate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	usage, err := n.QueueUsage(t.Context())
	if err != nil || usage.Rows != 0 || s.counts("alice") != "alice 1" {
		t.Errorf("left %+v, %v; %s", usage, err, s.counts("alice"))
	}
	o.ID = mail.NewID(testTime)
	if err := s.receiver.Originate(t.Context(), o); !fault.Is(err, fault.Denied) || s.counts("alice") != "alice 1" {
		t.Errorf("under a stale lease: %v, %s", err, s.counts("alice"))
	}
}

func TestTheSameNoticeAgainIsOne(t *testing.T) {
	s, n := newOnwardSite(t)
	o := notice(t, "alice@example.test")
	for range 2 {
		if err := s.receiver.Originate(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.accepts) != 1 || s.counts("alice") != "alice 1" {
		t.Errorf("accepted %d, %s", len(n.accepts), s.counts("alice"))
	}
}

// RFC 3461 §5.2.3
func TestSuccessIsToldWhereItWasAskedFor(t *testing.T) {
	for _, c := range []struct {
		name, from string
		to         []string
		want       []string // the recipients that are told of
	}{
		{"one", "<eve@sender.example>", []string{"<alice@example.test> NOTIFY=SUCCESS"}, []string{"alice@example.test"}},
		{"several in one", "<eve@sender.example>", []string{"<alice@example.test> NOTIFY=SUCCESS", "<bob@example.test>", "<team@example.test> NOTIFY=SUCCESS,DELAY"}, []string{"alice@example.test", "team@example.test"}},
		{"nothing said", "<eve@sender.example>", []string{"<alice@example.test>"}, nil},
		{"never", "<eve@sender.example>", []string{"<alice@example.test> NOTIFY=NEVER"}, nil},
		{"failure", "<eve@sender.example>", []string{"<alice@example.test> NOTIFY=FAILURE"}, nil},
		{"null reverse-path", "<>", []string{"<alice@example.test> NOTIFY=SUCCESS"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n := newOnwardSite(t)
			wantPrefix(t, "message", s.deliver(c.from, hello, c.to...), "250 2.0.0")
			if len(c.want) == 0 {
				if len(n.accepts) != 1 {
					t.Errorf("got %d accepts: %v", len(n.accepts), n.queued())
				}
				return
			}
			wantQueued(t, n, "<> → eve@sender.example (server delivery notification)")
			if len(n.accepts) != 2 {
				t.Fatalf("got %d accepts, want one notification", len(n.accepts))
			}
			got := n.accepts[1].octets
			if strings.Count(got, "\r\nFinal-Recipient: ") != len(c.want) || strings.Count(got, "\r\nAction: delivered\r\n") != len(c.want) {
				t.Errorf("got %s", got)
			}
			for _, to := range c.want {
				if !strings.Contains(got, "\r\nFinal-Recipient: rfc822; "+to+"\r\n") {
					t.Errorf("%s is not told of in %s", to, got)
				}
			}
		})
	}
}

func TestOneWhoSubmitsIsToldInHisMailbox(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\n", "<bob@example.test> NOTIFY=SUCCESS", "<x@far.example> NOTIFY=SUCCESS"), "250 2.0.0")
	wantQueued(t, n, "<alice@example.test> → x@far.example (account alice@example.test)")
	box := s.inbox("alice")
	if len(box) != 1 || !strings.Contains(box[0], "Final-Recipient: rfc822; bob@example.test") || strings.Contains(box[0], "x@far.example") {
		t.Fatalf("got %q", box)
	}
	if !strings.Contains(box[0], "\r\n    Date: ") || !strings.Contains(box[0], "\r\nContent-Type: text/rfc822-headers\r\n") {
		t.Errorf("it does not say which message it is about: %s", box[0])
	}
}

// What a stranger writes is not to be carried to whoever the stranger named as sender.
func TestAStrangerHearsOfSuccessWithoutItsOwnWords(t *testing.T) {
	const letter = "From: x@y.test\r\nSubject: Buy pills\r\nDate: Pills today\r\nMessage-ID: <pills@y.test>\r\n\r\nPills.\r\n"
	for _, to := range []string{"<anything-pills@catch.test>", "<alice+pills@example.test>", "<both@example.test>"} {
		s, n := newOnwardSite(t)
		wantPrefix(t, "message", s.deliver("<eve@sender.example> ENVID=pills RET=FULL", letter, to+" NOTIFY=SUCCESS ORCPT=rfc822;pills@y.test"), "250 2.0.0")
		if len(n.accepts) != 2 {
			t.Fatalf("%s: got %d accepts, want one notification", to, len(n.accepts))
		}
		got := n.accepts[1].octets
		people, report, found := strings.Cut(got, "\r\nContent-Type: message/delivery-status\r\n")
		if !found || strings.Contains(strings.ToLower(people), "pills") {
			t.Errorf("%s: people read %s", to, people)
		}
		for _, want := range []string{"\r\nOriginal-Envelope-Id: pills\r\n", "\r\nOriginal-Recipient: rfc822; pills@y.test\r\n", "\r\nFinal-Recipient: rfc822; " + strings.Trim(to, "<>") + "\r\n"} {
			if !strings.Contains(report, want) {
				t.Errorf("%s: programs are not told %q: %s", to, want, report)
			}
		}
		if strings.Contains(report, "Buy") || strings.Contains(report, "Pills.") {
			t.Errorf("%s: it brings back %s", to, report)
		}
	}
}

func TestStrangersHearOfNoMoreSuccessesThanAreAllowed(t *testing.T) {
	s, n := newOnwardSite(t)
	now := testTime
	s.now = func() time.Time { return now }
	many := func(count int) (told int) {
		before := len(n.accepts)
		for range count {
			wantPrefix(t, "message", s.deliver("<eve@sender.example>", hello, "<alice@example.test> NOTIFY=SUCCESS"), "250 2.0.0")
		}
		return len(n.accepts) - before - count
	}
	const warning = "strangers are not told"
	if got := many(StrangerNotices + 5); got != StrangerNotices || strings.Count(s.log.String(), warning) != 1 {
		t.Errorf("told %d: %s", got, s.log.String())
	}
	now = now.Add(time.Minute / StrangerNotices)
	if got := many(5); got != 1 || strings.Count(s.log.String(), warning) != 1 {
		t.Errorf("told %d more, %d warnings", got, strings.Count(s.log.String(), warning))
	}
	now = now.Add(time.Minute)
	if got := many(StrangerNotices + 1); got != StrangerNotices || !strings.Contains(s.log.String(), "left_out=9") {
		t.Errorf("a minute later told %d: %s", got, s.log.String())
	}
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\n", "<bob@example.test> NOTIFY=SUCCESS"), "250 2.0.0")
	if got := s.inbox("alice"); !strings.Contains(got[len(got)-1], "Action: delivered") {
		t.Errorf("an account is not told: %q", got[len(got)-1])
	}
}

func TestRowsAreSettledAlsoIfAStrangerIsNotTold(t *testing.T) {
	s, n := newOnwardSite(t)
	for i := range StrangerNotices + 2 {
		o := notice(t, "x@far.example")
		o.ID, o.Stranger = mail.NewID(testTime.Add(time.Duration(i)*time.Second)), true
		if err := s.receiver.Originate(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.accepts) != StrangerNotices || len(n.settled) != StrangerNotices+2 {
		t.Errorf("%d sent, %d settled", len(n.accepts), len(n.settled))
	}
}

func TestHeldMailIsToldOfWhenItIsReleased(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test> HOLDFOR=60", complete+"\r\n", "<bob@example.test> NOTIFY=SUCCESS", "<carol@example.test>"), "250 2.0.0")
	if len(n.accepts) != 1 {
		t.Fatalf("told before it is released")
	}
	s.now = func() time.Time { return testTime.Add(time.Hour) }
	h := holder{r: s.receiver, retries: map[mail.ID]*retry{}}
	h.round(t.Context())
	box := s.inbox("alice")
	if got := s.counts("bob", "carol"); got != "bob 1 carol 1" || len(box) != 1 || !strings.Contains(box[0], "Final-Recipient: rfc822; bob@example.test") {
		t.Fatalf("%s, told %q", got, box)
	}
	_, returned, found := strings.Cut(box[0], "\r\nContent-Type: text/rfc822-headers\r\n")
	if !found || !strings.Contains(returned, "\r\nMessage-ID: <a@b>\r\n") || strings.Contains(returned, "Delivered-To") {
		t.Errorf("it does not bring the message's header as it was sent: %s", box[0])
	}
}

func TestHeldMailIsToldOfAlsoIfItHasBeenCollected(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test> HOLDFOR=60", complete+"\r\n", "<bob@example.test> NOTIFY=SUCCESS"), "250 2.0.0")
	n.collected = true
	s.now = func() time.Time { return testTime.Add(time.Hour) }
	h := holder{r: s.receiver, retries: map[mail.ID]*retry{}}
	h.round(t.Context())
	if box := s.inbox("alice"); len(box) != 1 || !strings.Contains(box[0], "Action: delivered") || strings.Contains(box[0], "rfc822-headers") {
		t.Errorf("told %q", box)
	}
}

func TestAMessageIsDeliveredAlsoIfItsSenderCannotBeTold(t *testing.T) {
	s, n := newOnwardSite(t)
	m := s.connect()
	defer m.Close()
	say(t, m, "EHLO x", "MAIL FROM:<eve@sender.example>", "RCPT TO:<alice@example.test> NOTIFY=SUCCESS", "DATA")
	n.after = func() { n.refused = fault.New(fault.NoSpace, "accept", nil) }
	got := say(t, m, hello+".")
	wantPrefix(t, "message", got[0], "250 2.0.0")
	if s.counts("alice") != "alice 1" || !strings.Contains(s.log.String(), "a sender was not told") {
		t.Errorf("%s: %s", s.counts("alice"), s.log.String())
	}
}
