package dialogue_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postrider/internal/access"
	"postrider/internal/dialogue"
	"postrider/internal/directory"
	"postrider/internal/login"
	"postrider/internal/netserver"
	"postrider/internal/pop3"
	"postrider/internal/receive"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
	"postrider/internal/wire"
)

// TestDialogues runs every dialogue without sockets: sessions, receive,
// directory and access as they are, over the model of a store.
func TestDialogues(t *testing.T) {
	runAll(t, func(t *testing.T, d *dialogue.Dialogue, h *house) error {
		return d.Run(dialogue.Setup{Open: h.open, Vars: h.vars})
	})
}

// TestDialoguesOverTCP runs them through the driver on loopback, but for those
// that only memory can make happen.
func TestDialoguesOverTCP(t *testing.T) {
	runAll(t, func(t *testing.T, d *dialogue.Dialogue, h *house) error {
		if d.NeedsMemory() {
			t.Skip("has events")
		}
		return d.Run(dialogue.Setup{Open: h.dial, Vars: h.vars})
	})
}

// runAll calls run with every dialogue and a house for it.
func runAll(t *testing.T, run func(*testing.T, *dialogue.Dialogue, *house) error) {
	files, err := filepath.Glob("../../testdata/dialogues/*.dialogue")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d, err := dialogue.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, need := range d.Needs {
				if !slices.Contains(houseHas, need) {
					t.Skipf("needs %s", need)
				}
			}
			h := newHouse(t, d.Needs)
			for _, m := range d.Given {
				h.give(m)
			}
			if err := run(t, d, h); err != nil {
				t.Error(err)
			}
		})
	}
}

// houseHas is what dialogues may need of the house.
var houseHas = []string{dialogue.NeedsTurner, dialogue.NeedsRelay, dialogue.NeedsBinary}

// house is a server in memory, with the demo's accounts.
type house struct {
	t       *testing.T
	receive *receive.Receiver
	access  *access.Access
	logins  *login.Service
	options *smtp.Options
	vars    map[string]string
	opened  int
	// certificate is for connections over TCP.
	certificate tls.Certificate
}

func newHouse(t *testing.T, needs []string) *house {
	t.Helper()
	model := storetest.NewModel()
	log := slog.New(slog.DiscardHandler)
	people := directory.New(model, directory.Options{
		Postmaster: "alice@example.test",
		Argon2:     directory.Argon2Params{Memory: 8, Time: 1, Threads: 1},
	})
	h := &house{
		t: t,
		receive: receive.New(receive.Options{
			Store: model, Directory: people, Rights: people, Logger: log,
			Onward:  slices.Contains(needs, dialogue.NeedsRelay),
			Clients: []receive.Client{{Name: "office", Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}},
		}),
		options: &smtp.Options{MaxHold: time.Hour, Binary: slices.Contains(needs, dialogue.NeedsBinary)},
		access:  access.New(access.Options{Maildrops: model, Lock: store.Exclusive, Logger: log}),
		logins:  login.New(login.Options{Directory: people, Policy: login.Policy{MaxDelay: -1}}),
		vars:    map[string]string{},

		certificate: newCertificate(),
	}
	if slices.Contains(needs, dialogue.NeedsTurner) {
		h.options.Turner = turner{}
	}
	err := people.AddDomain(context.Background(), "example.test")
	for _, name := range []string{"alice", "bob"} {
		password := name + "'s password"
		h.vars[name+"-password"] = password
		if err == nil {
			_, err = people.AddAccount(context.Background(), directory.NewAccount{Address: name + "@example.test", Password: password})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newCertificate returns one that nobody has a reason to believe.
func newCertificate() tls.Certificate {
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	return https.TLS.Certificates[0]
}

// listener describes a listener of the house, and says how its sessions are made.
func (h *house) listener(c dialogue.Connection) (session.Listener, func() session.Session, error) {
	l := session.Listener{
		Name: c.Protocol, Protocol: c.Protocol, Role: c.Role, Teach: c.Teach, Hostname: "mail.example.test",
		PlaintextAuth: true, StartTLS: true,
	}
	switch c.Protocol {
	case "smtp":
		if l.Role == "" {
			l.Role = "mx"
		}
		return l, func() session.Session { return smtp.New(h.receive, h.logins, h.options) }, nil
	case "pop3":
		return l, func() session.Session { return pop3.New(h.access, h.logins, nil) }, nil
	}
	return l, nil, fmt.Errorf("nothing speaks %s", c.Protocol)
}

// open connects to a session in memory.
func (h *house) open(c dialogue.Connection) (dialogue.Transport, error) {
	l, newSession, err := h.listener(c)
	if err != nil {
		return nil, err
	}
	h.opened++
	return dialogue.NewMemory(newSession(), &session.Conn{
		ID: fmt.Sprint("c", h.opened), Context: context.Background(), Now: time.Now, Listener: &l,
		Remote: netip.MustParseAddrPort("127.0.0.1:40000"), Local: netip.MustParseAddrPort("127.0.0.1:25"),
	}), nil
}

// dial connects over TCP, to a server made for this connection.
func (h *house) dial(c dialogue.Connection) (dialogue.Transport, error) {
	l, newSession, err := h.listener(c)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := netserver.New(netserver.Options{Grace: -1})
	served := make(chan error, 1)
	go func() {
		served <- srv.Serve(ln, netserver.Listener{
			Listener: l, New: newSession, TLS: &tls.Config{Certificates: []tls.Certificate{h.certificate}}, MaxLine: smtp.MaxAuthLine + 2,
		})
	}()
	h.t.Cleanup(func() {
		_ = srv.Shutdown(context.Background())
		<-served
	})
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	return dialogue.NewNet(conn), nil
}

// give sends a message by SMTP.
func (h *house) give(m dialogue.Message) {
	h.t.Helper()
	conn, err := h.open(dialogue.Connection{Protocol: "smtp"})
	if err != nil {
		h.t.Fatal(err)
	}
	var in, out bytes.Buffer
	fmt.Fprintf(&in, "EHLO client.example.org\r\nMAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n", m.To)
	dots := wire.NewDotWriter(&in)
	_, _ = dots.Write(m.Content)
	_ = dots.Close()
	if _, err := conn.Write(in.Bytes()); err != nil {
		h.t.Fatal(err)
	}
	_, _ = io.Copy(&out, conn) // ends with ErrSilent
	if !bytes.Contains(out.Bytes(), []byte("\r\n354 ")) || !bytes.Contains(out.Bytes(), []byte("\r\n250 2.")) {
		h.t.Fatalf("the message was not taken: %q", out.Bytes())
	}
	_ = conn.Close()
}
