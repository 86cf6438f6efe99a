package login

import (
	"net/netip"
	"sync"
	"time"
)

// MaxLog is how many logins the log remembers.
const MaxLog = 10_000

// Result is how a login ended; it is a label of the metrics.
type Result = string

// The results.
const (
	OK        Result = "ok"
	Refused   Result = "denied"     // the name was not proven
	LockedOut Result = "locked out" // nothing was looked at, since too many have failed
	Crowded   Result = "busy"       // nothing was looked at, since too many are under way
	Failed    Result = "error"      // it could not be told
	// Malformed and Aborted are no logins, and are in no log but the debug log.
	Malformed Result = "malformed"
	Aborted   Result = "aborted"
)

// Entry is a login in the log of logins.
type Entry struct {
	Time     time.Time `json:"time"`
	Conn     string    `json:"conn"` // the connection's ID, as in other log lines
	Listener string    `json:"listener"`
	Protocol string    `json:"protocol"`
	Remote   string    `json:"remote"` // IP address and port
	// Name is the name that was tried: printable, at most MaxName octets, and only
	// if it can hardly be a password (see the package's comment).
	Name string `json:"name"`
	// Account is the account's address, if the login succeeded.
	Account     string `json:"account,omitempty"`
	Mechanism   string `json:"mechanism"`
	AppPassword string `json:"app_password,omitempty"`
	Result      Result `json:"result"`
	// Reason says in words why a login failed.
	Reason string `json:"reason,omitempty"`
	// Delay is how long the answer was held back, in nanoseconds.
	Delay time.Duration `json:"delay,omitempty"`
}

// LogFilter says which entries are wanted. The zero value: all.
type LogFilter struct {
	// Account is an account's address, or a name as it was tried.
	Account string `json:"account,omitempty"`
	// Address is an IP address or a network ("192.0.2.0/24").
	Address    string `json:"address,omitempty"`
	FailedOnly bool   `json:"failed_only,omitempty"`
	// Limit is how many entries, the newest; zero: no limit.
	Limit int `json:"limit,omitempty"`
}

// audit is the log of logins, in memory. The zero value is empty.
type audit struct {
	mu   sync.Mutex
	ring []record
	next int // where the next one goes when the ring is full
}

// record is an entry with what filters look at.
type record struct {
	Entry
	address netip.Addr
	account string // see accountKey
}

func (a *audit) add(r record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ring) < MaxLog {
		a.ring = append(a.ring, r)
		return
	}
	a.ring[a.next] = r
	a.next = (a.next + 1) % MaxLog
}

// Log returns the logins that are remembered and fit the filter, the newest last.
// Nothing fits a filter whose Address is none.
func (s *Service) Log(f LogFilter) []Entry {
	network, err := parseNetwork(f.Address)
	if f.Address != "" && err != nil {
		return nil
	}
	a, account := &s.audit, accountKey(f.Account)
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []Entry
	for i := range a.ring {
		r := &a.ring[(a.next+i)%len(a.ring)]
		switch {
		case f.FailedOnly && r.Result == OK:
		case account != "" && r.account != account:
		case f.Address != "" && !network.Contains(r.address):
		default:
			found = append(found, r.Entry)
		}
	}
	if f.Limit > 0 && len(found) > f.Limit {
		found = found[len(found)-f.Limit:]
	}
	return found
}
