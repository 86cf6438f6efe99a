package pebblestore

import (
	"context"

	"postrider/internal/store"
)

// Check implements store.Keeper.
func (s *Store) Check(ctx context.Context, repair bool, report func(store.Finding)) (store.CheckResult, error) {
	return store.CheckResult{}, nil
}
