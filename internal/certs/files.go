package certs

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"slices"
	"time"
)

// settle is how old a file must be for its time to tell it from the next one
// that is written in its place.
const settle = 2 * time.Second

// pairFile is a certificate in files, and what was last seen of them.
type pairFile struct {
	pair    Pair
	current *entry
	seen    [2]fs.FileInfo // when they were last read; nil: could not be looked at
	settled bool           // a later change can't look the same
	failure string         // why what was last read isn't current; "": it is
	logged  bool           // failure stands in the log
}

// read reads the files and makes them current, or leaves everything as it is.
func (f *pairFile) read(now time.Time) error {
	f.seen = f.look()
	f.settled = true
	for _, info := range f.seen {
		f.settled = f.settled && info != nil && now.Sub(info.ModTime()) > settle
	}
	e, err := loadPair(f.pair)
	if err != nil {
		f.failure = err.Error()
		return err
	}
	f.failure, f.logged = "", false
	if f.current == nil || !sameChain(f.current, e) || !slices.Equal(f.current.notes, e.notes) {
		f.current = e
	}
	return nil
}

func (f *pairFile) look() [2]fs.FileInfo {
	var infos [2]fs.FileInfo
	for i, path := range []string{f.pair.Certificate, f.pair.Key} {
		if info, err := os.Stat(path); err == nil {
			infos[i] = info
		}
	}
	return infos
}

// unchanged reports whether the files look as they did when they were read.
func (f *pairFile) unchanged() bool {
	now := f.look()
	for i, a := range f.seen {
		b := now[i]
		if a == nil || b == nil {
			if a != b {
				return false
			}
			continue
		}
		if a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || !os.SameFile(a, b) {
			return false
		}
	}
	return true
}

// lookAtFiles reads what has changed. A certificate and its key are two files,
// and the one may be new when the other is still old: only what fails twice is an
// error, and it is logged once. The caller holds mu.
func (m *Manager) lookAtFiles() {
	m.looked.Store(m.now().UnixNano())
	changed := false
	for _, f := range m.files {
		same := f.unchanged()
		if same && f.settled && f.failure == "" {
			continue
		}
		if !same {
			f.logged = false
		}
		before := f.current
		err := f.read(m.now())
		changed = changed || f.current != before
		if err == nil && f.current != before {
			m.replaced(f)
		}
		if err != nil && same && !f.logged {
			f.logged = true
			m.failedFile(err)
		}
	}
	if changed {
		m.rebuildFiles()
	}
}

// reload reads a pair now, and logs and counts. The caller holds mu and rebuilds
// the table.
func (m *Manager) reload(f *pairFile) error {
	before := f.current
	if err := f.read(m.now()); err != nil {
		f.logged = true
		m.failedFile(err)
		return err
	}
	if f.current != before {
		m.replaced(f)
	}
	return nil
}

// rebuildFiles makes the table anew after a change of files, which needs no
// self-signed certificate. The caller holds mu.
func (m *Manager) rebuildFiles() {
	if len(m.files) > 0 {
		_ = m.rebuild(context.Background()) // fails only where one must be made
	}
}

func (m *Manager) failedFile(err error) {
	m.metrics.renewed(SourceFile, err)
	m.log.Error("a changed certificate can't be used, the former one stays; it will be tried again", "error", err)
}

func (m *Manager) replaced(f *pairFile) {
	m.metrics.renewed(SourceFile, nil)
	leaf := f.current.cert.Leaf
	m.log.Info("certificate read again", "names", f.current.names(), "file", f.pair.Certificate,
		"not_after", leaf.NotAfter, "sha256", Fingerprint(leaf.Raw))
	m.warn(f.current)
}

func sameChain(a, b *entry) bool {
	return bytes.Equal(bytes.Join(a.cert.Certificate, nil), bytes.Join(b.cert.Certificate, nil))
}
