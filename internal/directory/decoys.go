package directory

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

const (
	decoyRecord     = "logins/decoys"
	decoySecretSize = 32 // octets
)

// decoys is the secret from which answers are made about names that nobody has.
// It is kept in the store: an account's answer stays when the server starts again, and
// would be told from others if they changed.
type decoys struct {
	records store.Records // nil: the secret is this process's
	log     *slog.Logger
	now     func() time.Time

	mu   sync.Mutex
	made []byte // nil: it was not asked for yet
}

// secret returns the secret. It makes one when there is none. The error means
// that it can't be told now what the secret is.
func (d *decoys) secret(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made != nil {
		return d.made, nil
	}
	if d.records != nil {
		r, err := d.records.Record(ctx, decoyRecord)
		switch {
		case err == nil && len(r.Value) == decoySecretSize:
			d.made = r.Value
			return d.made, nil
		case err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Corrupt):
			return nil, fault.Wrap("read the secret of decoys", notDenied(err))
		}
	}
	made := make([]byte, decoySecretSize)
	rand.Read(made) // never fails (crypto/rand)
	d.made = made
	d.keep(ctx)
	return d.made, nil
}

// keep writes a new secret down. Where the store takes nothing now, logins go on
// with it all the same.
func (d *decoys) keep(ctx context.Context) {
	if d.records == nil {
		return
	}
	err := d.records.PutRecord(context.WithoutCancel(ctx), store.Record{Key: decoyRecord, Value: d.made, Changed: d.now()})
	if err != nil {
		d.log.Warn("answers about names that nobody has will change at the next start", "error", err)
	}
}
