package storetest

import (
	"io"
	"math/rand/v2"

	"postrider/internal/mail"
)

var contentRules = []rule{
	{"ContentIsReadBetweenWrites", testContentReadAt},
	{"ReadContentIsKeptExactly", testContentReadKept},
	{"ContentGivenAwayIsNotRead", testContentReadAfter},
}

// testContentReadAt reads at places all over after each Write.
func testContentReadAt(e *env) {
	for _, pieces := range [][]int{{0}, {1}, {700, 1, 3000, 400}, {4096, 1}, {100_000, 1, 28_000, 200_000, 70_000, 3}, {65_532, 65_532, 65_532, 65_532, 1}} {
		r := rand.New(rand.NewPCG(1, uint64(len(pieces))))
		c, err := e.st.NewContent(e.ctx, 0)
		e.ok(err)
		total := 0
		for _, n := range pieces {
			total += n
		}
		want := pattern(total)
		written := 0
		for _, n := range pieces {
			_, err := c.Write([]byte(want[written : written+n]))
			e.ok(err)
			written += n
			e.readParts(c, r, want[:written])
		}
		c.Discard()
	}
}

// readParts reads the octets that there are in different ways.
func (e *env) readParts(c io.ReaderAt, r *rand.Rand, want string) {
	e.Helper()
	part := make([]byte, 70_000)
	for range 20 {
		off, n := r.IntN(len(want)+1), r.IntN(len(part))
		got, err := c.ReadAt(part[:n], int64(off))
		end := min(off+n, len(want))
		if got != end-off || err != nil && err != io.EOF || err == nil && got < n {
			e.Fatalf("ReadAt(%d octets, %d) of %d = %d, %v", n, off, len(want), got, err)
		}
		e.same("ReadAt", string(part[:got]), want[off:end])
	}
	for _, off := range []int{len(want), len(want) + 1, len(want) + 1<<20} {
		if n, err := c.ReadAt(part[:1], int64(off)); n != 0 || err != io.EOF {
			e.Fatalf("ReadAt %d of %d = %d, %v, want 0, EOF", off, len(want), n, err)
		}
	}
	if _, err := c.ReadAt(part[:1], -1); err == nil || err == io.EOF {
		e.Fatalf("ReadAt -1: %v, want another error", err)
	}
	all, err := io.ReadAll(io.NewSectionReader(c, 0, int64(len(want))))
	e.ok(err)
	e.same("all of it", string(all), want)
}

func testContentReadKept(e *env) {
	id := e.account("alice@a.test")
	for _, n := range sizes {
		body := pattern(n)
		a := e.accept(body, inbox(id))
		part := make([]byte, 1000)
		if _, err := a.Content.ReadAt(part, int64(n/2)); err != nil && err != io.EOF {
			e.ok(err)
		}
		_, err := a.Content.Write([]byte("the end"))
		e.ok(err)
		done, err := e.st.Accept(e.ctx, a)
		e.ok(err)
		e.same("octets", e.read(id, mail.Inbox, done.Placed[0].UID), body+"the end")
	}
}

func testContentReadAfter(e *env) {
	id := e.account("alice@a.test")
	for _, n := range []int{10, 300_000} {
		a, dropped := e.accept(pattern(n), inbox(id)), e.content([]byte(pattern(n)))
		if _, err := dropped.ReadAt(make([]byte, 5), 0); err != nil {
			e.Fatalf("ReadAt: %v", err)
		}
		_, err := e.st.Accept(e.ctx, a)
		e.ok(err)
		dropped.Discard()
		for what, c := range map[string]io.ReaderAt{"accepted": a.Content, "discarded": dropped} {
			if n, err := c.ReadAt(make([]byte, 5), 0); n != 0 || err == nil {
				e.Errorf("ReadAt of what was %s = %d, %v, want an error", what, n, err)
			}
		}
	}
}
