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
//	path     set for names of files: a relative one starts at the file's folder
//
// Default says what holds when a key is not written.
type Config struct {
	Hostname     string        `toml:"hostname" example:"mail.example.org" doc:"The name that the server greets with and writes into Received fields. Default: the name of the machine."`
	Data         string        `toml:"data" path:"folder" doc:"The folder that holds the mail, the accounts and the administration socket. A relative path starts at the folder of this file."`
	Postmaster   string        `toml:"postmaster" example:"postmaster@example.org" doc:"Where mail to Postmaster without a domain goes (RFC 5321 §4.5.1): the address of an account or an alias here."`
	Listeners    []Listener    `toml:"listener" doc:"An address that the server listens on. Write one [[listener]] for each."`
	Limits       Limits        `toml:"limits" doc:"What all listeners share."`
	TLS          TLS           `toml:"tls" doc:"How connections are protected. A listener whose clients can begin TLS needs a certificate: from files, from an ACME authority, or, where there is neither, one that the server signs itself and warns about."`
	Certificates []Certificate `toml:"certificate" doc:"A certificate in files. Write one [[certificate]] for each; a client that names a host (SNI) gets the one made for it, others the first. They are read again when they change."`
	ACME         ACME          `toml:"acme" doc:"Certificates from an authority that speaks ACME (RFC 8555), obtained and renewed by the server. What it keeps for that is in the store."`
	Login        Login         `toml:"login" doc:"Who is held up or locked out after wrong passwords, and which ways to log in there are."`
	OAuth        OAuth         `toml:"oauth" doc:"Logins with bearer tokens (OAUTHBEARER, RFC 7628) of one OpenID Connect issuer."`
	SMTP         SMTP          `toml:"smtp" doc:"How mail is received."`
	Submission   Submission    `toml:"submission" doc:"What those may send who have logged in."`
	Outbound     Outbound      `toml:"outbound" doc:"How mail is sent to other hosts."`
	Destinations []Destination `toml:"destination" doc:"What is different for some destinations; the first that fits holds. Write one [[destination]] for each."`
	Routes       []Route       `toml:"route" doc:"Ways that some mail takes instead of the hosts that the DNS names; the first that fits holds. Write one [[route]] for each."`
	Turns        []Turn        `toml:"turn" doc:"Hosts that are seldom connected, and ask for their mail. Write one [[turn]] for each."`
	DNS          DNS           `toml:"dns" doc:"Whom the server asks for names and addresses."`
	Relays       []Relay       `toml:"relay" doc:"A host, or several, that may send mail for any domain through listeners of the role relay, without a login. Write one [[relay]] for each. Nobody else may: not this machine either, unless it is named."`
	DKIM         DKIM          `toml:"dkim" doc:"How mail is signed (DKIM, RFC 6376)."`
	Publish      Publish       `toml:"publish" doc:"What \"postrider dns\" says that the DNS should have."`
	POP3         POP3          `toml:"pop3" doc:"How mail is collected by POP3."`
	Store        Store         `toml:"store" doc:"The embedded store."`
	Passwords    Passwords     `toml:"passwords" doc:"How passwords are kept. New ones become argon2id (RFC 9106); older ones are replaced at the next login."`
	Log          Log           `toml:"log" doc:"The log, which goes to standard error."`
	Admin        Admin         `toml:"admin" doc:"An HTTP listener for machines that watch: /metrics, /healthz, /readyz, /debug/pprof/."`

	origins origins
}

// Listener is an address that the server listens on.
type Listener struct {
	Name                     string         `toml:"name" example:"smtp" doc:"Stands in logs and metrics. Default: the protocol, with a number if there are several."`
	Protocol                 string         `toml:"protocol" values:"smtp|pop3" example:"smtp" doc:"What is spoken."`
	Role                     string         `toml:"role" example:"mx" doc:"What an SMTP listener is for. mx takes mail for the domains that live here, from anybody; submission takes mail from who has logged in (port 587); submissions is the same with TLS from the first octet (port 465). relay takes mail for any domain, from the hosts named in [[relay]] and from who has logged in. Other protocols have no role."`
	TLS                      string         `toml:"tls" values:"starttls|implicit|none" example:"starttls" doc:"starttls: clients may ask for TLS (STARTTLS, STLS); implicit: TLS from the first octet (ports 465 and 995); none. Default: implicit for the role submissions, else starttls."`
	ClientCA                 string         `toml:"client_ca" path:"file" example:"clients.pem" doc:"Authorities, as a PEM file, whose client certificates prove a name (SASL EXTERNAL): the mail address in the certificate."`
	AllowPlaintextAuth       bool           `toml:"allow_plaintext_auth" doc:"Take passwords that are sent as they are, also without TLS. Everybody on the way can read them: for loopback, and for networks you trust."`
	PopBeforeSMTP            Duration       `toml:"pop_before_smtp" max:"24h" doc:"For role submission: how long after a POP3 login its address may submit as that account without a login of its own, for clients that can't log in. Anybody behind the same address can. 0s: not at all."`
	TrustedNetworks          []netip.Prefix `toml:"trusted_networks" example:"192.0.2.0/24" doc:"The networks whose addresses pop_before_smtp may trust: those where each address is one person's. Default: any."`
	Address                  string         `toml:"address" example:"127.0.0.1:2525" doc:"Host and port: \"127.0.0.1:2525\", \"[::1]:2525\", or \":25\" for all addresses, IPv4 and IPv6. Port 0 takes a free one."`
	Teach                    bool           `toml:"teach" doc:"Be kind to people who type: accept a bare LF in commands, telnet's ways and mistakes, give hints, answer VRFY. For loopback."`
	TeachAnywhere            bool           `toml:"teach_anywhere" doc:"Allow teach on an address that others can reach. Hints and VRFY tell strangers who lives here."`
	MaxConnections           int            `toml:"max_connections" min:"1" off:"-1" example:"1000" doc:"Connections at a time on this listener. Default: limits.max_connections; -1: only that."`
	MaxConnectionsPerAddress int            `toml:"max_connections_per_address" min:"1" off:"-1" example:"50" doc:"Connections at a time from one address (of IPv6: one /64). Default: limits.max_connections_per_address; -1: no limit."`
	ProxyFrom                []netip.Prefix `toml:"proxy_from" example:"10.0.0.0/8" doc:"Peers that must begin with a PROXY header (version 1 or 2), which names the true client. Nobody else may send one."`
	Systemd                  string         `toml:"systemd" example:"smtp" doc:"Take the socket of this name (FileDescriptorName=) that systemd has opened, and not address."`
}

// TLSMode returns the listener's TLS, with the default put in.
func (l *Listener) TLSMode() string {
	switch {
	case l.TLS != "":
		return l.TLS
	case l.Role == RoleSubmissions:
		return TLSImplicit
	}
	return TLSStartTLS
}

// Submits reports whether the listener takes mail from who has logged in.
func (l *Listener) Submits() bool { return l.Role == RoleSubmission || l.Role == RoleSubmissions }

// LogsIn reports whether people log in at the listener.
func (l *Listener) LogsIn() bool {
	return l.Submits() || l.Role == RoleRelay || l.Protocol == ProtocolPOP3
}

// Limits are shared by all listeners.
type Limits struct {
	MaxConnections           int      `toml:"max_connections" min:"1" off:"-1" doc:"Connections at a time in all; the slowest are shed when it is reached. -1: no limit."`
	MaxConnectionsPerAddress int      `toml:"max_connections_per_address" min:"1" off:"-1" doc:"Connections at a time from one address (of IPv6: one /64). -1: no limit."`
	Grace                    Duration `toml:"grace" min:"1s" max:"1h" doc:"How long transactions under way may take to finish when the server stops."`
}

// TLS says how connections are protected.
type TLS struct {
	MinVersion string   `toml:"min_version" values:"1.2|1.3" doc:"The oldest version of TLS that is spoken."`
	Handshake  Duration `toml:"handshake_timeout" min:"1s" max:"5m" doc:"How long a handshake may take."`
	SelfSigned bool     `toml:"self_signed" doc:"Where there is no other certificate, use one that the server signs itself. Clients can't tell it from an impostor's unless they are told its fingerprint: see \"postrider cert show\"."`
}

// Certificate is a certificate in files.
type Certificate struct {
	Chain string `toml:"chain" path:"file" example:"/etc/ssl/mail.example.org/fullchain.pem" doc:"The certificate, and behind it those that vouch for it, as PEM."`
	Key   string `toml:"key" path:"file" example:"/etc/ssl/mail.example.org/privkey.pem" doc:"Its private key, as PEM."`
}

// ACME is an authority that gives certificates.
type ACME struct {
	Directory string   `toml:"directory" example:"https://acme-v02.api.letsencrypt.org/directory" doc:"The address of the authority's directory. Empty: no ACME. To set it is to agree to the authority's terms."`
	CAFile    string   `toml:"ca_file" path:"file" example:"acme-root.pem" doc:"Who vouches for the authority's own server, as PEM, if it is a private one. Default: the system's authorities."`
	Email     string   `toml:"email" example:"postmaster@example.org" doc:"Where the authority may write to."`
	Names     []string `toml:"names" example:"mail.example.org" doc:"The host names to obtain certificates for. Default: hostname."`
	HTTP      string   `toml:"http" example:":80" doc:"Where to listen for the authority's HTTP-01 requests, which come to port 80. Empty: this challenge is not used."`
	TLSALPN   string   `toml:"tls_alpn" example:":443" doc:"Where to listen for the authority's TLS-ALPN-01 requests, which come to port 443. Empty: this challenge is not used."`
}

// Login is the policy of logins.
type Login struct {
	Mechanisms      []string       `toml:"mechanisms" values:"SCRAM-SHA-256-PLUS|SCRAM-SHA-256|EXTERNAL|OAUTHBEARER|PLAIN|LOGIN|CRAM-MD5|APOP|USER" example:"SCRAM-SHA-256" doc:"The ways to log in that may be offered; USER is POP3's USER and PASS. Default: all. Of these a client is offered what makes sense on its connection: no password in the clear without TLS; APOP only while some account has a legacy secret, and CRAM-MD5 only then and where no password may be sent as it is. A list that names CRAM-MD5 has it offered under TLS too."`
	MaxDelay        Duration       `toml:"max_delay" max:"1m" doc:"The answer to a wrong password is delayed, longer with every one. This is the longest delay. 0s: none."`
	PerConnection   int            `toml:"per_connection" min:"1" max:"100" doc:"Wrong passwords on one connection, then it is closed."`
	PairFailures    int            `toml:"pair_failures" min:"1" off:"-1" doc:"Wrong passwords from one address (of IPv6: one /64) for one account within the window; then the two are locked out together. -1: no limit."`
	AddressFailures int            `toml:"address_failures" min:"1" off:"-1" doc:"Wrong passwords from one address within the window, whatever the account; then it is locked out, but for accounts that have lately logged in from there. An IPv6 site (/48) may fail ten times as often. -1: no limit."`
	Window          Duration       `toml:"window" min:"1m" max:"24h" doc:"How long a wrong password counts."`
	Lockout         Duration       `toml:"lockout" min:"1s" max:"24h" doc:"How long a lock-out lasts. No account is ever locked out by itself: its owner can log in from elsewhere."`
	Trusted         []netip.Prefix `toml:"trusted" example:"192.0.2.7/32" doc:"Addresses that are never delayed or locked out, because many people log in from them, as a webmail server's."`
}

// OAuth is an issuer of bearer tokens.
type OAuth struct {
	Issuer   string `toml:"issuer" example:"https://login.example.org" doc:"The issuer's address (OpenID Connect Discovery). Empty: no OAUTHBEARER."`
	Audience string `toml:"audience" example:"postrider" doc:"Whom a token must be made for (its aud)."`
	Claim    string `toml:"claim" doc:"The token's claim that holds the account's address."`
	CAFile   string `toml:"ca_file" path:"file" example:"issuer-root.pem" doc:"Who vouches for the issuer's server, as PEM, if it is a private one."`
}

// Submission is about what those send who have logged in.
type Submission struct {
	MessagesPerHour   int      `toml:"messages_per_hour" min:"1" off:"-1" doc:"Messages that one account may send in an hour. -1: no limit."`
	MessagesPerDay    int      `toml:"messages_per_day" min:"1" off:"-1" doc:"Messages that one account may send in a day. -1: no limit."`
	RecipientsPerHour int      `toml:"recipients_per_hour" min:"1" off:"-1" doc:"Recipients that one account may send to in an hour, those of all messages counted together. -1: no limit."`
	RecipientsPerDay  int      `toml:"recipients_per_day" min:"1" off:"-1" doc:"Recipients that one account may send to in a day. -1: no limit."`
	MaxHold           Duration `toml:"max_hold" max:"365d" doc:"How far ahead a sender may set the time of a message's release (FUTURERELEASE, RFC 4865). 0s: not at all."`
	MaxPriority       int      `toml:"max_priority" min:"1" max:"9" off:"-1" doc:"The highest priority that a sender may give a message (MT-PRIORITY, RFC 6710); a higher one is lowered to it. Strangers have none above 0, relay clients all. -1: 0."`
	HideClient        bool     `toml:"hide_client" doc:"Leave the name and address of the sender's computer out of the Received field (RFC 5321, section 4.4), where all recipients could read them. The log has them in any case."`
}

// Relay is who may relay without a login.
type Relay struct {
	Name              string         `toml:"name" example:"printer" doc:"Stands in logs and in the queue."`
	Networks          []netip.Prefix `toml:"networks" example:"192.0.2.25/32" doc:"Where it sends from. Whoever has one of these addresses may send as anybody to anywhere: name single addresses or small networks."`
	WideNetworks      bool           `toml:"wide_networks" doc:"Allow networks with more addresses than an IPv4 /16 or an IPv6 /48 has. 0.0.0.0/0 and ::/0 make an open relay, which is soon on every block list."`
	From              []string       `toml:"from" example:"example.org" doc:"The domains that its senders' addresses (MAIL FROM) may have. Default: any. The null reverse-path of notifications may always be used."`
	MessagesPerHour   int            `toml:"messages_per_hour" min:"0" doc:"Messages that it may send in an hour. 0: no limit."`
	RecipientsPerHour int            `toml:"recipients_per_hour" min:"0" doc:"Recipients that it may send to in an hour. 0: no limit."`
}

// SMTP says how mail is received.
type SMTP struct {
	MaxSize             Size     `toml:"max_size" min:"64KiB" max:"4GiB" doc:"The largest message taken, in octets; announced as SIZE (RFC 1870)."`
	MaxRecipients       int      `toml:"max_recipients" min:"100" max:"100000" doc:"Recipients of one message; announced as RCPTMAX (RFC 9422). At least 100 (RFC 5321 §4.5.3.1.8)."`
	MaxTransactions     int      `toml:"max_transactions" min:"1" off:"-1" doc:"Messages on one connection; announced as MAILMAX (RFC 9422). -1: no limit."`
	MaxErrors           int      `toml:"max_errors" min:"1" off:"-1" doc:"Wrong commands on one connection, then it is closed. A teach listener has more patience. -1: no limit."`
	MaxUnknown          int      `toml:"max_unknown" min:"1" off:"-1" doc:"Recipients that nobody here is, named on one connection of role mx; then it is closed, so that addresses can't be tried out in bulk. A teach listener has no such limit. -1: no limit."`
	MaxReceived         int      `toml:"max_received" min:"30" max:"1000" doc:"Received fields in a message; one with more is in a loop and refused (RFC 5321 §6.3)."`
	CommandTimeout      Duration `toml:"command_timeout" min:"1s" max:"1h" doc:"How long a client may think before its next command (RFC 5321 §4.5.3.2.7: five minutes)."`
	DataTimeout         Duration `toml:"data_timeout" min:"1s" max:"1h" doc:"How long a client may pause within a message (RFC 5321 §4.5.3.2.5: three minutes)."`
	MinDeliverBy        Duration `toml:"min_deliver_by" max:"24h" doc:"The least time in which a sender may want a message delivered or else returned; announced as DELIVERBY (RFC 2852). 0s: any."`
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
	Cache       Size    `toml:"cache" min:"1MiB" max:"64GiB" doc:"Memory for the index: what it has of its files, and its tables of what has just come (up to 32 MiB)."`
}

// Passwords says how passwords are kept.
type Passwords struct {
	Argon2Memory    Size     `toml:"argon2_memory" min:"8MiB" max:"256MiB" doc:"Memory that checking one password takes. argon2_memory × argon2_time is at most 1GiB."`
	Argon2Time      int      `toml:"argon2_time" min:"1" max:"32" doc:"Passes over that memory."`
	Argon2Threads   int      `toml:"argon2_threads" min:"1" max:"16" doc:"Lanes (RFC 9106 §3.1)."`
	HashAtOnce      int      `toml:"hash_at_once" min:"0" max:"1024" doc:"Passwords that are checked at the same time; the others wait. 0: as many as there are processors."`
	SCRAMIterations int      `toml:"scram_iterations" min:"4096" max:"1000000" off:"-1" doc:"How often a password is hashed for SCRAM-SHA-256 (RFC 7677 §4), which lets clients log in without sending it. Clients do this work too. -1: no keys for SCRAM are made or used."`
	KeyFile         string   `toml:"key_file" path:"file" example:"/etc/postrider/secret.key" doc:"The file with the key that seals legacy secrets (CRAM-MD5, APOP), made when the first one is. Keep it apart from backups of the store. Default: secret.key in the data folder."`
	CacheTTL        Duration `toml:"cache_ttl" min:"0s" max:"24h" doc:"How long a password that was right is remembered, as a keyed hash in memory, so that frequent polling costs little. 0s: not at all."`
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
		TLS:    TLS{MinVersion: "1.2", Handshake: 30 * Second, SelfSigned: true},
		Login: Login{
			MaxDelay: 10 * Second, PerConnection: 5, PairFailures: 10, AddressFailures: 50,
			Window: Hour, Lockout: 15 * Minute,
		},
		OAuth: OAuth{Claim: "email"},
		Submission: Submission{
			MessagesPerHour: 500, MessagesPerDay: 2000, RecipientsPerHour: 2000, RecipientsPerDay: 5000, MaxHold: 30 * day,
			MaxPriority: 4,
		},
		SMTP: SMTP{
			MaxSize: 50 * MiB, MaxRecipients: 1000, MaxTransactions: 1000, MaxErrors: 25, MaxUnknown: 10, MaxReceived: 50,
			CommandTimeout: 5 * Minute, DataTimeout: 3 * Minute, RecipientDelimiters: "+",
		},
		Outbound:  defaultOutbound(),
		DKIM:      DKIM{Enabled: true, Expire: 14 * day, Settle: day},
		Publish:   Publish{MTASTS: STSNone},
		POP3:      POP3{Lock: LockExclusive, IdleTimeout: 10 * Minute, MaxErrors: 25},
		Store:     Store{SegmentSize: 64 * MiB, SmallMax: 128 * KiB, Cache: 48 * MiB},
		Passwords: Passwords{Argon2Memory: 19 * MiB, Argon2Time: 2, Argon2Threads: 1, SCRAMIterations: 10_000, CacheTTL: 5 * Minute},
		Log:       Log{Format: "text", Level: "info"},
	}
}

// The words of settings that code compares with.
const (
	ProtocolSMTP    = "smtp"
	ProtocolPOP3    = "pop3"
	RoleMX          = "mx"
	RoleSubmission  = "submission"
	RoleSubmissions = "submissions"
	RoleRelay       = "relay"
	TLSNone         = "none"
	TLSStartTLS     = "starttls"
	TLSImplicit     = "implicit"
	LockExclusive   = "exclusive"
	LockSnapshot    = "snapshot"
)
