package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"postrider/internal/certs"
	"postrider/internal/config"
	"postrider/internal/directory"
	"postrider/internal/fault"
)

// demoDomain is where the demo's accounts live (RFC 6761 reserves .test).
const demoDomain = "example.test"

// demoOptions are the flags of postrider demo.
type demoOptions struct {
	data        string
	dataDefault bool   // data was not said
	ports       string // "", "auto" or the base
	json        bool
	accounts    int
	strict      bool
	config      string // a file merged over the demo's settings
	relayTo     string // host and port that get what is not local; empty: it waits
}

// demoAccount is an account as the demo announces it.
type demoAccount struct {
	Address  string `json:"address"`
	Password string `json:"password"`
}

// demoListener is a listener as the demo announces it.
type demoListener struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Role     string `json:"role"`
	TLS      string `json:"tls"`
	Address  string `json:"address"`
}

// demoReady is the line of JSON that says that the demo is ready. Other
// programs read it: fields are added, never changed.
type demoReady struct {
	Data      string         `json:"data"`
	PID       int            `json:"pid"`
	Domain    string         `json:"domain"`
	CA        string         `json:"ca"` // who vouches for the demo's certificate: a file
	Listeners []demoListener `json:"listeners"`
	Accounts  []demoAccount  `json:"accounts"`
	// RelayTo is where mail for others goes; empty: where --config has it go, or it waits.
	RelayTo string `json:"relay_to"`

	waits bool // mail for others does
}

// Ports of the demo's listeners: the fixed ones, and each service's own number
// that is added to a base.
var demoPorts = []struct {
	name, protocol, role, tls string
	fixed, own                int
}{
	{"smtp", config.ProtocolSMTP, config.RoleMX, config.TLSStartTLS, 2525, 25},
	{"pop3", config.ProtocolPOP3, "", config.TLSStartTLS, 1110, 110},
	{"submission", config.ProtocolSMTP, config.RoleSubmission, config.TLSStartTLS, 2587, 587},
	{"submissions", config.ProtocolSMTP, config.RoleSubmission, config.TLSImplicit, 2465, 465},
	{"pop3s", config.ProtocolPOP3, "", config.TLSImplicit, 1995, 995},
}

// Bounds of --ports.
const (
	minBase   = 1024
	autoBase  = 10_000 // auto looks from here
	maxBase   = 32_000 // to here: below the ports that systems give to clients
	autoTries = 500
)

// demo runs a server with accounts of its own on loopback.
func demo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) error {
	// The terminal or the program that started a demo has gone at a SIGHUP.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	outliveReader()
	cfg, err := demoConfig(o)
	if err != nil {
		return err
	}
	ca, err := demoCertificate(cfg)
	if err != nil {
		return err
	}
	log, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	e, err := newEngine(cfg, log)
	if err != nil {
		return err
	}
	err = demoRun(ctx, e, o, ca, stdout)
	if cerr := e.close(); err == nil {
		err = cerr
	}
	return err
}

func demoRun(ctx context.Context, e *engine, o demoOptions, ca string, stdout io.Writer) error {
	accounts, err := demoAccounts(ctx, e.directory, e.cfg.Data, o.accounts)
	if err != nil {
		return err
	}
	listeners, err := demoListen(e, o.ports)
	if err != nil {
		return err
	}
	r := demoReady{
		Data: e.cfg.Data, PID: os.Getpid(), Domain: demoDomain, CA: ca, Accounts: accounts,
		RelayTo: o.relayTo, waits: !e.cfg.Outbound.Enabled,
	}
	for _, l := range listeners {
		r.Listeners = append(r.Listeners, demoListener{l.Name, l.Protocol, l.Role, l.TLSMode(), l.socket.Addr().String()})
	}
	var printed error
	err = e.run(ctx, listeners, func() {
		if o.json {
			printed = json.NewEncoder(stdout).Encode(r)
			return
		}
		printed = writeDemoGuide(stdout, r)
	})
	return errors.Join(err, printed)
}

// demoConfig returns the demo's settings with o.config's over them.
func demoConfig(o demoOptions) (*config.Config, error) {
	data, err := filepath.Abs(o.data)
	if err != nil {
		return nil, err
	}
	cfg := config.Default()
	cfg.Hostname = "mail." + demoDomain
	cfg.Data = data
	cfg.Postmaster = "alice@" + demoDomain
	cfg.Limits.MaxConnectionsPerAddress = -1 // everybody here is 127.0.0.1
	// A password that is printed needs no costly hash.
	cfg.Passwords.Argon2Memory, cfg.Passwords.Argon2Time = 8*config.MiB, 1
	if o.json {
		cfg.Log.Level = "warn"
	}
	// Programs are tested against a demo: they may send much.
	cfg.Submission.MessagesPerHour, cfg.Submission.MessagesPerDay = -1, -1
	cfg.Submission.RecipientsPerHour, cfg.Submission.RecipientsPerDay = -1, -1
	if !o.strict { // nor are their wrong passwords held against them
		cfg.Login.MaxDelay, cfg.Login.PairFailures, cfg.Login.AddressFailures = 0, -1, -1
	}
	if err := demoOutbound(cfg, o.relayTo); err != nil {
		return nil, err
	}
	base, err := parseBase(o.ports)
	if err != nil {
		return nil, err
	}
	for _, p := range demoPorts {
		port := p.fixed
		if base > 0 {
			port = base + p.own
		}
		cfg.Listeners = append(cfg.Listeners, config.Listener{
			Name: p.name, Protocol: p.protocol, Role: p.role, TLS: p.tls,
			Address: loopback(port), Teach: !o.strict,
			AllowPlaintextAuth: !o.strict && p.role != config.RoleMX,
		})
	}
	return cfg, overlayDemo(cfg, o, data)
}

// demoOutbound sends what is not local to one host, retrying within seconds, or
// lets it wait in the queue.
func demoOutbound(cfg *config.Config, relayTo string) error {
	c := &cfg.Outbound
	c.RetryFirst, c.RetryMax = config.Second, 10*config.Second
	c.Connect, c.TLSReports = 5*config.Second, false
	if relayTo == "" {
		c.Enabled = false
		return nil
	}
	if _, port, err := config.ParseHost(relayTo); err != nil || port == 0 {
		return fmt.Errorf("--relay-to %q: give a host and a port, as 127.0.0.1:1025", relayTo)
	}
	cfg.Routes = []config.Route{{Name: "relay-to", Hosts: []string{relayTo}}}
	return nil
}

// overlayDemo reads the demo's --config over its settings, and holds the result
// to what a server's configuration is held to. A folder named by --data stays.
func overlayDemo(cfg *config.Config, o demoOptions, data string) error {
	if o.config == "" {
		return nil
	}
	b, err := config.ReadFile(o.config)
	if err != nil {
		return err
	}
	if err := cfg.Overlay(o.config, b); err != nil {
		return err
	}
	if !o.dataDefault {
		cfg.Data = data
	}
	return cfg.Check().Err()
}

// demoCertificate gives the demo a certificate of an authority of its own, if
// the configuration has no other, and returns the file that clients need to
// believe it.
func demoCertificate(cfg *config.Config) (ca string, err error) {
	if len(cfg.Certificates) > 0 || cfg.ACME.Directory != "" {
		return "", nil
	}
	dir := filepath.Join(cfg.Data, "tls")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	ca, pair, err := certs.DemoAuthority(dir, []string{cfg.Hostname, "localhost"}, time.Now())
	if err != nil {
		return "", err
	}
	cfg.Certificates = []config.Certificate{{Chain: pair.Certificate, Key: pair.Key}}
	return ca, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// parseBase returns the base that --ports names, zero for none and for auto.
func parseBase(s string) (int, error) {
	if s == "" || s == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < minBase || n >= maxBase {
		return 0, fmt.Errorf("--ports %q: give a number from %d to %d, or auto", s, minBase, maxBase-1)
	}
	return n, nil
}

// demoListen opens the listeners; with auto, at the first base where all are free.
func demoListen(e *engine, ports string) ([]opened, error) {
	if ports != "auto" {
		ls, err := e.listen()
		if err != nil {
			return nil, hinted{err, "Is a demo running already? --ports auto looks for free ports."}
		}
		return ls, nil
	}
	for range autoTries { // at random: demos that start at one time should not meet
		base := autoBase + randomInt(maxBase-autoBase)
		for i, p := range demoPorts {
			e.cfg.Listeners[i].Address = loopback(base + p.own)
		}
		if ls, err := e.listen(); err == nil {
			return ls, nil
		}
	}
	return nil, fmt.Errorf("no free ports for the demo below %d", maxBase)
}

// demoFile keeps the demo's passwords, so that a demo that is started again can
// print them again. It is for a demo only: nothing else keeps a password.
func demoFile(data string) string { return filepath.Join(data, "demo.json") }

// demoAccounts returns the accounts of a data folder, after making those that
// are missing.
func demoAccounts(ctx context.Context, d *directory.Directory, data string, n int) ([]demoAccount, error) {
	known := []demoAccount{}
	b, err := os.ReadFile(demoFile(data))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, &known); err != nil {
			return nil, fmt.Errorf("%s: %w", demoFile(data), err)
		}
	}
	if err := d.AddDomain(ctx, demoDomain); err != nil && !fault.Is(err, fault.Exists) {
		return nil, err
	}
	all := known
	for i := len(known); i < n; i++ {
		all = append(all, demoAccount{Address: demoName(i) + "@" + demoDomain, Password: demoPassword()})
	}
	if err := writeDemoFile(data, all); err != nil {
		return nil, err
	}
	for _, a := range all {
		_, err := d.AddAccount(ctx, directory.NewAccount{Address: a.Address, Password: a.Password})
		if err != nil && !fault.Is(err, fault.Exists) {
			return nil, err
		}
	}
	return all, nil
}

// writeDemoFile writes the file whole or not at all, before any of its accounts is made.
func writeDemoFile(data string, all []demoAccount) error {
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	tmp := demoFile(data) + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, demoFile(data))
}

func demoName(i int) string {
	names := []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"}
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("user%d", i+1)
}

// demoPassword returns a password that is easily typed, of 50 random bits.
func demoPassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789"
	b := make([]byte, 11)
	for i := range b {
		b[i] = letters[randomInt(len(letters))]
	}
	b[5] = '-'
	return string(b)
}

func randomInt(n int) int {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // crypto/rand does not fail
	}
	return int(v.Int64())
}
