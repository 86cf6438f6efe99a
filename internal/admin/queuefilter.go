package admin

import (
	"errors"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// QueueFilter says which rows of the queue are meant: those that fit every field
// that is set.
type QueueFilter struct {
	// Sender is a reverse-path: an address, "@domain", or "<>".
	Sender string `json:"sender,omitempty"`
	// Recipient is an address.
	Recipient string `json:"recipient,omitempty"`
	// Domain is a recipient's: a name, or ".name" for all below it.
	Domain string `json:"domain,omitempty"`
	// Before and After bound when the message was accepted.
	Before time.Time `json:"before,omitzero"`
	After  time.Time `json:"after,omitzero"`
	// State is one of QueueStates().
	State string `json:"state,omitempty"`
	// Warrant is on whose account the message goes: one of QueueWarrants, and which
	// after a colon: "account:alice@example.org".
	Warrant string `json:"warrant,omitempty"`
}

// The states of a row, as they are shown and asked for. Each row has one.
const (
	QueueWaiting = "waiting" // it was not tried yet
	QueueDelayed = "delayed" // it was tried, and will be again
	QueueLeased  = "leased"  // it is being tried
	QueueHeld    = "held"    // it waits for an operator
)

// QueueStates returns the states of a row.
func QueueStates() []string { return []string{QueueWaiting, QueueDelayed, QueueLeased, QueueHeld} }

// queueWarrants are the kinds of warrants that a message can have.
var queueWarrants = []store.WarrantKind{store.AccountSends, store.ClientRelays, store.ServerSends, store.AliasForwards}

// queueState returns a row's state.
func queueState(r *store.Row) string {
	switch {
	case r.Leased:
		return QueueLeased
	case r.State == store.RowHeld:
		return QueueHeld
	case r.Attempts > 0:
		return QueueDelayed
	}
	return QueueWaiting
}

// warrantText returns a warrant as QueueFilter.Warrant has it.
func warrantText(w store.Warrant) string {
	if w.Name() == "" {
		return w.Kind().String()
	}
	return w.Kind().String() + ":" + w.Name()
}

// queueRule reports whether a row is meant.
type queueRule func(m *store.QueuedMessage, r *store.Row) bool

// queueRules are such that a row has to keep all of them.
type queueRules []queueRule

func (rules queueRules) fit(m *store.QueuedMessage, r *store.Row) bool {
	for _, fits := range rules {
		if !fits(m, r) {
			return false
		}
	}
	return true
}

// rows returns the rows of a message that are meant.
func (rules queueRules) rows(m *store.QueuedMessage) []store.Row {
	rows := make([]store.Row, 0, len(m.Rows))
	for i := range m.Rows {
		if rules.fit(m, &m.Rows[i]) {
			rows = append(rows, m.Rows[i])
		}
	}
	return rows
}

// Check returns why a filter can't be used, of kind Invalid.
func (f *QueueFilter) Check() error {
	_, err := f.rules()
	return err
}

// rules returns what the filter asks of a row; none if it is empty.
func (f *QueueFilter) rules() (queueRules, error) {
	var rules queueRules
	for _, part := range []struct {
		name, value string
		rule        func(string) (queueRule, error)
	}{
		{"sender", f.Sender, senderRule},
		{"recipient", f.Recipient, recipientRule},
		{"domain", f.Domain, domainRule},
		{"state", f.State, stateRule},
		{"warrant", f.Warrant, warrantRule},
	} {
		if part.value == "" {
			continue
		}
		rule, err := part.rule(part.value)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, part.name, "%.80q: %w", part.value, err)
		}
		rules = append(rules, rule)
	}
	if t := f.Before; !t.IsZero() {
		rules = append(rules, func(m *store.QueuedMessage, _ *store.Row) bool { return !m.Accepted.After(t) })
	}
	if t := f.After; !t.IsZero() {
		rules = append(rules, func(m *store.QueuedMessage, _ *store.Row) bool { return !m.Accepted.Before(t) })
	}
	return rules, nil
}

func senderRule(s string) (queueRule, error) {
	if s == "<>" {
		return func(m *store.QueuedMessage, _ *store.Row) bool { return m.Envelope.From.IsZero() }, nil
	}
	if name, ok := strings.CutPrefix(s, "@"); ok {
		domain, err := mail.ParseDomain(name)
		return func(m *store.QueuedMessage, _ *store.Row) bool { return m.Envelope.From.Domain == domain }, err
	}
	a, err := mail.ParseAddress(s)
	key := a.Key()
	return func(m *store.QueuedMessage, _ *store.Row) bool { return m.Envelope.From.Key() == key }, err
}

func recipientRule(s string) (queueRule, error) {
	a, err := mail.ParseAddress(s)
	key := a.Key()
	return func(_ *store.QueuedMessage, r *store.Row) bool { return r.Recipient.Address.Key() == key }, err
}

func domainRule(s string) (queueRule, error) {
	name, below := strings.CutPrefix(s, ".")
	domain, err := mail.ParseDomain(name)
	if below {
		domain = "." + domain
		return func(_ *store.QueuedMessage, r *store.Row) bool {
			return strings.HasSuffix(r.Recipient.Address.Domain, domain)
		}, err
	}
	return func(_ *store.QueuedMessage, r *store.Row) bool { return r.Recipient.Address.Domain == domain }, err
}

func stateRule(s string) (queueRule, error) {
	if !slices.Contains(QueueStates(), s) {
		return nil, errNoneOf(QueueStates())
	}
	return func(_ *store.QueuedMessage, r *store.Row) bool { return queueState(r) == s }, nil
}

func warrantRule(s string) (queueRule, error) {
	word, name, named := strings.Cut(s, ":")
	if named && name == "" {
		return nil, errNoName
	}
	var words []string
	for _, kind := range queueWarrants {
		if kind.String() == word {
			return func(m *store.QueuedMessage, _ *store.Row) bool {
				return m.Warrant.Kind() == kind && (name == "" || strings.EqualFold(m.Warrant.Name(), name))
			}, nil
		}
		words = append(words, kind.String())
	}
	return nil, errNoneOf(words)
}

// errNoName is said where a script had no value for a name: all would be meant.
var errNoName = errors.New("a name has to follow the colon")

// errNoneOf is what is said of a word that is none of those there are.
type errNoneOf []string

func (e errNoneOf) Error() string { return "there are " + strings.Join(e, ", ") }
