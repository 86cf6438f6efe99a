package smtp

import "strings"

// Role is a set of what listeners are for.
type Role uint8

// The roles, each with the name that session.Listener.Role has for it.
const (
	RoleMX         Role = 1 << iota // "mx": mail from anybody for our own domains
	RoleSubmission                  // "submission": mail from our own people (RFC 6409)
	RoleRelay                       // "relay": mail for anywhere from clients that the operator names

	RoleAny = RoleMX | RoleSubmission | RoleRelay
)

// String returns the names of the roles, "any" for all of them.
func (r Role) String() string {
	if r == RoleAny {
		return "any"
	}
	var names []string
	for i := range roles {
		if r&roles[i].is != 0 {
			names = append(names, roles[i].name)
		}
	}
	return strings.Join(names, ", ")
}

// role is how sessions of listeners that are for one thing differ from others,
// beside the commands they offer (Command.Roles).
type role struct {
	is   Role
	name string
	// login: people can log in. Where needLogin is set too, commands with the flag
	// Login need it.
	login, needLogin bool
	// strangers: anybody may send, so that recipients can be guessed and
	// Options.MaxUnknown counts, and that nobody goes before others by MT-PRIORITY.
	strangers bool
	// hold: messages may be held until later (RFC 4865 §3: submission only).
	hold bool
	// byHand are the commands whose examples make a message.
	byHand []string
}

// roles are all roles. The first is that of a listener which names no other: it
// allows the least.
var roles = [...]role{
	{is: RoleMX, name: "mx", strangers: true, byHand: []string{"HELO", "MAIL", "RCPT", "DATA"}},
	{is: RoleSubmission, name: "submission", login: true, needLogin: true, hold: true, byHand: []string{"EHLO", "AUTH", "MAIL", "RCPT", "DATA"}},
	// Who may relay, the backend decides: by Client.Remote, or by the login.
	{is: RoleRelay, name: "relay", login: true, byHand: []string{"HELO", "MAIL", "RCPT", "DATA"}},
}

// roleOf returns the role of that name.
func roleOf(name string) *role {
	for i := range roles {
		if r := &roles[i]; r.name == name {
			return &roles[i]
		}
	}
	return &roles[0]
}

// offers reports whether a command can be had in this session.
func (s *server) offers(c *Command) bool {
	return c.Roles&s.role.is != 0 && (c.needs == nil || c.needs(s))
}
