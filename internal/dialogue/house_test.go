package dialogue_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"postrider/internal/access"
	"postrider/internal/dialogue"
	"postrider/internal/directory"
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
			h := newHouse(t)
			for _, m := range d.Given {
				h.give(m)
			}
			if err := d.Run(dialogue.Setup{Open: h.open, Vars: h.vars}); err != nil {
				t.Error(err)
			}
		})
	}
}

// house is a server in memory, with the demo's accounts.
type house struct {
	t       *testing.T
	receive *receive.Receiver
	access  *access.Access
	vars    map[string]string
	opened  int
}

func newHouse(t *testing.T) *house {
	t.Helper()
	model := storetest.NewModel()
	log := slog.New(slog.DiscardHandler)
	people := directory.New(model, directory.Options{
		Postmaster: "alice@example.test",
		Argon2:     directory.Argon2Params{Memory: 8, Time: 1, Threads: 1},
	})
	h := &house{
		t:       t,
		receive: receive.New(receive.Options{Store: model, Directory: people, Logger: log}),
		access:  access.New(access.Options{Maildrops: model, Directory: people, Lock: store.Exclusive, Logger: log}),
		vars:    map[string]string{},
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

// open connects to a session.
func (h *house) open(c dialogue.Connection) (dialogue.Transport, error) {
	h.opened++
	conn := &session.Conn{
		ID: fmt.Sprint("c", h.opened), Context: context.Background(), Now: time.Now,
		Remote: netip.MustParseAddrPort("127.0.0.1:40000"), Local: netip.MustParseAddrPort("127.0.0.1:25"),
		Listener: &session.Listener{
			Name: c.Protocol, Protocol: c.Protocol, Role: c.Role, Teach: c.Teach, Hostname: "mail.example.test",
		},
	}
	switch c.Protocol {
	case "smtp":
		conn.Listener.Role = "mx"
		return dialogue.NewMemory(smtp.New(h.receive, nil), conn), nil
	case "pop3":
		return dialogue.NewMemory(pop3.New(h.access, nil), conn), nil
	}
	return nil, fmt.Errorf("nothing speaks %s", c.Protocol)
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
