package dkim

import (
	"context"
	"iter"

	"postrider/internal/fault"
)

// List lists the keys of a domain, or all if it is empty, by domain and selector. A
// key that can't be read is an error of kind Corrupt, and the list goes on.
func (k *Keys) List(ctx context.Context, domain string) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		if domain != "" {
			d, _, err := checkNames(domain, "")
			if err != nil {
				yield(Key{}, err)
				return
			}
			domain = d
		}
		for key, err := range k.all(ctx, domain) {
			shown := Key{}
			if err == nil {
				shown = key.Key
			}
			if !yield(shown, err) {
				return
			}
		}
	}
}

// all lists the keys with their secrets; of one domain unless it is empty.
func (k *Keys) all(ctx context.Context, domain string) iter.Seq2[*secretKey, error] {
	prefix := recordPrefix
	if domain != "" {
		prefix = recordKey(domain, "")
	}
	return func(yield func(*secretKey, error) bool) {
		for r, err := range k.records.ListRecords(ctx, prefix) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(readKey(r)) {
				return
			}
		}
	}
}

// readable returns the keys of a domain that can be read.
func (k *Keys) readable(ctx context.Context, domain string) ([]*secretKey, error) {
	var all []*secretKey
	for key, err := range k.all(ctx, domain) {
		switch {
		case fault.Is(err, fault.Corrupt):
		case err != nil:
			return nil, err
		default:
			all = append(all, key)
		}
	}
	return all, nil
}
