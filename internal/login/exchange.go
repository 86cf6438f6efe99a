package login

import (
	"context"
	"log/slog"
	"sync"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// exchange is an exchange of a mechanism whose end is noted.
type exchange struct {
	*attempt
	inner sasl.Exchange
	stop  func() bool // ends the watch over the connection
}

// Respond implements sasl.Exchange.
func (e *exchange) Respond(ctx context.Context, response []byte) (sasl.Step, error) {
	e.s.exchanges.end(e)
	step, err := e.inner.Respond(ctx, response)
	if err == nil && !step.Done {
		e.s.exchanges.begin(e)
		return step, nil
	}
	if err != nil && !e.decided.Load() {
		why := slog.Any("error", err)
		if fault.Is(err, fault.Denied) {
			why = slog.String("reason", "nothing was proven")
		}
		e.unfinished(ctx, Malformed, why)
	}
	return step, err
}

// exchanges are those that wait for a client's message, one a connection. It is how
// an exchange is seen that the client gives up: its session never says so, but
// begins another or goes.
type exchanges struct {
	mu   sync.Mutex
	open map[*session.Conn]*exchange
}

// begin notes that an exchange waits, and that one that was open on the connection
// has been given up.
func (x *exchanges) begin(e *exchange) {
	x.mu.Lock()
	former := x.open[e.c]
	x.open[e.c] = e
	e.stop = context.AfterFunc(contextOf(e.c), func() { x.giveUp(e) })
	x.mu.Unlock()
	if former != nil {
		former.aborted()
	}
}

// end notes that an exchange waits no more.
func (x *exchanges) end(e *exchange) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.stop()
	if x.open[e.c] == e {
		delete(x.open, e.c)
	}
}

// giveUp notes that the connection of an exchange is gone.
func (x *exchanges) giveUp(e *exchange) {
	x.mu.Lock()
	mine := x.open[e.c] == e
	if mine {
		delete(x.open, e.c)
	}
	x.mu.Unlock()
	if mine {
		e.aborted()
	}
}
