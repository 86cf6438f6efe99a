package dkim

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// Keys are the keys of all domains. It may be used from several goroutines; there
// is one for a store that is open, since it remembers what it has read.
type Keys struct {
	records store.Records
	log     *slog.Logger
	now     func() time.Time

	change sync.Mutex // held while keys are changed

	mu     sync.Mutex
	active map[string][]*secretKey // by domain, RSA first; nil: to be read
}

// NewKeys returns the keys in a store. Now may be nil for time.Now.
func NewKeys(records store.Records, log *slog.Logger, now func() time.Time) *Keys {
	return &Keys{records: records, log: log, now: Settings{Now: now}.now}
}

// Generate makes a pending key of each algorithm for a domain. The selectors begin
// with name; if it is empty, with one made of the month, as in pr-2026-11-rsa.
// Exists: there are keys of that name.
func (k *Keys) Generate(ctx context.Context, domain, name string) ([]Key, error) {
	k.change.Lock()
	defer k.change.Unlock()
	now := k.now().UTC().Truncate(time.Second)
	domain, name, err := checkNames(domain, name)
	if err != nil {
		return nil, err
	}
	if name == "" {
		if name, err = k.freeName(ctx, domain, "pr-"+now.Format("2006-01")); err != nil {
			return nil, err
		}
	}
	var made []Key
	for _, a := range []Algorithm{RSA, Ed25519} {
		_, selector, err := checkNames(domain, name+"-"+string(a))
		if err != nil {
			return nil, err
		}
		if err := k.absent(ctx, domain, selector); err != nil {
			return nil, err
		}
		key, err := newKey(domain, selector, a, now)
		if err == nil {
			err = k.put(ctx, key)
		}
		if err != nil {
			return nil, err
		}
		made = append(made, key.Key)
	}
	k.log.Info("made DKIM keys", "domain", domain, "selectors", made[0].Selector+" "+made[1].Selector)
	return made, nil
}

// freeName returns a name that no key of the domain has.
func (k *Keys) freeName(ctx context.Context, domain, name string) (string, error) {
	try := name
	for n := 2; ; n++ {
		used := false
		for key, err := range k.all(ctx, domain) {
			if err != nil {
				if fault.Is(err, fault.Corrupt) {
					continue
				}
				return "", err
			}
			used = used || strings.HasPrefix(key.Selector, try+"-rsa") || strings.HasPrefix(key.Selector, try+"-ed25519")
		}
		if !used {
			return try, nil
		}
		try = fmt.Sprintf("%s-%d", name, n)
	}
}

func (k *Keys) absent(ctx context.Context, domain, selector string) error {
	switch _, err := k.records.Record(ctx, recordKey(domain, selector)); {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	return fault.Newf(fault.Exists, "make the DKIM key "+keyName(selector, domain), "there is one of that name")
}

// Rotate makes the next pair of keys for a domain that signs. When the DNS has shown
// them for a while, Run switches to them. Exists: a pair is pending already.
func (k *Keys) Rotate(ctx context.Context, domain string) ([]Key, error) {
	domain, _, err := checkNames(domain, "")
	if err != nil {
		return nil, err
	}
	op := "rotate the DKIM keys of " + domain
	signs := false
	for key, err := range k.List(ctx, domain) {
		switch {
		case fault.Is(err, fault.Corrupt):
		case err != nil:
			return nil, err
		case key.State == Pending:
			return nil, fault.Newf(fault.Exists, op, "%s is pending already: publish its record, or remove it", key.Selector)
		case key.State == Active:
			signs = true
		}
	}
	if !signs {
		return nil, fault.Newf(fault.NotFound, op, "no key is active: make the first ones with \"postrider dkim generate\"")
	}
	return k.Generate(ctx, domain, "")
}

// Activate lets pending or retired keys of a domain sign: those selected, or all that
// are pending. The keys of the same algorithm that signed until then are retired.
// NotFound: there is nothing to activate.
func (k *Keys) Activate(ctx context.Context, domain string, selectors ...string) ([]Key, error) {
	k.change.Lock()
	defer k.change.Unlock()
	domain, _, err := checkNames(domain, "")
	if err != nil {
		return nil, err
	}
	op := "activate the DKIM keys of " + domain
	all, err := k.readable(ctx, domain)
	if err != nil {
		return nil, err
	}
	chosen := map[Algorithm]*secretKey{}
	for _, key := range all {
		if len(selectors) == 0 && key.State != Pending || len(selectors) > 0 && !slices.Contains(selectors, key.Selector) {
			continue
		}
		if other := chosen[key.Algorithm]; other != nil {
			return nil, fault.Newf(fault.Invalid, op, "%s and %s are both %s: name the one to use", other.Selector, key.Selector, key.Algorithm)
		}
		chosen[key.Algorithm] = key
	}
	if len(chosen) == 0 || len(selectors) > len(chosen) {
		return nil, fault.Newf(fault.NotFound, op, "there is no such key that could be activated")
	}
	return k.activate(ctx, all, chosen)
}

// activate switches to the chosen keys. A new key is written before the old one is
// retired: if that is cut short, the domain still signs.
func (k *Keys) activate(ctx context.Context, all []*secretKey, chosen map[Algorithm]*secretKey) ([]Key, error) {
	now := k.now().UTC().Truncate(time.Second)
	var done []Key
	for _, a := range []Algorithm{RSA, Ed25519} {
		key := chosen[a]
		if key == nil {
			continue
		}
		if key.State != Active {
			key.State, key.Activated, key.Retired = Active, now, time.Time{}
			if err := k.put(ctx, key); err != nil {
				return nil, err
			}
			k.log.Info("DKIM key active", "domain", key.Domain, "selector", key.Selector)
		}
		done = append(done, key.Key)
		for _, old := range all {
			if old.Algorithm == a && old != key && old.State == Active {
				if err := k.retire(ctx, old, now); err != nil {
					return nil, err
				}
			}
		}
	}
	return done, nil
}

func (k *Keys) retire(ctx context.Context, key *secretKey, now time.Time) error {
	key.State, key.Retired = Retired, now
	if err := k.put(ctx, key); err != nil {
		return err
	}
	k.log.Info("DKIM key retired", "domain", key.Domain, "selector", key.Selector)
	return nil
}

// Retire lets a key sign no more. Its record should stay in the DNS until the mail
// that it signed has arrived.
func (k *Keys) Retire(ctx context.Context, domain, selector string) error {
	k.change.Lock()
	defer k.change.Unlock()
	key, err := k.get(ctx, domain, selector)
	if err != nil || key.State == Retired {
		return err
	}
	return k.retire(ctx, key, k.now().UTC().Truncate(time.Second))
}

// Remove removes a key for good. Busy: it is active. A key that can't be read is
// removed too.
func (k *Keys) Remove(ctx context.Context, domain, selector string) error {
	k.change.Lock()
	defer k.change.Unlock()
	key, err := k.get(ctx, domain, selector)
	switch {
	case fault.Is(err, fault.Corrupt):
	case err != nil:
		return err
	case key.State == Active:
		return fault.Newf(fault.Busy, "remove the DKIM key "+key.Name, "it signs: retire it first")
	}
	domain, selector, _ = checkNames(domain, selector)
	if err := k.records.RemoveRecord(ctx, recordKey(domain, selector)); err != nil {
		return err
	}
	k.forget()
	k.log.Info("DKIM key removed", "domain", domain, "selector", selector)
	return nil
}

func (k *Keys) get(ctx context.Context, domain, selector string) (*secretKey, error) {
	domain, selector, err := checkNames(domain, selector)
	if err != nil {
		return nil, err
	}
	r, err := k.records.Record(ctx, recordKey(domain, selector))
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Newf(fault.NotFound, "find the DKIM key "+keyName(selector, domain), "there is none of that name")
	}
	if err != nil {
		return nil, err
	}
	return readKey(r)
}

// put writes a key.
func (k *Keys) put(ctx context.Context, key *secretKey) error {
	r, err := key.record(k.now())
	if err == nil {
		err = k.records.PutRecord(ctx, r)
	}
	k.forget() // whatever became of it
	return err
}

// forget has the keys read again when they are needed.
func (k *Keys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.active = nil
}

// sign reports whether any domain has an active key.
func (k *Keys) sign(ctx context.Context) (bool, error) {
	if _, err := k.signers(ctx, ""); err != nil {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.active) > 0, nil
}

// signers returns the active keys of a domain, RSA first; they are not changed.
func (k *Keys) signers(ctx context.Context, domain string) ([]*secretKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.active == nil {
		active := map[string][]*secretKey{}
		for key, err := range k.all(ctx, "") {
			switch {
			case fault.Is(err, fault.Corrupt): // it stops no other
				k.log.Error("a DKIM key is set aside", "error", err)
			case err != nil:
				return nil, err
			case key.State == Active:
				active[key.Domain] = append(active[key.Domain], key)
			}
		}
		for d, keys := range active {
			active[d] = oneOfEach(keys)
		}
		k.active = active
	}
	return k.active[domain], nil
}

// oneOfEach keeps the newest key of each algorithm, RSA first: more verifiers know
// it, and some look at the first signature only.
func oneOfEach(keys []*secretKey) []*secretKey {
	slices.SortFunc(keys, func(a, b *secretKey) int {
		return cmp.Or(-cmp.Compare(a.Algorithm, b.Algorithm), b.Activated.Compare(a.Activated))
	})
	return slices.CompactFunc(keys, func(a, b *secretKey) bool { return a.Algorithm == b.Algorithm })
}
