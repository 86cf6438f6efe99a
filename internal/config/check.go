package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"postrider/internal/mail"
)

// Check returns what is wrong or doubtful between settings. It looks at nothing
// but the configuration: whether an address is free shows when it is opened, and
// whether a file is good when it is read.
func (c *Config) Check() Problems {
	k := checker{c: c}
	k.names()
	k.listeners()
	k.tls()
	k.logins()
	k.submission()
	k.outbound()
	k.relays()
	k.publish()
	k.admin()
	return k.problems.Sorted()
}

// maxArgon2Work bounds memory × passes: what package directory computes at most.
const maxArgon2Work = GiB

type checker struct {
	c        *Config
	problems Problems
	taken    map[string]string // which setting wants each address; nil: see addresses
}

// report adds a problem at a setting, as Locate places it.
func (k *checker) report(path string, p Problem) {
	k.problems = append(k.problems, k.c.Locate(path, p))
}

// Locate gives a problem the place of a setting, like "listener[0].client_ca"; of
// its section, or none, if the setting is not written.
func (c *Config) Locate(path string, p Problem) Problem {
	at := c.origins[path].value
	if at.src == nil {
		section, _, _ := strings.Cut(path, ".")
		at = c.origins[section].key
	}
	return at.locate(p)
}

func (k *checker) names() {
	c := k.c
	if c.Data == "" {
		k.report("data", Problem{Message: "data is empty", Help: `write a folder: data = "data"`})
	}
	if c.Hostname != "" {
		if _, err := mail.ParseDomain(c.Hostname); err != nil {
			k.report("hostname", Problem{
				Message: fmt.Sprintf("hostname can't be %q: %v", c.Hostname, err),
				Help:    "write a host name, like mail.example.org",
			})
		}
	}
	if c.Postmaster == "" {
		k.report("postmaster", Problem{
			Warning: true, Message: "there is no postmaster",
			Help: `write postmaster = "postmaster@…": RFC 5321 §4.5.1 wants mail to <Postmaster> to reach somebody`,
		})
	} else if _, err := mail.ParseAddress(c.Postmaster); err != nil {
		k.report("postmaster", Problem{
			Message: fmt.Sprintf("postmaster can't be %q: %v", c.Postmaster, err),
			Help:    "write an address like postmaster@example.org",
		})
	}
	for _, r := range c.SMTP.RecipientDelimiters {
		if !strings.ContainsRune("+-_.=#~/", r) {
			k.report("smtp.recipient_delimiters", Problem{
				Message: fmt.Sprintf("%q can't be a recipient delimiter", r),
				Help:    "write some of + - _ . = # ~ /",
			})
			break
		}
	}
	if p := c.Passwords; int64(p.Argon2Memory)*int64(p.Argon2Time) > int64(maxArgon2Work) {
		k.report("passwords.argon2_time", Problem{
			Message: "checking a password would take too long",
			Help:    fmt.Sprintf("argon2_memory × argon2_time is at most %v; here it is %v", maxArgon2Work, p.Argon2Memory*Size(p.Argon2Time)),
		})
	}
	if c.Limits.MaxConnections > 0 && c.Limits.MaxConnectionsPerAddress > c.Limits.MaxConnections {
		k.report("limits.max_connections_per_address", Problem{
			Warning: true,
			Message: "one address may have more connections than there are in all",
			Help:    fmt.Sprintf("limits.max_connections is %d", c.Limits.MaxConnections),
		})
	}
}

func (k *checker) listeners() {
	if len(k.c.Listeners) == 0 {
		k.report("listener", Problem{
			Message: "there is no listener",
			Help:    "write [[listener]], and below it protocol = \"smtp\" and address = \"127.0.0.1:2525\"",
		})
	}
	names, sockets := map[string]int{}, map[string]int{}
	addresses := map[string]int{}
	for i, l := range k.c.Listeners {
		if first, twice := names[l.Name]; twice && l.Name != "" {
			k.report(listenerPath(i, "name"), Problem{
				Message: fmt.Sprintf("two listeners have the name %q", l.Name),
				Help:    "the other is at " + k.place(first),
			})
		}
		names[l.Name] = i
		if first, twice := sockets[l.Systemd]; twice && l.Systemd != "" {
			k.report(listenerPath(i, "systemd"), Problem{
				Message: fmt.Sprintf("two listeners take the socket %q", l.Systemd),
				Help:    "the other is at " + k.place(first),
			})
		}
		sockets[l.Systemd] = i
		k.role(i, l)
		k.address(i, l, addresses)
		k.teach(i, l)
		k.proxy(i, l)
	}
}

// place names a listener for people.
func (k *checker) place(i int) string {
	o := k.c.origins[listenerPath(i, "")]
	if o.key.src == nil {
		return "[[listener]] " + k.c.Listeners[i].Name
	}
	return fmt.Sprintf("line %d", o.key.locate(Problem{}).Line)
}

func (k *checker) role(i int, l Listener) {
	switch {
	case l.Protocol == "":
		k.report(listenerPath(i, "protocol"), Problem{Message: "the listener has no protocol", Help: `write protocol = "smtp" or "pop3"`})
	case l.Protocol != ProtocolSMTP && l.Role != "":
		k.report(listenerPath(i, "role"), Problem{Message: fmt.Sprintf("a %s listener has no role", l.Protocol), Help: "leave role out"})
	case l.Protocol == ProtocolSMTP && l.Role != RoleMX && l.Role != RoleRelay && !l.Submits():
		k.report(listenerPath(i, "role"), Problem{Message: fmt.Sprintf("there is no role %q", l.Role), Help: `write role = "mx", "submission", "submissions" or "relay"`})
	}
}

func (k *checker) address(i int, l Listener, seen map[string]int) {
	path := listenerPath(i, "address")
	if l.Systemd != "" {
		if l.Address != "" {
			k.report(path, Problem{Message: "the listener has both an address and a socket of systemd", Help: "leave one of them out"})
		}
		return
	}
	if l.Address == "" {
		k.report(path, Problem{Message: "the listener has no address", Help: `write address = "127.0.0.1:2525"`})
		return
	}
	host, port, err := splitAddress(l.Address)
	if err != nil {
		k.report(path, Problem{Message: fmt.Sprintf("address can't be %q", l.Address), Help: err.Error()})
		return
	}
	key := net.JoinHostPort(host, strconv.Itoa(port))
	if first, twice := seen[key]; twice && port != 0 {
		k.report(path, Problem{Message: "two listeners have the address " + l.Address, Help: "the other is at " + k.place(first)})
	}
	seen[key] = i
}

func (k *checker) teach(i int, l Listener) {
	if !l.Teach || l.TeachAnywhere || l.Systemd == "" && loopback(l.Address) {
		return
	}
	where := l.Address
	if l.Systemd != "" {
		where = "a socket of systemd"
	}
	k.report(listenerPath(i, "teach"), Problem{
		Message: fmt.Sprintf("teach is for loopback, and %s may be reached by others", where),
		Help:    "leave it out; or, if strangers may use it, add teach_anywhere = true",
	})
}

// proxy warns of a list that trusts everybody: the header could then name any client.
func (k *checker) proxy(i int, l Listener) {
	for _, p := range l.ProxyFrom {
		if p.Bits() == 0 {
			k.report(listenerPath(i, "proxy_from"), Problem{
				Message: fmt.Sprintf("%s lets everybody name the client that they want to be", p),
				Help:    "write the addresses of your proxies",
			})
		}
	}
}

func (k *checker) admin() {
	a := k.c.Admin
	if a.Address == "" {
		return
	}
	host, port, err := splitAddress(a.Address)
	switch {
	case err != nil:
		k.report("admin.address", Problem{Message: fmt.Sprintf("address can't be %q", a.Address), Help: err.Error()})
		return
	case !loopback(a.Address) && !a.Anywhere:
		k.report("admin.address", Problem{
			Message: fmt.Sprintf("%s may be reached by others, and there is no password", a.Address),
			Help:    "write an address of loopback, like 127.0.0.1:9090; or add anywhere = true",
		})
	}
	for i, l := range k.c.Listeners {
		if h, p, err := splitAddress(l.Address); err == nil && h == host && p == port && p != 0 {
			k.report("admin.address", Problem{Message: a.Address + " is the address of a listener too", Help: "see " + k.place(i)})
		}
	}
}

// splitAddress takes host and port apart. The host is an IP address or empty.
func splitAddress(s string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, errors.New(`write host and port: "127.0.0.1:2525", "[::1]:2525" or ":25"`)
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, errors.New("the port is a number from 0 to 65535")
	}
	if host == "" || host == "localhost" {
		return host, int(n), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", 0, errors.New("the host is an IP address; leave it out to listen on all of them")
	}
	return ip.String(), int(n), nil
}

// loopback reports whether only this machine can reach a listener's address.
func loopback(address string) bool {
	host, _, err := splitAddress(address)
	if err != nil || host == "localhost" {
		return err == nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
