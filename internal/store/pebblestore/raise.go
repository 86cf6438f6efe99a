package pebblestore

import (
	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// raiseVersion brings VERSION, of which found was read, to this program's format.
// It comes before the index's own copy: an older program looks there.
func (s *Store) raiseVersion(found identity) error {
	now := identity{Format, s.id}
	if found == now {
		return nil
	}
	return fileFault("write "+versionFile, writeIdentity(s.fs, s.o.Dir, now))
}

// raiseIndex brings the index to this program's format, once the log has been
// replayed: its commits may be an older program's. What an older format lacks is
// put in by the same batch as the number, so that an index that has the one after
// a crash has the other, too; and all commits before it, which are not replayed
// again.
func (s *Store) raiseIndex() error {
	const op = "raise the format"
	v, err := s.get(keyStore)
	if err != nil {
		return err
	}
	known, err := decodeIdentity(v.b)
	v.Close()
	if err != nil {
		return fault.Newf(fault.Corrupt, op, "%w: %w", errIndex, err)
	}
	if known.format == Format {
		return nil
	}
	s.health.log.Info("store: its format is raised; older programs refuse it from now on", "store", s.o.Dir, "from", known.format, "to", Format)
	b := s.db.NewBatch()
	defer b.Close()
	if known.format < countsHeld {
		if err := s.countAllHeld(b); err != nil {
			return fault.Wrap(op, err)
		}
	}
	_ = b.Set(keyStore, identity{Format, s.id}.append(nil), nil) // a batch that is not indexed takes everything
	return indexFault(op, s.db.Apply(b, pebble.NoSync))
}

// countAllHeld counts what is held for each account into the rows that lack it. The
// others are right without: nothing is held for their accounts.
func (s *Store) countAllHeld(b *pebble.Batch) error {
	octets := make(map[mail.AccountID]int64)
	err := each(s.db, []byte{tableHeld}, func(key, v []byte) (bool, error) {
		id, ok := keyHeld(key)
		if h, err := decodeHeld(id, v); ok && err == nil {
			h.sum(octets)
		}
		return true, nil // Check tells of the others
	})
	if err != nil {
		return err
	}
	for id, n := range octets {
		u, err := findUsage(s.db, id)
		if isMissing(err) {
			continue // Check tells
		}
		if err != nil {
			return err
		}
		u.held = n
		var k keyBuf
		_ = b.Set(k.usage(id), u.append(nil), nil) // a batch that is not indexed takes everything
	}
	return nil
}
