package receive

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// SubmissionLimits are how much one account may send. Zero: the default;
// negative: no limit.
type SubmissionLimits struct {
	MessagesPerHour, MessagesPerDay     int
	RecipientsPerHour, RecipientsPerDay int
}

// The defaults of SubmissionLimits.
const (
	DefaultMessagesPerHour   = 500
	DefaultMessagesPerDay    = 2000
	DefaultRecipientsPerHour = 2000
	DefaultRecipientsPerDay  = 5000
)

// MaxRated is of how many accounts it is remembered what they sent. When there
// are more, the one that has sent nothing for the longest time is forgotten.
const MaxRated = 50_000

func (l SubmissionLimits) withDefaults() SubmissionLimits {
	for limit, standard := range map[*int]int{
		&l.MessagesPerHour:   DefaultMessagesPerHour,
		&l.MessagesPerDay:    DefaultMessagesPerDay,
		&l.RecipientsPerHour: DefaultRecipientsPerHour,
		&l.RecipientsPerDay:  DefaultRecipientsPerDay,
	} {
		if *limit == 0 {
			*limit = standard
		}
	}
	return l
}

// amount is something that is sent.
type amount struct{ messages, recipients int }

// rates counts what accounts send, in memory. What is being sent is counted as
// well, so that connections at the same time can't send more together than one
// could.
type rates struct {
	limits [4]rate

	mu       sync.Mutex
	accounts map[mail.AccountID]*list.Element // of *sent
	recent   *list.List                       // the account that sent last at the front
}

// rate is one limit.
type rate struct {
	most   int // negative: any number
	noun   string
	per    string
	span   time.Duration
	number func(amount) int
}

// sent is what one account has sent.
type sent struct {
	account mail.AccountID
	counts  [4]window // as in rates.limits
	pending amount    // what is being sent
}

func newRates(l SubmissionLimits) *rates {
	l = l.withDefaults()
	messages := func(a amount) int { return a.messages }
	recipients := func(a amount) int { return a.recipients }
	return &rates{
		limits: [4]rate{
			{l.MessagesPerHour, "messages", "an hour", time.Hour, messages},
			{l.MessagesPerDay, "messages", "a day", 24 * time.Hour, messages},
			{l.RecipientsPerHour, "recipients", "an hour", time.Hour, recipients},
			{l.RecipientsPerDay, "recipients", "a day", 24 * time.Hour, recipients},
		},
		accounts: map[mail.AccountID]*list.Element{},
		recent:   list.New(),
	}
}

// check reports whether an account may send so much now: nil or a verdict.
func (r *rates) check(account mail.AccountID, now time.Time, a amount) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.accounts[account]; ok {
		return r.judge(e.Value.(*sent), now, a)
	}
	return r.judge(r.newSent(account), now, a)
}

// reserve is check that also counts it as being sent, until the reservation is
// kept or released.
func (r *rates) reserve(account mail.AccountID, now time.Time, a amount) (*reservation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(account)
	if err := r.judge(s, now, a); err != nil {
		return nil, err
	}
	s.pending.messages += a.messages
	s.pending.recipients += a.recipients
	return &reservation{r: r, s: s, a: a}, nil
}

// of returns an account's record, with the lock held.
func (r *rates) of(account mail.AccountID) *sent {
	if e, ok := r.accounts[account]; ok {
		r.recent.MoveToFront(e)
		return e.Value.(*sent)
	}
	if len(r.accounts) >= MaxRated {
		oldest := r.recent.Remove(r.recent.Back()).(*sent)
		delete(r.accounts, oldest.account)
	}
	s := r.newSent(account)
	r.accounts[account] = r.recent.PushFront(s)
	return s
}

func (r *rates) newSent(account mail.AccountID) *sent {
	s := &sent{account: account}
	for i, limit := range r.limits {
		s.counts[i].slot = limit.span / slots
	}
	return s
}

// judge compares what an account has sent, and would have, with the limits.
func (r *rates) judge(s *sent, now time.Time, a amount) error {
	for i, limit := range r.limits {
		n := limit.number(a)
		if limit.most < 0 || n == 0 {
			continue
		}
		room := limit.most - limit.number(s.pending) - n
		if s.counts[i].sum(now) <= room {
			continue
		}
		return rateVerdict(limit, s.counts[i].wait(now, room))
	}
	return nil
}

// rateVerdict says what the limit is, and when it will be over.
func rateVerdict(limit rate, wait time.Duration) *verdict {
	minutes := max(1, int((wait+time.Minute-1)/time.Minute))
	unit := "minutes"
	if minutes == 1 {
		unit = "minute"
	}
	return &verdict{reason: "rate", reply: smtp.Reply{
		Code: 450, Enhanced: "7.1", Text: fmt.Sprintf("You have sent too much: at most %d %s %s; try again in %d %s",
			limit.most, limit.noun, limit.per, minutes, unit),
	}, detail: fmt.Sprintf("%d %s %s", limit.most, limit.noun, limit.per)}
}

// reservation is what is being sent.
type reservation struct {
	r *rates
	s *sent
	a amount
}

// keep counts it as sent. Nil counts nothing.
func (v *reservation) keep(now time.Time) { v.end(&now) }

// release forgets it. After keep, or a second time, it does nothing.
func (v *reservation) release() { v.end(nil) }

func (v *reservation) end(kept *time.Time) {
	if v == nil {
		return
	}
	v.r.mu.Lock()
	defer v.r.mu.Unlock()
	if v.s == nil {
		return
	}
	v.s.pending.messages -= v.a.messages
	v.s.pending.recipients -= v.a.recipients
	if kept != nil {
		for i, limit := range v.r.limits {
			v.s.counts[i].add(*kept, limit.number(v.a))
		}
	}
	v.s = nil
}

// slots is into how many pieces a window's span is divided.
const slots = 12

// window counts what happened within a span of time, to a slot of it: nothing
// that happened within the span is missing, and nothing is counted that is older
// than the span and a slot. It is empty when nothing but its slot is set.
type window struct {
	slot   time.Duration
	latest int64 // the number of the latest slot since 1970
	// counts are those of the latest slots; slot n is at n % len.
	counts [slots + 1]int32
}

// add counts n more.
func (w *window) add(now time.Time, n int) {
	w.advance(now)
	w.counts[w.at(w.latest)] += int32(n)
}

// sum returns what has been counted.
func (w *window) sum(now time.Time) int {
	w.advance(now)
	return int(w.total())
}

func (w *window) total() (n int32) {
	for _, c := range w.counts {
		n += c
	}
	return n
}

// wait returns how long it takes until the sum is at most n; the whole span
// when it never is.
func (w *window) wait(now time.Time, n int) time.Duration {
	sum := w.sum(now)
	for number := w.latest - slots; number <= w.latest; number++ {
		sum -= int(w.counts[w.at(number)])
		if sum <= n {
			over := time.Unix(0, (number+slots+1)*int64(w.slot))
			return over.Sub(now)
		}
	}
	return slots * w.slot
}

// advance empties the slots that are over. When the clock has been set back by
// more than the span, what was counted has happened now: else it would be
// counted until that time comes again.
func (w *window) advance(now time.Time) {
	number := now.UnixNano() / int64(w.slot)
	switch {
	case number-w.latest > slots:
		w.counts = [slots + 1]int32{}
		w.latest = number
	case w.latest-number > slots:
		n := w.total()
		w.counts = [slots + 1]int32{}
		w.latest = number
		w.counts[w.at(number)] = n
	}
	for w.latest < number {
		w.latest++
		w.counts[w.at(w.latest)] = 0
	}
}

// at returns the place of a slot; numbers are negative before 1970.
func (w *window) at(number int64) int64 {
	n := int64(len(w.counts))
	return (number%n + n) % n
}
