// Package config is the configuration: one typed struct whose tags say what
// every setting means. The parser, the reference page and the commented example
// are made from it.
package config

import "net/netip"

// Config is everything that an operator can set. Tags of its fields:
//
//	toml     the key
//	doc      what it means, for the reference and the example
//	values   the words allowed, separated by |
//	min,max  the bounds of a number, a duration or a size
//	off      one number more that is allowed, meaning "no limit"
//	example  what the example shows where the default is empty
//
// Default says what holds when a key is not written.
type Config struct {
	Hostname   string     `toml:"hostname" example:"mail.example.org" doc:"The name that the server greets with and writes into Received fields. Default: the name of the machine."`
	Data       string     `toml:"data" doc:"The folder that holds the mail, the accounts and the administration socket. A relative path starts at the folder of this file."`
	Postmaster string     `toml:"postmaster" example:"postmaster@example.org" doc:"Where mail to Postmaster without a domain goes (RFC 5321 §4.5.1): the address of an account or an alias here."`
	Listeners  []Listener `toml:"listener" doc:"An address that the server listens on. Write one [[listener]] for each."`
	Limits     Limits     `toml:"limits" doc:"What all listeners share."`
	SMTP       SMTP       `toml:"smtp" doc:"How mail is received."`
	POP3       POP3       `toml:"pop3" doc:"How mail is collected by POP3."`
	Store      Store      `toml:"store" doc:"The embedded store."`
	Passwords  Passwords  `toml:"passwords" doc:"How passwords are kept. New ones become argon2id (RFC 9106); older ones are replaced at the next login."`
	Log        Log        `toml:"log" doc:"The log, which goes to standard error."`
	Admin      Admin      `toml:"admin" doc:"An HTTP listener for machines that watch: /metrics, /healthz, /readyz, /debug/pprof/."`

	origins origins
}

// Listener is an address that the server listens on.
type Listener struct {
	Name                     string         `toml:"name" example:"smtp" doc:"Stands in logs and metrics. Default: the protocol, with a number if there are several."`
	Protocol                 string         `toml:"protocol" values:"smtp|pop3" example:"smtp" doc:"What is spoken."`
	Role                     string         `toml:"role" example:"mx" doc:"What an SMTP listener is for. mx takes mail for the domains that live here, from anybody; submission and relay are names for later and not built yet. Other protocols have no role."`
	Address                  string         `toml:"address" example:"127.0.0.1:2525" doc:"Host and port: \"127.0.0.1:2525\", \"[::1]:2525\", or \":25\" for all addresses, IPv4 and IPv6. Port 0 takes a free one."`
	Teach                    bool           `toml:"teach" doc:"Be kind to people who type: accept a bare LF in commands, telnet's ways and mistakes, give hints, answer VRFY. For loopback."`
	TeachAnywhere            bool           `toml:"teach_anywhere" doc:"Allow teach on an address that others can reach. Hints and VRFY tell strangers who lives here."`
	MaxConnections           int            `toml:"max_connections" min:"1" off:"-1" example:"1000" doc:"Connections at a time on this listener. Default: limits.max_connections; -1: only that."`
	MaxConnectionsPerAddress int            `toml:"max_connections_per_address" min:"1" off:"-1" example:"50" doc:"Connections at a time from one address (of IPv6: one /64). Default: limits.max_connections_per_address; -1: no limit."`
	ProxyFrom                []netip.Prefix `toml:"proxy_from" example:"10.0.0.0/8" doc:"Peers that must begin with a PROXY header (version 1 or 2), which names the true client. Nobody else may send one."`
	Systemd                  string         `toml:"systemd" example:"smtp" doc:"Take the socket of this name (FileDescriptorName=) that systemd has opened, and not address."`
}

// Limits are shared by all listeners.
type Limits struct {
	MaxConnections           int      `toml:"max_connections" min:"1" off:"-1" doc:"Connections at a time in all; the slowest are shed when it is reached. -1: no limit."`
	MaxConnectionsPerAddress int      `toml:"max_connections_per_address" min:"1" off:"-1" doc:"Connections at a time from one address (of IPv6: one /64). -1: no limit."`
	Grace                    Duration `toml:"grace" min:"1s" max:"1h" doc:"How long transactions under way may take to finish when the server stops."`
}

// SMTP says how mail is received.
type SMTP struct {
	MaxSize             Size     `toml:"max_size" min:"64KiB" max:"4GiB" doc:"The largest message taken, in octets; announced as SIZE (RFC 1870)."`
	MaxRecipients       int      `toml:"max_recipients" min:"100" max:"100000" doc:"Recipients of one message; announced as RCPTMAX (RFC 9422). At least 100 (RFC 5321 §4.5.3.1.8)."`
	MaxTransactions     int      `toml:"max_transactions" min:"1" off:"-1" doc:"Messages on one connection; announced as MAILMAX (RFC 9422). -1: no limit."`
	MaxErrors           int      `toml:"max_errors" min:"1" off:"-1" doc:"Wrong commands on one connection, then it is closed. A teach listener has more patience. -1: no limit."`
	MaxReceived         int      `toml:"max_received" min:"30" max:"1000" doc:"Received fields in a message; one with more is in a loop and refused (RFC 5321 §6.3)."`
	CommandTimeout      Duration `toml:"command_timeout" min:"1s" max:"1h" doc:"How long a client may think before its next command (RFC 5321 §4.5.3.2.7: five minutes)."`
	DataTimeout         Duration `toml:"data_timeout" min:"1s" max:"1h" doc:"How long a client may pause within a message (RFC 5321 §4.5.3.2.5: three minutes)."`
	RecipientDelimiters string   `toml:"recipient_delimiters" doc:"Characters, each of which ends the mailbox's name in an address: with \"+\", mail for user+tag goes to user. Empty: none."`
}

// POP3 says how mail is collected.
type POP3 struct {
	Lock        string   `toml:"lock" values:"exclusive|snapshot" doc:"exclusive lets one session at a time into a maildrop (RFC 1939 §4); snapshot lets several in, each with its own view."`
	IdleTimeout Duration `toml:"idle_timeout" min:"10m" max:"24h" doc:"How long a client may be silent, then it is logged out and nothing is deleted. At least ten minutes (RFC 1939 §3)."`
	MaxErrors   int      `toml:"max_errors" min:"1" max:"1000000" doc:"Wrong commands on one connection, then it is closed. A teach listener has no such limit."`
}

// Store sets the embedded engine up.
type Store struct {
	Reserve     Reserve `toml:"reserve" doc:"Free space on the disk below which no mail is taken: a size, a part of the disk like \"1%\", or \"auto\", which is 1 % of the disk but not more than 512 MiB."`
	SegmentSize Size    `toml:"segment_size" min:"1MiB" max:"1GiB" doc:"The size of the files that small messages are written into."`
	SmallMax    Size    `toml:"small_max" min:"1KiB" max:"8MiB" doc:"The largest message that is kept in a segment; larger ones get a file of their own."`
	Cache       Size    `toml:"cache" min:"1MiB" max:"64GiB" doc:"Memory for the index's cache."`
}

// Passwords says how passwords are kept.
type Passwords struct {
	Argon2Memory  Size     `toml:"argon2_memory" min:"8MiB" max:"256MiB" doc:"Memory that checking one password takes. argon2_memory × argon2_time is at most 1GiB."`
	Argon2Time    int      `toml:"argon2_time" min:"1" max:"32" doc:"Passes over that memory."`
	Argon2Threads int      `toml:"argon2_threads" min:"1" max:"16" doc:"Lanes (RFC 9106 §3.1)."`
	HashAtOnce    int      `toml:"hash_at_once" min:"0" max:"1024" doc:"Passwords that are checked at the same time; the others wait. 0: as many as there are processors."`
	CacheTTL      Duration `toml:"cache_ttl" min:"0s" max:"24h" doc:"How long a password that was right is remembered, as a keyed hash in memory, so that frequent polling costs little. 0s: not at all."`
}

// Log says what is logged, and how.
type Log struct {
	Format string `toml:"format" values:"text|json" doc:"Lines for people or for machines."`
	Level  string `toml:"level" values:"debug|info|warn|error" doc:"The least important records that are written."`
}

// Admin is the HTTP listener for machines that watch.
type Admin struct {
	Address  string `toml:"address" example:"127.0.0.1:9090" doc:"Host and port. Empty: no such listener."`
	Anywhere bool   `toml:"anywhere" doc:"Allow an address that others can reach. There is no password, and pprof shows what is in memory."`
}

// Default returns the configuration that holds when nothing is written.
// It has no listeners.
func Default() *Config {
	return &Config{
		Data:   "data",
		Limits: Limits{MaxConnections: 10_000, MaxConnectionsPerAddress: 50, Grace: 30 * Second},
		SMTP: SMTP{
			MaxSize: 50 * MiB, MaxRecipients: 1000, MaxTransactions: 1000, MaxErrors: 25, MaxReceived: 50,
			CommandTimeout: 5 * Minute, DataTimeout: 3 * Minute, RecipientDelimiters: "+",
		},
		POP3:      POP3{Lock: LockExclusive, IdleTimeout: 10 * Minute, MaxErrors: 25},
		Store:     Store{SegmentSize: 64 * MiB, SmallMax: 128 * KiB, Cache: 32 * MiB},
		Passwords: Passwords{Argon2Memory: 19 * MiB, Argon2Time: 2, Argon2Threads: 1, CacheTTL: 5 * Minute},
		Log:       Log{Format: "text", Level: "info"},
	}
}

// The words of settings that code compares with.
const (
	ProtocolSMTP  = "smtp"
	ProtocolPOP3  = "pop3"
	RoleMX        = "mx"
	LockExclusive = "exclusive"
	LockSnapshot  = "snapshot"
)
