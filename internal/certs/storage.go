package certs

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// acmePrefix begins the keys of the records that the ACME library keeps.
const acmePrefix = "acme/"

// storage keeps what the ACME library keeps: keys are paths with slashes, and a
// folder is there while something is in it. Locks are the process's own; nobody
// else has the store open.
type storage struct {
	records store.Records
	now     func() time.Time

	// gate is held for reading by every operation, so that close can wait.
	gate   sync.RWMutex
	closed bool

	mu    sync.Mutex
	locks map[string]chan struct{} // closed at Unlock
}

var (
	_ certmagic.Storage   = (*storage)(nil)
	_ certmagic.TryLocker = (*storage)(nil)
)

func newStorage(records store.Records, now func() time.Time) *storage {
	return &storage{records: records, now: now, locks: map[string]chan struct{}{}}
}

// open lets operations happen, after close too.
func (s *storage) open() {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.closed = false
}

// close waits for operations under way. Later ones fail.
func (s *storage) close() {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.closed = true
}

// begin starts an operation on key; the caller calls end.
func (s *storage) begin(op, key string) (name string, end func(), err error) {
	s.gate.RLock()
	switch {
	case s.closed:
		err = fault.Newf(fault.Transient, op+" record", "the server is stopping")
	case !validKey(key):
		err = fault.Newf(fault.Invalid, op+" record", "key of %d octets is empty, too long or not made of printable ASCII", len(key))
	}
	if err != nil {
		s.gate.RUnlock()
		return "", nil, err
	}
	return acmePrefix + key, s.gate.RUnlock, nil
}

// validKey reports whether a key is a path of one or more parts, in printable
// ASCII, that fits a record's key.
func validKey(key string) bool {
	if len(key) > store.MaxRecordKey-len(acmePrefix) || slices.Contains(strings.Split(key, "/"), "") {
		return false
	}
	return !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
}

// Store implements certmagic.Storage.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	name, end, err := s.begin("store", key)
	if err != nil {
		return err
	}
	defer end()
	return s.records.PutRecord(ctx, store.Record{Key: name, Value: value, Changed: s.now()})
}

// Load implements certmagic.Storage.
func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	name, end, err := s.begin("load", key)
	if err != nil {
		return nil, err
	}
	defer end()
	r, err := s.records.Record(ctx, name)
	if err != nil {
		return nil, missing(err, key)
	}
	return r.Value, nil
}

// Delete implements certmagic.Storage: the key, and what is below it.
func (s *storage) Delete(ctx context.Context, key string) error {
	name, end, err := s.begin("delete", key)
	if err != nil {
		return err
	}
	defer end()
	below, err := s.below(ctx, name+"/")
	if err != nil {
		return err
	}
	for _, k := range append(below, name) {
		if err := s.records.RemoveRecord(ctx, k); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// Exists implements certmagic.Storage.
func (s *storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List implements certmagic.Storage: the keys right below a path, files and
// folders, or with recursive all of them. The path "" is everything.
func (s *storage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	prefix := acmePrefix
	s.gate.RLock()
	defer s.gate.RUnlock()
	switch {
	case s.closed:
		return nil, fault.Newf(fault.Transient, "list records", "the server is stopping")
	case path != "" && !validKey(path):
		return nil, missing(fault.New(fault.NotFound, "list records", nil), "")
	case path != "":
		prefix += path + "/"
	}
	below, err := s.below(ctx, prefix)
	if err != nil {
		return nil, err
	}
	if len(below) == 0 && path != "" {
		return nil, missing(fault.New(fault.NotFound, "list records", nil), path)
	}
	var keys []string
	for _, k := range below {
		keys = addPath(keys, strings.TrimPrefix(k, acmePrefix), len(prefix)-len(acmePrefix), recursive)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// addPath adds a file's key and the folders on the way to it from octet from on;
// without recursive only the first of them.
func addPath(keys []string, key string, from int, recursive bool) []string {
	for i := from; i < len(key); i++ {
		if key[i] != '/' {
			continue
		}
		keys = append(keys, key[:i])
		if !recursive {
			return keys
		}
	}
	return append(keys, key)
}

// Stat implements certmagic.Storage.
func (s *storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	name, end, err := s.begin("stat", key)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	defer end()
	r, err := s.records.Record(ctx, name)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: r.Changed, Size: int64(len(r.Value)), IsTerminal: true}, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return certmagic.KeyInfo{}, err
	}
	for _, err := range s.records.ListRecords(ctx, name+"/") {
		return certmagic.KeyInfo{Key: key}, err
	}
	return certmagic.KeyInfo{}, missing(err, key)
}

// below returns the keys of the records that begin with prefix.
func (s *storage) below(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	for r, err := range s.records.ListRecords(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, r.Key)
	}
	return keys, nil
}

// missing makes an error of kind NotFound what the library looks for.
func missing(err error, key string) error {
	if fault.Is(err, fault.NotFound) {
		return fmt.Errorf("%q: %w", key, fs.ErrNotExist)
	}
	return err
}

// Lock implements certmagic.Locker.
func (s *storage) Lock(ctx context.Context, name string) error {
	for {
		held := s.take(name)
		if held == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-held:
		}
	}
}

// TryLock implements certmagic.TryLocker.
func (s *storage) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return s.take(name) == nil, nil
}

// take takes a lock, or returns what is closed when its holder gives it back.
func (s *storage) take(name string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.locks[name]; held != nil {
		return held
	}
	s.locks[name] = make(chan struct{})
	return nil
}

// Unlock implements certmagic.Locker.
func (s *storage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.locks[name]
	if held == nil {
		return fault.Newf(fault.Invalid, "unlock", "%q is not locked", name)
	}
	delete(s.locks, name)
	close(held)
	return nil
}
