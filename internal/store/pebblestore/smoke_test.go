package pebblestore

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

func TestSmoke(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open(Options{FS: fs, Dir: "data", SegmentSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.Change(t.Context(), store.PutDomain{Domain: store.Domain{Name: "example.test"}},
		store.PutAccount{New: true, Account: store.Account{Address: "a@example.test"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 200; i++ {
		c, err := s.NewContent(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(bytes.Repeat([]byte{byte(i)}, 3000))
		_, err = s.Accept(t.Context(), store.Accept{ID: mail.NewID(time.Now()), Content: c, Received: time.Now(),
			Deliveries: []store.Delivery{{Account: ids[0], Mailbox: 1, Prefix: []byte("X: y\r\n")}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		n := 0
		for m, err := range s.List(t.Context(), ids[0], 1, 0) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Open(t.Context(), ids[0], 1, m.UID)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil || len(b) != 3006 || b[3005] != byte(m.UID-1) {
				t.Fatal(err, len(b))
			}
			r.Close()
			n++
		}
		if n != 200 {
			t.Fatal(n)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{FS: fs, Dir: "data", SegmentSize: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
