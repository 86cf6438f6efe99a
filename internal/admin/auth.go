package admin

import (
	"context"
	"iter"

	"postrider/internal/login"
)

// unblockArgument names whom to forgive: an address or network of the Internet,
// or an account's address.
type unblockArgument struct {
	What string `json:"what"`
}

// Logins lists the latest logins and attempts, the newest last. NotFound: no
// server runs.
func (c *Client) Logins(ctx context.Context, f login.LogFilter) iter.Seq2[login.Entry, error] {
	return list[login.Entry](ctx, c, "auth.log", f)
}

// Locked lists who is locked out now.
func (c *Client) Locked(ctx context.Context) iter.Seq2[login.Lock, error] {
	return list[login.Lock](ctx, c, "auth.locked", struct{}{})
}

// Unblock forgets failed logins and says of how many it knew; NotFound if of none.
func (c *Client) Unblock(ctx context.Context, what string) (int, error) {
	var n int
	err := c.ask(ctx, "auth.unblock", unblockArgument{what}, &n)
	return n, err
}

func authLog(s *service, c *call, f login.LogFilter) (any, error) {
	if s.logins == nil {
		return nil, errNoServer("read the log of logins")
	}
	for _, e := range s.logins.Log(f) {
		if err := c.emit(e); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func authLocked(s *service, c *call, _ struct{}) (any, error) {
	if s.logins == nil {
		return nil, errNoServer("list lock-outs")
	}
	for _, l := range s.logins.Locked() {
		if err := c.emit(l); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func authUnblock(s *service, c *call, a unblockArgument) (any, error) {
	if s.logins == nil {
		return nil, errNoServer("unblock")
	}
	return s.logins.Unblock(c, a.What)
}
