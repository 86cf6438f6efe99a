package directory

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sync/errgroup"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// pending is a change that waits for its batch to be full: a domain to make, or
// what a row says of an account.
type pending struct {
	domain  string // the rest is unset
	row     row
	address string         // key of the account
	id      mail.AccountID // zero: it is to be made
	made    credentials    // of the row's secret
}

// wait puts an account's change into the batch.
func (im *importer) wait(p pending) {
	im.waiting[p.address] = true
	im.batch = append(im.batch, p)
}

// flush makes the changes of the batch. One that can't be made is reported and
// left out, and the others are tried again.
func (im *importer) flush(ctx context.Context) error {
	if err := im.hash(ctx); err != nil {
		return err
	}
	im.d.changing.Lock()
	defer im.d.changing.Unlock()
	for len(im.batch) > 0 {
		refused, err := im.commit(ctx)
		if err == nil {
			break
		}
		if refused < 0 {
			return err
		}
		if p := im.batch[refused]; p.domain == "" {
			im.fail(p.row.line, err)
		}
		im.batch = slices.Delete(im.batch, refused, refused+1)
	}
	im.count()
	im.batch = im.batch[:0]
	clear(im.waiting)
	return nil
}

// commit makes the changes of the batch in one commit. With an error it returns
// which of them can't be made, or -1 when the error is about none.
func (im *importer) commit(ctx context.Context) (refused int, err error) {
	changes := make([]store.Change, len(im.batch))
	for i, p := range im.batch {
		changes[i], err = im.change(ctx, p)
		switch {
		case fault.Is(err, fault.NotFound):
			return i, err
		case err != nil:
			return -1, err
		}
	}
	_, err = im.d.st.Change(ctx, changes...)
	var why *store.ChangeError
	if !errors.As(err, &why) || why.Index < 0 || why.Index >= len(im.batch) {
		return -1, err
	}
	return why.Index, why.Err
}

func (im *importer) change(ctx context.Context, p pending) (store.Change, error) {
	if p.domain != "" {
		return store.PutDomain{Domain: store.Domain{Name: p.domain, Created: im.d.o.Now()}}, nil
	}
	account := store.Account{Address: p.address, Created: im.d.o.Now()}
	if p.id != 0 {
		var err error
		if account, err = im.d.st.Account(ctx, p.id); err != nil {
			return nil, err
		}
	}
	if p.row.secret != (secret{}) {
		p.made.replace(&account)
	}
	if p.row.hasQuota {
		account.Quota = p.row.quota
	}
	return store.PutAccount{New: p.id == 0, Account: account}, nil
}

// count counts the batch as made.
func (im *importer) count() {
	for _, p := range im.batch {
		switch {
		case p.domain != "":
		case p.id == 0:
			im.result.Added++
		default:
			im.result.Updated++
		}
	}
}

// hash makes the credentials of the batch, several at one time.
func (im *importer) hash(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(im.d.o.HashAtOnce)
	for i := range im.batch {
		p := &im.batch[i]
		g.Go(func() error { return im.credentials(ctx, p) })
	}
	return g.Wait()
}

// credentials makes those of one change.
func (im *importer) credentials(ctx context.Context, p *pending) error {
	var account store.Account
	if p.id != 0 && p.row.secret.password != "" {
		var err error
		account, err = im.d.st.Account(ctx, p.id)
		if err != nil && !fault.Is(err, fault.NotFound) { // that it has gone is found later
			return err
		}
	}
	var err error
	p.made, err = im.d.credentials(ctx, netip.Addr{}, account, p.row.secret)
	return err
}
