package admin

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/outbound"
	"postrider/internal/store"
)

// Deliverer sends what is in the queue: *outbound.Deliverer, where it is said what
// the methods do.
type Deliverer interface {
	Revive(destinations ...string)
	Bounce(ctx context.Context, id mail.ID, rows []int, why string) (int, error)
	Running() bool
	Hops() []outbound.HopStatus
	HopOf(destination string) string
}

var _ Deliverer = (*outbound.Deliverer)(nil)

const (
	// changers is how many messages are changed at once: their changes share the
	// store's commits.
	changers = 16
	// changeTries is how often a message is tried whose rows are leased and given
	// back meanwhile.
	changeTries = 3
)

// QueueChange says which rows are to be changed.
type QueueChange struct {
	// ID is a message; empty: those that the filter means.
	ID string `json:"id,omitempty"`
	// Rows are those of the message; none: all.
	Rows []int `json:"rows,omitempty"`
	// Filter must not be empty without an ID, unless All is set.
	Filter QueueFilter `json:"filter,omitzero"`
	All    bool        `json:"all,omitempty"`
	// Why is told to the senders of what is returned to them.
	Why string `json:"why,omitempty"`
	// DryRun only counts.
	DryRun bool `json:"dry_run,omitempty"`
}

// QueueChanged says what was done.
type QueueChanged struct {
	// Messages and Rows are those that were meant, Octets those of the messages.
	Messages int64 `json:"messages"`
	Rows     int64 `json:"rows"`
	Octets   int64 `json:"octets"`
	// Changed are the rows that are otherwise now, NotDone those that could not be
	// changed. The others were as wanted, or had gone.
	Changed int64 `json:"changed"`
	NotDone int64 `json:"not_done"`
	DryRun  bool  `json:"dry_run"`
}

// QueueProblem is a row that could not be changed, or with row -1 a message.
type QueueProblem struct {
	ID      string `json:"id"`
	Row     int    `json:"row"`
	To      string `json:"to,omitempty"`
	Problem string `json:"problem"`
}

// ChangeQueue does something to rows: "hold", "release", "retry", "drop" or
// "bounce". What can't be done is given to problem and holds up no other; what the
// result counts is done also when there is an error.
func (c *Client) ChangeQueue(ctx context.Context, do string, q QueueChange, problem func(QueueProblem) error) (QueueChanged, error) {
	var done QueueChanged
	err := c.run(ctx, "queue."+do, q, nil, func(raw json.RawMessage) error {
		var item changeItem
		if err := decode(raw, &item); err != nil {
			return err
		}
		if item.Done != nil {
			done = *item.Done
			return nil
		}
		return problem(*item.Problem)
	}, nil)
	return done, err
}

// changeItem is what a change answers: problems, and at the end what was done,
// which may be followed by an error.
type changeItem struct {
	Problem *QueueProblem `json:"problem,omitempty"`
	Done    *QueueChanged `json:"done,omitempty"`
}

// rowsChange changes rows of a message, all or none, and returns how many.
type rowsChange func(ctx context.Context, m *store.QueuedMessage, rows []int) (int, error)

// queueChange returns what does a change that the store makes. What its sender holds
// back (FUTURERELEASE, RFC 4865) is not sent sooner for being released, nor for a retry
// that does not name it.
func queueChange(do store.RowChange) func(*service, *call, QueueChange) (any, error) {
	return func(s *service, c *call, q QueueChange) (any, error) {
		w := &changing{s: s, c: c, q: q, revive: do == store.ReleaseRows || do == store.RetryRows}
		now := time.Now()
		if do == store.RetryRows {
			w.leave = func(m *store.QueuedMessage) bool { return m.Envelope.Hold.After(now) }
		}
		w.do = func(ctx context.Context, m *store.QueuedMessage, rows []int) (int, error) {
			at := time.Now()
			if do == store.ReleaseRows && m.Envelope.Hold.After(at) {
				at = m.Envelope.Hold
			}
			return s.store.ChangeRows(ctx, m.ID, rows, do, at)
		}
		return nil, w.run()
	}
}

func queueBounce(s *service, c *call, q QueueChange) (any, error) {
	const op = "return mail to its sender"
	switch {
	case s.deliverer == nil && s.logins != nil:
		return nil, fault.Newf(fault.NotFound, op, "the server that runs sends no mail")
	case s.deliverer == nil:
		return nil, errNoServer(op)
	}
	if err := checkWhy(op, q.Why); err != nil {
		return nil, err
	}
	w := &changing{s: s, c: c, q: q}
	w.do = func(ctx context.Context, m *store.QueuedMessage, rows []int) (int, error) {
		return s.deliverer.Bounce(ctx, m.ID, rows, q.Why)
	}
	return nil, w.run()
}

// changing is a change under way.
type changing struct {
	s      *service
	c      *call
	q      QueueChange
	rules  queueRules
	do     rowsChange
	leave  func(m *store.QueuedMessage) bool // what only its name means; may be nil
	revive bool

	mu   sync.Mutex // guards what is below, and c.emit
	done QueueChanged
	err  error // that ended it
}

// run changes what is meant and says what was done.
func (w *changing) run() error {
	err := w.messages()
	w.done.DryRun = w.q.DryRun
	if gone := w.c.emit(changeItem{Done: &w.done}); err == nil {
		err = gone
	}
	return err
}

func (w *changing) messages() error {
	const op = "change the queue"
	if w.q.ID != "" {
		return w.one()
	}
	var err error
	if w.rules, err = w.q.Filter.rules(); err != nil {
		return err
	}
	if len(w.q.Rows) > 0 {
		return fault.Newf(fault.Invalid, op, "rows are those of a message: name it")
	}
	if len(w.rules) == 0 && !w.q.All {
		return fault.Newf(fault.Invalid, op, "say which rows, or that all are meant")
	}
	return w.walk()
}

// one changes the message that is named.
func (w *changing) one() error {
	id, err := queuedID("change a queued message", w.q.ID)
	if err != nil {
		return err
	}
	m, err := w.s.store.QueuedMessage(w.c, id)
	if err != nil {
		return notQueued(id, err)
	}
	for _, want := range w.q.Rows {
		if !slices.ContainsFunc(m.Rows, func(r store.Row) bool { return r.Index == want }) {
			return fault.Newf(fault.NotFound, "find "+id.String(), "the message has no row %d", want)
		}
	}
	if len(w.q.Rows) > 0 {
		w.rules = queueRules{func(_ *store.QueuedMessage, r *store.Row) bool { return slices.Contains(w.q.Rows, r.Index) }}
	}
	w.message(w.c, &m)
	return w.err
}

// walk goes through the queue once and changes what the filter means, several
// messages at a time.
func (w *changing) walk() error {
	ctx, stop := context.WithCancel(w.c)
	defer stop()
	queued := make(chan store.QueuedMessage)
	var workers sync.WaitGroup
	for range changers {
		workers.Go(func() {
			for m := range queued {
				if w.message(ctx, &m); w.failed() {
					stop()
				}
			}
		})
	}
	for m, err := range w.s.store.Queued(ctx, mail.ID{}) {
		switch {
		case err != nil && m.ID.IsZero():
			w.end(err)
		case err != nil:
			w.problem(&m, nil, err.Error())
		case w.leave != nil && w.leave(&m):
		case len(w.rules.rows(&m)) > 0:
			select {
			case queued <- m:
				continue
			case <-ctx.Done():
				w.end(ctx.Err())
			}
		}
		if w.failed() {
			break
		}
	}
	close(queued)
	workers.Wait()
	return w.err
}

func (w *changing) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

// end notes the first error that leaves no sense in going on.
func (w *changing) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// message changes those rows of a message that are meant. Rows that are leased are
// left out, and said.
func (w *changing) message(ctx context.Context, m *store.QueuedMessage) {
	rows := w.rules.rows(m)
	w.mu.Lock()
	w.done.Messages++
	w.done.Octets += m.Size
	w.done.Rows += int64(len(rows))
	w.mu.Unlock()
	if w.q.DryRun {
		return
	}
	left, err := w.change(ctx, m, rows)
	switch {
	case err == nil:
	case fault.Is(err, fault.Corrupt):
		w.problem(m, left, err.Error())
	default:
		w.end(err)
	}
	if w.revive && w.s.deliverer != nil {
		w.s.deliverer.Revive(destinations(rows)...)
	}
}

// change changes rows, and returns those that it failed for.
func (w *changing) change(ctx context.Context, m *store.QueuedMessage, rows []store.Row) ([]store.Row, error) {
	for range changeTries {
		n, err := w.do(ctx, m, indexes(rows))
		w.mu.Lock()
		w.done.Changed += int64(n)
		w.mu.Unlock()
		if err == nil || !fault.Is(err, fault.Busy) && !fault.Is(err, fault.NotFound) {
			return rows, err
		}
		// Some are leased, or have gone since they were listed.
		now, err := w.s.store.QueuedMessage(ctx, m.ID)
		if fault.Is(err, fault.NotFound) {
			return nil, nil
		}
		if err != nil {
			return rows, err
		}
		var leased []store.Row
		if rows, leased = split(&now, rows); len(leased) > 0 {
			w.problem(m, leased, busy)
		}
		if len(rows) == 0 {
			return nil, nil
		}
	}
	w.problem(m, rows, busy)
	return nil, nil
}

// busy is said of a row that is leased.
const busy = "it is being sent at this moment"

// split returns those of the rows wanted that are still there: free ones, and
// leased ones.
func split(m *store.QueuedMessage, wanted []store.Row) (free, leased []store.Row) {
	want := make(map[int]bool, len(wanted))
	for i := range wanted {
		want[wanted[i].Index] = true
	}
	for _, r := range m.Rows {
		switch {
		case !want[r.Index]:
		case r.Leased:
			leased = append(leased, r)
		default:
			free = append(free, r)
		}
	}
	return free, leased
}

// problem says of rows that they were not changed; of a message if there are none.
func (w *changing) problem(m *store.QueuedMessage, rows []store.Row, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := QueueProblem{ID: m.ID.String(), Row: -1, Problem: text}
	if len(rows) == 0 {
		w.tell(p)
	}
	for i := range rows {
		p.Row, p.To = rows[i].Index, rows[i].Recipient.Address.String()
		w.tell(p)
	}
}

// tell sends a problem, under mu.
func (w *changing) tell(p QueueProblem) {
	w.done.NotDone++
	if err := w.c.emit(changeItem{Problem: &p}); err != nil && w.err == nil {
		w.err = err
	}
}

func indexes(rows []store.Row) []int {
	all := make([]int, len(rows))
	for i := range rows {
		all[i] = rows[i].Index
	}
	return all
}

// destinations returns where rows wait for, each once.
func destinations(rows []store.Row) []string {
	var all []string
	for i := range rows {
		all = append(all, rows[i].Recipient.Address.Domain)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
