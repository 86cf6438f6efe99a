package dkim

import (
	"context"
	"time"

	"postrider/internal/fault"
)

// tendEvery is how often Run looks after pending keys.
const tendEvery = time.Hour

// Run looks after pending keys, at once and every tendEvery, until the context ends.
func (k *Keys) Run(ctx context.Context, find TXT, settle time.Duration) error {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	for {
		if err := k.tendAll(ctx, find, settle); err != nil && ctx.Err() == nil {
			k.log.Error("pending DKIM keys were not looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// tendAll activates the pending keys of which the DNS has shown the record for the time
// of settling: until then some resolvers may remember that there was none. The first
// keys of a domain, before which nobody has asked, are activated when they are seen.
func (k *Keys) tendAll(ctx context.Context, find TXT, settle time.Duration) error {
	pending := map[string][]Key{}
	for key, err := range k.List(ctx, "") {
		switch {
		case fault.Is(err, fault.Corrupt):
		case err != nil:
			return err
		case key.State == Pending:
			pending[key.Domain] = append(pending[key.Domain], key)
		}
	}
	for domain, keys := range pending {
		shown := map[string]error{} // by selector; asked for while nobody waits for us
		for _, key := range keys {
			shown[key.Selector] = find.Shows(ctx, key)
		}
		if err := k.tend(ctx, domain, shown, settle); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keys) tend(ctx context.Context, domain string, shown map[string]error, settle time.Duration) error {
	k.change.Lock()
	defer k.change.Unlock()
	all, err := k.readable(ctx, domain)
	if err != nil {
		return err
	}
	signs := map[Algorithm]bool{}
	for _, key := range all {
		signs[key.Algorithm] = signs[key.Algorithm] || key.State == Active
	}
	now := k.now().UTC().Truncate(time.Second)
	ready := map[Algorithm]*secretKey{}
	for _, key := range all {
		is, asked := shown[key.Selector]
		if key.State != Pending || !asked {
			continue
		}
		if err := k.see(ctx, key, is, now); err != nil {
			return err
		}
		wait := settle
		if !signs[key.Algorithm] {
			wait = 0
		}
		if !key.Seen.IsZero() && now.Sub(key.Seen) >= wait {
			ready[key.Algorithm] = key
		}
	}
	_, err = k.activate(ctx, all, ready)
	return err
}

// see notes whether the DNS shows a key's record, which it does if err is nil. While
// nobody knows, nothing changes.
func (k *Keys) see(ctx context.Context, key *secretKey, err error, now time.Time) error {
	switch {
	case err == nil && key.Seen.IsZero():
		key.Seen = now
	case fault.Is(err, fault.NotFound) && !key.Seen.IsZero():
		key.Seen = time.Time{}
	default:
		return nil
	}
	return k.put(ctx, key)
}

// Shows returns nil if the DNS shows the record of a key; NotFound, with what it
// shows instead, if it does not; Transient if nobody knows.
func (find TXT) Shows(ctx context.Context, key Key) error {
	op := "look for the record " + key.Name
	there, err := find.lookup(ctx, key.Selector, key.Domain)
	if err == errUnknown {
		return fault.New(fault.Transient, op, err)
	}
	if err != nil {
		return fault.New(fault.NotFound, op, err)
	}
	ours, err := parsePublished(key.Record)
	if err != nil {
		return fault.New(fault.Internal, op, err)
	}
	if !samePublic(there, ours) {
		return fault.Newf(fault.NotFound, op, "another key is published")
	}
	return nil
}
