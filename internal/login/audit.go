package login

import "time"

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
	Result      string `json:"result"`
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

// Lock is a lock-out.
type Lock struct {
	// Address is an IP address, or a network for IPv6.
	Address string `json:"address"`
	// Account is the name for which the address is locked out; empty: for all.
	Account string    `json:"account,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	// Refused is how many logins have been refused for it.
	Refused int64 `json:"refused"`
}
