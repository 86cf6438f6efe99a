package store

import (
	"postrider/internal/fault"
	"postrider/internal/mail"
)

// Warrant says on whose account mail goes onward. Only its makers below give one
// that is valid, and only with a valid one can mail be put into the queue: no
// path through the program that has not established who sends can relay.
type Warrant struct {
	kind    WarrantKind
	account mail.AccountID
	name    string
}

// WarrantKind is why mail may go onward.
type WarrantKind uint8

// The kinds. The zero value is no warrant.
const (
	NoWarrant     WarrantKind = iota
	AccountSends              // an account that has proven its name submitted it
	ClientRelays              // a client that the configuration names may relay
	ServerSends               // the server itself made it, as a notification
	AliasForwards             // an address here leads to one elsewhere
)

var warrantNames = [...]string{"none", "account", "client", "server", "alias"}

// String returns the kind in a word.
func (k WarrantKind) String() string {
	if int(k) < len(warrantNames) {
		return warrantNames[k]
	}
	return "unknown"
}

// AccountWarrant is for mail that an account has submitted after a login; login is
// the account's address. It is not valid for account zero.
func AccountWarrant(account mail.AccountID, login string) Warrant {
	if account == 0 {
		return Warrant{}
	}
	return Warrant{AccountSends, account, login}
}

// ClientWarrant is for mail of a client that the configuration lets relay, by the
// name that it has there. It is not valid without a name.
func ClientWarrant(name string) Warrant {
	if name == "" {
		return Warrant{}
	}
	return Warrant{ClientRelays, 0, name}
}

// ServerWarrant is for mail that the server makes itself; what says which.
func ServerWarrant(what string) Warrant { return Warrant{ServerSends, 0, what} }

// AliasWarrant is for mail to an address here that leads elsewhere. It is not valid
// without an address.
func AliasWarrant(address string) Warrant {
	if address == "" {
		return Warrant{}
	}
	return Warrant{AliasForwards, 0, address}
}

// StoredWarrant is for engines that read back what they have kept.
func StoredWarrant(kind WarrantKind, account mail.AccountID, name string) Warrant {
	return Warrant{kind, account, name}
}

// Valid reports whether w is a warrant.
func (w Warrant) Valid() bool { return w.kind != NoWarrant }

// Kind returns why mail may go onward.
func (w Warrant) Kind() WarrantKind { return w.kind }

// Account returns the account that sends, zero if none does.
func (w Warrant) Account() mail.AccountID { return w.account }

// Name returns the account's address, the client's name, the alias, or what the
// server sends.
func (w Warrant) Name() string { return w.name }

// Passage is messages that may go onward: what Accept puts into the queue. The
// zero value is none.
type Passage struct {
	warrant  Warrant
	messages []Onward
}

// Pass lets messages go onward under a warrant; Denied if that is not valid,
// Invalid if a message has no ID or no recipients, two have the same ID, or a
// recipient's domain can't be a destination.
func Pass(w Warrant, messages ...Onward) (Passage, error) {
	const op = "pass mail onward"
	if !w.Valid() {
		return Passage{}, fault.Newf(fault.Denied, op, "nobody vouches for it")
	}
	ids := make(map[mail.ID]bool, len(messages))
	for i := range messages {
		m := &messages[i]
		if m.ID.IsZero() || len(m.Envelope.Recipients) == 0 || ids[m.ID] {
			return Passage{}, fault.Newf(fault.Invalid, op, "message %d has no id of its own, or no recipients", i)
		}
		ids[m.ID] = true
		for _, r := range m.Envelope.Recipients {
			if !ValidDestination(r.Address.Domain) {
				return Passage{}, fault.Newf(fault.Invalid, op, "message %d has a recipient whose domain is no destination", i)
			}
		}
	}
	return Passage{w, messages}, nil
}

// Warrant returns what the messages go under.
func (p Passage) Warrant() Warrant { return p.warrant }

// Messages returns them. They are not to be changed.
func (p Passage) Messages() []Onward { return p.messages }
