package pebblestore

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// sendOne accepts a message that goes onward, of an ID of one octet.
func sendOne(t *testing.T, s *Store, id byte, body []byte, to ...string) {
	t.Helper()
	c, err := s.NewContent(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(body); err != nil {
		t.Fatal(err)
	}
	o := store.Onward{ID: mail.ID{id}, Prefix: []byte("Received: x\r\n"), Due: time.Unix(int64(id), 0)}
	for _, name := range to {
		o.Envelope.Recipients = append(o.Envelope.Recipients, mail.Recipient{Address: mail.Address{Local: "x", Domain: name}})
	}
	p, err := store.Pass(store.ServerWarrant("test"), o)
	if err != nil {
		t.Fatal(err)
	}
	a := store.Accept{ID: mail.ID{id, 1}, Content: c, Received: time.Now(), Onward: []store.Passage{p}}
	if _, err := s.Accept(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// sent leases all that is due for a destination, checks the octets against a body
// an ID has, and takes it out. It returns the IDs, and the leases that can't be used.
func sent(t *testing.T, s *Store, destination string, body func(id byte) []byte) (ids []byte, bad []store.RowLease) {
	t.Helper()
	now := time.Now()
	all, err := s.Lease(t.Context(), store.LeaseQuery{Destination: destination, Now: now, Until: now.Add(time.Hour), Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var settlements []store.Settlement
	for _, l := range all {
		row := store.RowLease{Row: store.RowID{Message: l.Message.ID, Index: l.Message.Rows[0].Index}, Fence: l.Fences[0]}
		if l.Err != nil {
			if !fault.Is(l.Err, fault.Corrupt) || len(l.Fences) != 1 || len(l.Message.Rows) != 1 {
				t.Errorf("leased %+v", l)
			}
			bad = append(bad, row)
			continue
		}
		r, err := s.OpenQueued(t.Context(), l.Message.ID)
		if err != nil {
			if !fault.Is(err, fault.Corrupt) {
				t.Errorf("open: %v", err)
			}
			bad = append(bad, row)
			continue
		}
		var got bytes.Buffer
		if _, err := r.WriteTo(&got); err != nil {
			t.Error(err)
		}
		r.Close()
		if want := "Received: x\r\n" + string(body(l.Message.ID[0])); got.String() != want {
			t.Errorf("message %d has %d octets, want %d, or other ones", l.Message.ID[0], got.Len(), len(want))
		}
		ids = append(ids, l.Message.ID[0])
		settlements = append(settlements, store.Settlement{RowLease: row, Remove: true})
	}
	if made, err := s.Settle(t.Context(), settlements); err != nil || made != len(settlements) {
		t.Errorf("%d of %d were settled, %v", made, len(settlements), err)
	}
	slices.Sort(ids)
	return ids, bad
}

// TestQueuedContentIsMovedWithItsSegment: what waits keeps its octets and prefix
// while the segments around it are emptied and used again.
func TestQueuedContentIsMovedWithItsSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, smallOptions(vfs.NewMem()))
		accounts := addAccounts(t, s, 1)
		body := func(id byte) []byte { return bytes.Repeat([]byte{id}, 3000) }
		large := bytes.Repeat([]byte("L"), 70_000)
		sendOne(t, s, 200, large, "large.test")
		first := s.log.headPosition().segment
		for round := range 20 {
			if round < 10 {
				sendOne(t, s, byte(round+1), body(byte(round+1)), "far.test")
			}
			fill(t, s, accounts, 20, 5000) // more than a segment
			if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(round*20+1, round*20+20, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * keeperRetry)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.log.uses(first) {
			t.Error("the first segment was not emptied")
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if ids, _ := sent(t, s, "far.test", body); !slices.Equal(ids, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
			t.Errorf("sent %v", ids)
		}
		if ids, _ := sent(t, s, "large.test", func(byte) []byte { return large }); len(ids) != 1 {
			t.Errorf("sent %v", ids)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSentMailFreesItsSegments: mail that comes and goes takes a bounded number.
func TestSentMailFreesItsSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		body := func(byte) []byte { return make([]byte, 5000) }
		for range 30 {
			for i := range byte(20) {
				sendOne(t, s, i+1, body(0), "far.test")
				s.do(&forget{mail.ID{i + 1, 1}}) // the ID of its Accept is used again
			}
			if ids, _ := sent(t, s, "far.test", body); len(ids) != 20 {
				t.Fatalf("sent %v", ids)
			}
			time.Sleep(2 * keeperRetry)
			synctest.Wait()
		}
		if n := segmentFiles(t, mem); n > maxPool+4 {
			t.Errorf("%d segment files after 30 rounds, want at most %d", n, maxPool+4)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// forget is a commit that forgets the ID of an Accept.
type forget struct{ id mail.ID }

func (forget) alone() bool { return true }

func (o *forget) prepare(t *tx) error { return t.batch.Delete(t.key.accept(o.id), nil) }

// TestPoisonRowIsSetAsideAndTheRestFlow whatever of it is damaged, wherever.
func TestPoisonRowIsSetAsideAndTheRestFlow(t *testing.T) {
	body := func(id byte) []byte { return fmt.Appendf(nil, "body %d\r\n", id) }
	flipped := func(table byte) func(t *testing.T, s *Store, at int) bool {
		return func(t *testing.T, s *Store, at int) bool {
			t.Helper()
			var k keyBuf
			key := k.row(store.RowID{Message: mail.ID{2}})
			if table == tableQueued {
				key = k.queued(mail.ID{2})
			}
			v, err := s.get(key)
			if err != nil {
				t.Fatal(err)
			}
			b := bytes.Clone(v.b)
			v.Close()
			if at >= 8*len(b) {
				return false
			}
			b[at/8] ^= 1 << (at % 8)
			set(t, s, key, b, false)
			return true
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, s *Store, at int) bool
	}{
		{"row", flipped(tableRow)},
		{"message", flipped(tableQueued)},
		{"row is gone", func(t *testing.T, s *Store, at int) bool {
			var k keyBuf
			set(t, s, k.row(store.RowID{Message: mail.ID{2}}), nil, true)
			return at == 0
		}},
		{"message is gone", func(t *testing.T, s *Store, at int) bool {
			var k keyBuf
			set(t, s, k.queued(mail.ID{2}), nil, true)
			return at == 0
		}},
		{"content is gone", func(t *testing.T, s *Store, at int) bool {
			q, err := findQueued(s.db, mail.ID{2})
			if err != nil {
				t.Fatal(err)
			}
			var k keyBuf
			set(t, s, k.blob(q.blob), nil, true)
			return at == 0
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for at := 0; ; at += 17 {
				mem := vfs.NewMem()
				s := mustOpen(t, smallOptions(mem))
				for id := range byte(3) {
					sendOne(t, s, id+1, body(id+1), "far.test")
				}
				if !row.spoil(t, s, at) {
					s.Close()
					return
				}
				ids, bad := sent(t, s, "far.test", body)
				if !slices.Equal(ids, []byte{1, 3}) || len(bad) != 1 || bad[0].Row.Message != (mail.ID{2}) {
					t.Fatalf("bit %d: sent %v, bad %v", at, ids, bad)
				}
				if err := s.SetAside(t.Context(), bad[0]); err != nil {
					t.Fatalf("bit %d: set aside: %v", at, err)
				}
				if row.name == "row" && len(kept(t, mem)) == 0 {
					t.Errorf("bit %d: nothing is kept", at)
				}
				if ids, bad := sent(t, s, "far.test", body); len(ids) > 0 || len(bad) > 0 {
					t.Errorf("bit %d: then sent %v, bad %v", at, ids, bad)
				}
				findingsOf(t, s, true)
				if err := checkClean(s); err != nil {
					t.Errorf("bit %d: after the repair: %v", at, err)
				}
				if u, err := s.QueueUsage(t.Context()); err != nil || u != (store.QueueUsage{}) {
					t.Errorf("bit %d: the queue has %+v, %v", at, u, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestUnreadableQueuedMessageHidesNoOther: a listing tells of it and goes on.
func TestUnreadableQueuedMessageHidesNoOther(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	for id := range byte(4) {
		sendOne(t, s, id+1, []byte("body"), "far.test", "near.test")
	}
	var k keyBuf
	set(t, s, k.queued(mail.ID{2}), []byte{0xff}, false)
	set(t, s, k.row(store.RowID{Message: mail.ID{3}, Index: 1}), []byte{0xff}, false)
	var got, bad []byte
	for q, err := range s.Queued(t.Context(), mail.ID{}) {
		if err != nil {
			bad = append(bad, q.ID[0])
			continue
		}
		got = append(got, q.ID[0])
	}
	if !bytes.Equal(got, []byte{1, 4}) || !bytes.Equal(bad, []byte{2, 3}) {
		t.Errorf("listed %v, and errors for %v", got, bad)
	}
}

// TestRepairPutsTheQueueRight and keeps what is sound.
func TestRepairPutsTheQueueRight(t *testing.T) {
	var k keyBuf
	first := store.RowID{Message: mail.ID{1}}
	planOf := func(t *testing.T, s *Store, id store.RowID) []byte {
		t.Helper()
		row, err := findRow(s.db, id)
		if err != nil {
			t.Fatal(err)
		}
		return row.appendPlan(nil)
	}
	totals := func(spoil func(q *queueTotals)) func(t *testing.T, s *Store) {
		return func(t *testing.T, s *Store) {
			q, err := findTotals(s.db)
			if err != nil {
				t.Fatal(err)
			}
			spoil(&q)
			set(t, s, keyQueue, q.append(nil), false)
			s.committer.tx.queue.known = false
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, s *Store)
		far   []byte // what goes out
		also  string // in a finding
	}{
		{"a row is missing in the schedule", func(t *testing.T, s *Store) {
			set(t, s, planOf(t, s, first), nil, true)
		}, []byte{1, 2}, "missing in the schedule"},
		{"a row is elsewhere in the schedule", func(t *testing.T, s *Store) {
			p := planOf(t, s, first)
			set(t, s, p, nil, true)
			p[len(p)-1]++
			set(t, s, p, nil, false)
		}, []byte{1, 2}, "where it is not"},
		{"a row is twice in the schedule", func(t *testing.T, s *Store) {
			p := planOf(t, s, first)
			p[len(p)-25]++ // due later
			set(t, s, p, nil, false)
		}, []byte{1, 2}, "where it is not"},
		{"a place in the schedule is malformed", func(t *testing.T, s *Store) {
			set(t, s, appendDestination(nil, "far.test"), nil, false)
		}, []byte{1, 2}, "malformed"},
		{"a held row is in the schedule", func(t *testing.T, s *Store) {
			p := planOf(t, s, first)
			if _, err := s.ChangeRows(t.Context(), first.Message, nil, store.HoldRows, time.Now()); err != nil {
				t.Fatal(err)
			}
			set(t, s, p, nil, false)
		}, []byte{2}, "where it is not"},
		{"a row's record is lost", func(t *testing.T, s *Store) {
			set(t, s, k.row(first), nil, true)
		}, []byte{2}, "where it is not"},
		{"a row is malformed", func(t *testing.T, s *Store) {
			set(t, s, k.row(first), []byte("x"), false)
		}, []byte{2}, "malformed"},
		{"a message's record is lost", func(t *testing.T, s *Store) {
			set(t, s, k.queued(first.Message), nil, true)
		}, []byte{2}, "its message is not there"},
		{"a message is malformed", func(t *testing.T, s *Store) {
			set(t, s, k.queued(first.Message), []byte("x"), false)
		}, []byte{2}, "malformed"},
		{"a message has no rows", func(t *testing.T, s *Store) {
			for i := range 2 {
				id := store.RowID{Message: first.Message, Index: i}
				set(t, s, planOf(t, s, id), nil, true)
				set(t, s, k.row(id), nil, true)
			}
		}, []byte{2}, "no recipients"},
		{"a message's content is lost", func(t *testing.T, s *Store) {
			q, err := findQueued(s.db, first.Message)
			if err != nil {
				t.Fatal(err)
			}
			set(t, s, k.blob(q.blob), nil, true)
		}, []byte{2}, "not there"},
		{"a content's references are off", func(t *testing.T, s *Store) {
			q, err := findQueued(s.db, first.Message)
			if err != nil {
				t.Fatal(err)
			}
			o, err := findBlob(s.db, q.blob)
			if err != nil {
				t.Fatal(err)
			}
			o.refs = 7
			set(t, s, k.blob(q.blob), o.append(nil), false)
		}, []byte{1, 2}, "off"},
		{"fewer messages are counted", totals(func(q *queueTotals) { q.messages-- }), []byte{1, 2}, "it counts"},
		{"more rows are counted", totals(func(q *queueTotals) { q.rows++ }), []byte{1, 2}, "it counts"},
		{"more octets are counted", totals(func(q *queueTotals) { q.octets++ }), []byte{1, 2}, "it counts"},
		{"the totals are lost", func(t *testing.T, s *Store) {
			set(t, s, keyQueue, nil, true)
		}, []byte{1, 2}, "it counts"},
		{"a frozen destination is malformed", func(t *testing.T, s *Store) {
			set(t, s, frozenKey("other.test"), nil, false)
		}, []byte{1, 2}, "frozen"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := mustOpen(t, smallOptions(vfs.NewMem()))
			defer s.Close()
			sendOne(t, s, 1, []byte("first"), "far.test", "near.test")
			sendOne(t, s, 2, []byte("second"), "far.test")
			row.spoil(t, s)
			all := findingsOf(t, s, false)
			if !slices.ContainsFunc(all, func(f store.Finding) bool { return strings.Contains(f.Problem+f.Where, row.also) }) {
				t.Errorf("found %+v, want one with %q", all, row.also)
			}
			findingsOf(t, s, true)
			if err := checkClean(s); err != nil {
				t.Errorf("after the repair: %v", err)
			}
			body := func(id byte) []byte { return []byte([]string{"first", "second"}[id-1]) }
			if ids, bad := sent(t, s, "far.test", body); !bytes.Equal(ids, row.far) || len(bad) > 0 {
				t.Errorf("sent %v, bad %v, want %v", ids, bad, row.far)
			}
			if err := checkClean(s); err != nil {
				t.Errorf("at last: %v", err)
			}
		})
	}
}

// TestDamagedQueuedContentIsSetAside: the octets are kept, the others flow.
func TestDamagedQueuedContentIsSetAside(t *testing.T) {
	for _, size := range []int{7000, 100_000} {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		at := s.log.headPosition()
		body := func(id byte) []byte { return bytes.Repeat([]byte{id}, size) }
		sendOne(t, s, 1, body(1), "far.test")
		sendOne(t, s, 2, body(2), "far.test")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if size > 8<<10 {
			flip(t, mem, files(t, mem, "store/large")[0], 5000)
		} else {
			flip(t, mem, "store/log/"+segmentName(at.segment), at.offset+5000)
		}
		s = mustOpen(t, smallOptions(mem))
		ids, bad := sent(t, s, "far.test", body)
		// Large files have random names: the first of them may be that of either.
		if large := size > 8<<10; len(ids) != 1 || !large && ids[0] != 2 || len(bad) != 1 {
			t.Errorf("%d octets: sent %v, bad %v", size, ids, bad)
		}
		for _, row := range bad {
			if err := s.SetAside(t.Context(), row); err != nil {
				t.Error(err)
			}
		}
		if n := len(kept(t, mem)); n < 3 {
			t.Errorf("%d octets: %d files are kept, want row, message and content", size, n)
		}
		if err := checkClean(s); err != nil {
			t.Errorf("%d octets: %v", size, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
