package admin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// queueing is a message for enqueue.
type queueing struct {
	from    string // empty: the null reverse-path
	to      []string
	warrant store.Warrant // zero: alice's
	age     time.Duration
	hold    time.Time // set: its sender holds it back until then, and so long it is not due
	text    string    // empty: a small message
}

// enqueue puts a message into the queue, due in an hour, and returns its id.
func enqueue(t *testing.T, m *storetest.Model, q queueing) mail.ID {
	t.Helper()
	if q.text == "" {
		q.text = "Subject: onward\r\n\r\nHello\r\n"
	}
	content, err := m.NewContent(t.Context(), 0)
	must(t, err)
	_, err = content.Write([]byte(q.text))
	must(t, err)
	accepted := time.Now().Add(-q.age)
	on := store.Onward{ID: mail.NewID(accepted), Due: time.Now().Add(time.Hour)}
	if !q.hold.IsZero() {
		on.Due, on.Envelope.Hold = q.hold, q.hold
	}
	if q.from != "" {
		on.Envelope.From = address(t, q.from)
	}
	for _, to := range q.to {
		on.Envelope.Recipients = append(on.Envelope.Recipients, mail.Recipient{Address: address(t, to)})
	}
	if !q.warrant.Valid() {
		q.warrant = store.AccountWarrant(1, "alice@example.org")
	}
	p, err := store.Pass(q.warrant, on)
	must(t, err)
	_, err = m.Accept(t.Context(), store.Accept{ID: mail.NewID(accepted), Content: content, Received: accepted, Onward: []store.Passage{p}})
	must(t, err)
	return on.ID
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	must(t, err)
	return a
}

// progress settles a row as if it had been tried.
func progress(t *testing.T, m *storetest.Model, id mail.ID, row int, p store.RowProgress) {
	t.Helper()
	l := lease(t, m, id, row)
	_, err := m.Settle(t.Context(), []store.Settlement{{
		RowLease: store.RowLease{Row: store.RowID{Message: id, Index: row}, Fence: l.Fences[0]},
		Due:      time.Now().Add(time.Hour), Progress: p,
	}})
	must(t, err)
}

func lease(t *testing.T, m *storetest.Model, id mail.ID, row int) store.Leased {
	t.Helper()
	l, err := m.LeaseRows(t.Context(), id, []int{row}, time.Now().Add(time.Hour))
	must(t, err)
	return l
}

// recipients returns whom the rows of a list are for, in the alphabet's order.
func recipients(t *testing.T, c *Client, f QueueFilter) []string {
	t.Helper()
	all := []string{}
	for _, r := range collect(t, c.Queue(t.Context(), f)) {
		all = append(all, r.To)
	}
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return all
}

func TestQueueIsFilteredByWhatItsRowsAre(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		first := enqueue(t, m, queueing{from: "Alice@example.org", to: []string{"b@example.net", "c@sub.example.net", "d@example.com"}, age: 3 * time.Hour})
		enqueue(t, m, queueing{from: "bob@example.org", to: []string{"E@example.net"}, warrant: store.ClientWarrant("printer"), age: time.Hour})
		third := enqueue(t, m, queueing{to: []string{"f@xn--mnchen-3ya.example"}, warrant: store.ServerWarrant("failure notice")})
		enqueue(t, m, queueing{from: "x@elsewhere.example", to: []string{"g@example.com"}, warrant: store.AliasWarrant("all@example.org")})
		progress(t, m, first, 1, store.RowProgress{Attempts: 1, Last: time.Now(), Reply: "451 later"})
		lease(t, m, first, 2)
		_, err := m.ChangeRows(t.Context(), third, nil, store.HoldRows, time.Now())
		must(t, err)
		now := time.Now()
		for _, test := range []struct {
			name string
			f    QueueFilter
			want string
		}{
			{"nothing", QueueFilter{}, "b c d E f g"},
			{"sender", QueueFilter{Sender: "alice@EXAMPLE.org"}, "b c d"},
			{"sender's domain", QueueFilter{Sender: "@example.org"}, "b c d E"},
			{"null reverse-path", QueueFilter{Sender: "<>"}, "f"},
			{"recipient", QueueFilter{Recipient: "e@example.net"}, "E"},
			{"domain", QueueFilter{Domain: "Example.net"}, "b E"},
			{"domain in Unicode", QueueFilter{Domain: "münchen.example"}, "f"},
			{"domains below", QueueFilter{Domain: ".example.net"}, "c"},
			{"older", QueueFilter{Before: now.Add(-2 * time.Hour)}, "b c d"},
			{"newer", QueueFilter{After: now.Add(-2 * time.Hour)}, "E f g"},
			{"between", QueueFilter{After: now.Add(-2 * time.Hour), Before: now.Add(-time.Minute)}, "E"},
			{"waiting", QueueFilter{State: "waiting"}, "b E g"},
			{"delayed", QueueFilter{State: "delayed"}, "c"},
			{"leased", QueueFilter{State: "leased"}, "d"},
			{"held", QueueFilter{State: "held"}, "f"},
			{"kind of warrant", QueueFilter{Warrant: "alias"}, "g"},
			{"account", QueueFilter{Warrant: "account:Alice@example.org"}, "b c d"},
			{"another account", QueueFilter{Warrant: "account:bob@example.org"}, ""},
			{"client", QueueFilter{Warrant: "client:printer"}, "E"},
			{"server", QueueFilter{Warrant: "server"}, "f"},
			{"two at once", QueueFilter{Sender: "@example.org", Domain: "example.com"}, "d"},
		} {
			var got []string
			for _, to := range recipients(t, c, test.f) {
				got = append(got, to[:strings.Index(to, "@")])
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s: got %q, want %q", test.name, got, test.want)
			}
		}
		for _, f := range []QueueFilter{
			{Sender: "alice"}, {Sender: "@"}, {Recipient: "<>"}, {Domain: "a..b"}, {Domain: "."}, {State: "lost"}, {Warrant: "none"}, {Warrant: "friend:bob"},
		} {
			var err error
			for _, err = range c.Queue(t.Context(), f) {
			}
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("filter %+v: got %v, want the kind invalid", f, err)
			}
		}
	})
}

func FuzzQueueFilterIsUsedOrInvalid(f *testing.F) {
	f.Add("alice@example.org", "b@example.net", ".example.net", "held", "account:alice@example.org")
	f.Add("<>", "", "münchen.example", "", "server")
	f.Add("@example.org", `"a b"@[192.0.2.1]`, "[IPv6:2001:db8::1]", "lost", ":")
	f.Fuzz(func(t *testing.T, sender, recipient, domain, state, warrant string) {
		q := QueueFilter{Sender: sender, Recipient: recipient, Domain: domain, State: state, Warrant: warrant}
		rules, err := q.rules()
		if err != nil && (!fault.Is(err, fault.Invalid) || len(err.Error()) > 1000) {
			t.Errorf("%+v: got %v", q, err)
		}
		if empty := q == (QueueFilter{}); err == nil && empty != (len(rules) == 0) {
			t.Errorf("%+v: got %d rules", q, len(rules)) // none would mean every row
		}
		m := store.QueuedMessage{Rows: []store.Row{{}, {Recipient: mail.Recipient{Address: mail.Address{Local: "a", Domain: "example.net"}}}}}
		rules.rows(&m)
	})
}

func TestQueuedMessageIsShownWhole(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		text := "Subject: a\r\nX-Long: " + strings.Repeat("y", 9000) + "\r\n\r\nSubject: no field\r\n"
		id := enqueue(t, m, queueing{from: "alice@example.org", to: []string{"b@example.net", "c@example.com"}, text: text})
		progress(t, m, id, 1, store.RowProgress{
			Attempts: 2, Last: time.Now(), Host: "mx.example.com [192.0.2.1]", Reply: "451 4.7.1 later\nreally", Delayed: true, Uncertain: true,
		})
		must(t, m.Freeze(t.Context(), "example.net", "they move", time.Now()))
		got, err := c.QueuedMessage(t.Context(), id.String())
		must(t, err)
		if got.ID != id.String() || got.Octets != int64(len(text)) || got.From != "alice@example.org" || got.Warrant != "account:alice@example.org" || len(got.Rows) != 2 {
			t.Fatalf("got %+v", got)
		}
		if r := got.Rows[0]; r.State != "waiting" || !r.Frozen || r.Destination != "example.net" || r.Tries != 0 {
			t.Errorf("row 0: got %+v, want it waiting and frozen", r)
		}
		if r := got.Rows[1]; r.State != "delayed" || r.Frozen || r.Tries != 2 || r.Reply != "451 4.7.1 later\nreally" || !r.SenderTold || !r.Uncertain {
			t.Errorf("row 1: got %+v, want all that was settled", r)
		}
		var whole, header bytes.Buffer
		must(t, c.ReadQueued(t.Context(), id.String(), false, &whole))
		must(t, c.ReadQueued(t.Context(), id.String(), true, &header))
		if whole.String() != text {
			t.Errorf("read %d octets, want the %d of the message", whole.Len(), len(text))
		}
		if want := text[:strings.Index(text, "\r\n\r\n")+2]; header.String() != want {
			t.Errorf("read a header of %d octets, want %d", header.Len(), len(want))
		}
		_, err = c.QueuedMessage(t.Context(), mail.NewID(time.Now()).String())
		if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no message is queued under that id") {
			t.Errorf("got %v, want not found", err)
		}
		if _, err = c.QueuedMessage(t.Context(), "x"); !fault.Is(err, fault.Invalid) {
			t.Errorf("got %v, want the kind invalid", err)
		}
	})
}

func TestHeaderEndsAtTheFirstEmptyLine(t *testing.T) {
	long := strings.Repeat("z", 4096) // fills the reader's buffer
	for _, test := range []struct{ name, text, want string }{
		{"no header", "\r\nbody", ""},
		{"no body", "A: b\r\n", "A: b\r\n"},
		{"no line", "A", "A"},
		{"nothing", "", ""},
		{"line end at a buffer's end", "A: " + long[3:] + "\r\n\r\nbody", "A: " + long[3:] + "\r\n"},
	} {
		var got bytes.Buffer
		if err := copyHeader(&got, strings.NewReader(test.text)); err != nil || got.String() != test.want {
			t.Errorf("%s: got %q (%v), want %q", test.name, got.String(), err, test.want)
		}
	}
}

func TestDamagedMessageHidesNoOther(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		bad := enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
		enqueue(t, m, queueing{from: "a@example.org", to: []string{"c@example.net"}})
		m.SpoilRow(store.RowID{Message: bad})
		var seen []string
		var last error
		for r, err := range c.Queue(t.Context(), QueueFilter{}) {
			if last = err; err == nil {
				seen = append(seen, r.To)
			}
		}
		if !slices.Equal(seen, []string{"c@example.net"}) || !fault.Is(last, fault.Corrupt) {
			t.Errorf("got %v and %v, want c and that a message is corrupt", seen, last)
		}
		var problems []QueueProblem
		done, err := c.ChangeQueue(t.Context(), "hold", QueueChange{All: true}, note(&problems))
		must(t, err)
		if done.Changed != 1 || done.NotDone != 1 || len(problems) != 1 || problems[0].ID != bad.String() || problems[0].Row != -1 {
			t.Errorf("got %+v and %+v, want one held and one message not", done, problems)
		}
		if _, err := c.QueueStats(t.Context(), QueueFilter{}, func(QueueDestination) error { return nil }); !fault.Is(err, fault.Corrupt) {
			t.Errorf("stats: got %v, want that a message is corrupt", err)
		}
	})
}

func TestStatsCountByDestination(t *testing.T) {
	bothWays(t, func(t *testing.T, m *storetest.Model, c *Client) {
		first := enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net", "c@example.net", "d@example.com"}, age: time.Hour})
		enqueue(t, m, queueing{from: "a@example.org", to: []string{"e@example.net"}})
		progress(t, m, first, 0, store.RowProgress{Attempts: 1, Last: time.Now().Add(-time.Minute), Reply: "earlier"})
		progress(t, m, first, 1, store.RowProgress{Attempts: 1, Last: time.Now(), Reply: strings.Repeat("ü", 400)})
		lease(t, m, first, 2)
		must(t, m.Freeze(t.Context(), "example.net", "they move", time.Now()))
		var all []QueueDestination
		totals, err := c.QueueStats(t.Context(), QueueFilter{}, func(d QueueDestination) error {
			all = append(all, d)
			return nil
		})
		must(t, err)
		if len(all) != 2 || all[0].Destination != "example.net" || all[1].Destination != "example.com" {
			t.Fatalf("got %+v, want example.net, then example.com", all)
		}
		if d := all[0]; d.Rows != 3 || d.Waiting != 1 || d.Delayed != 2 || !d.Frozen || d.Why != "they move" || d.Failure == nil || d.Failure.Reply != strings.Repeat("ü", 150)+"…" {
			t.Errorf("example.net: got %+v (%+v)", d, d.Failure)
		}
		if d := all[1]; d.Rows != 1 || d.Leased != 1 || !d.Next.IsZero() || d.Failure != nil || d.Hop != nil {
			t.Errorf("example.com: got %+v, want one leased row and no next time", d)
		}
		want := QueueTotals{Destinations: 2, Messages: 2, Octets: totals.Octets, QueueCounts: QueueCounts{Rows: 4, Waiting: 1, Delayed: 2, Leased: 1}}
		if totals != want || totals.Octets == 0 {
			t.Errorf("got totals %+v, want %+v", totals, want)
		}
		totals, err = c.QueueStats(t.Context(), QueueFilter{Domain: "example.com"}, func(QueueDestination) error { return nil })
		must(t, err)
		if totals.Rows != 1 || totals.Messages != 1 {
			t.Errorf("filtered: got %+v, want one row", totals)
		}
	})
}

func TestRowsAreKeptUnlessMailIsSent(t *testing.T) {
	m, _, sending := withSender()
	still := InProcess(Handler(Options{Directory: directory.New(m, directory.Options{}), Store: m}))
	enqueue(t, m, queueing{from: "a@example.org", to: []string{"b@example.net"}})
	for _, test := range []struct {
		c    *Client
		kept bool
	}{{sending, false}, {still, true}} {
		rows := collect(t, test.c.Queue(t.Context(), QueueFilter{}))
		if len(rows) != 1 || rows[0].Kept != test.kept {
			t.Errorf("got %+v, want kept %v", rows, test.kept)
		}
		_, err := test.c.QueueStats(t.Context(), QueueFilter{}, func(d QueueDestination) error {
			if d.Kept != test.kept {
				t.Errorf("got %+v, want kept %v", d, test.kept)
			}
			return nil
		})
		must(t, err)
	}
}

func TestDestinationsBeyondTheLimitAreInTheTotalsOnly(t *testing.T) {
	n := counting{by: map[string]*QueueDestination{}}
	const over = 3
	for i := range maxDestinations + over {
		r := store.Row{Recipient: mail.Recipient{Address: mail.Address{Local: "a", Domain: fmt.Sprintf("d%d.example", i)}}}
		m := store.QueuedMessage{Size: 10, Rows: []store.Row{r}}
		n.message(&m, m.Rows)
	}
	if n.totals.Rows != maxDestinations+over || n.totals.LeftOut != over || len(n.by) != maxDestinations {
		t.Errorf("got %+v and %d destinations, want %d left out", n.totals, len(n.by), over)
	}
}

func TestFrozenDestinationsAreListedAndThawed(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *storetest.Model, c *Client) {
		name, err := c.Freeze(t.Context(), "Example.NET", "they move")
		must(t, err)
		if all := collect(t, c.FrozenDestinations(t.Context())); name != "example.net" || len(all) != 1 || all[0].Name != name || all[0].Why != "they move" || all[0].Since.IsZero() {
			t.Errorf("got %q and %+v", name, all)
		}
		_, err = c.Freeze(t.Context(), "example.net", strings.Repeat("y", maxWhy+1))
		if !fault.Is(err, fault.TooLarge) {
			t.Errorf("long reason: got %v", err)
		}
		if _, err := c.Freeze(t.Context(), "a..b", ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("no domain: got %v", err)
		}
		_, err = c.Thaw(t.Context(), "example.net.")
		must(t, err)
		if _, err := c.Thaw(t.Context(), "example.net"); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "it is not frozen") {
			t.Errorf("got %v, want that it is not frozen", err)
		}
	})
}

// note returns what collects problems.
func note(all *[]QueueProblem) func(QueueProblem) error {
	return func(p QueueProblem) error {
		*all = append(*all, p)
		return nil
	}
}
