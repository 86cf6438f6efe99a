package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"postrider/internal/certs"
	"postrider/internal/directory"
	"postrider/internal/dkim"
	"postrider/internal/fault"
	"postrider/internal/login"
	"postrider/internal/store"
)

// Options are what the procedures work on.
type Options struct {
	Directory *directory.Directory
	Store     store.Store
	// Keys are those that the server signs with; nil when none runs: they are made
	// from Store then.
	Keys *dkim.Keys
	// Logins, Certs and Deliverer are those of the server; nil when none runs. What
	// needs them is then answered with NotFound.
	Logins    *login.Service
	Certs     *certs.Manager
	Deliverer Deliverer
	// Release is how the server releases held mail: it tells who wanted to know. Nil
	// when none runs: it is Store's then, and nobody is told.
	Release func(ctx context.Context, m store.Held) (store.Accepted, error)
}

// service is Options, as the procedures see them.
type service struct {
	directory *directory.Directory
	store     store.Store
	keys      *dkim.Keys
	logins    *login.Service
	certs     *certs.Manager
	deliverer Deliverer
	release   func(ctx context.Context, m store.Held) (store.Accepted, error)
}

// call is one procedure call under way.
type call struct {
	context.Context
	argument []byte
	// more are the octets after the argument.
	more  io.Reader
	out   *json.Encoder
	flush func() error
}

// emit sends an item.
func (c *call) emit(item any) error {
	raw, err := json.Marshal(item)
	if err != nil {
		return err
	}
	return c.out.Encode(frame{Item: raw})
}

// procedure does its work, sends its items, and returns its result.
type procedure func(s *service, c *call) (result any, err error)

// takes makes a procedure of a function with a typed argument.
func takes[A any](f func(s *service, c *call, a A) (any, error)) procedure {
	return func(s *service, c *call) (any, error) {
		var a A
		d := json.NewDecoder(bytes.NewReader(c.argument))
		d.DisallowUnknownFields()
		if err := d.Decode(&a); err != nil {
			return nil, fault.New(fault.Invalid, "read the request", err)
		}
		return f(s, c, a)
	}
}

// Handler returns the administration of a server, or of a store and its directory
// without one. It guards nothing: whoever can reach it may do everything.
func Handler(o Options) http.Handler {
	if o.Keys == nil {
		o.Keys = dkim.NewKeys(o.Store, slog.New(slog.DiscardHandler), nil)
	}
	if o.Release == nil {
		o.Release = func(ctx context.Context, m store.Held) (store.Accepted, error) {
			return o.Store.Release(ctx, m.ID, time.Now())
		}
	}
	return &handler{service{
		directory: o.Directory, store: o.Store, keys: o.Keys, logins: o.Logins, certs: o.Certs,
		deliverer: o.Deliverer, release: o.Release,
	}}
}

// errNoServer is what a procedure returns that is about a running server.
func errNoServer(op string) error {
	return fault.Newf(fault.NotFound, op, "no server runs on this data folder")
}

type handler struct{ service service }

// ServeHTTP runs the procedure that the path names.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	run, ok := procedures[name]
	if !ok || r.Method != http.MethodPost {
		http.Error(w, "no such procedure", http.StatusNotFound)
		return
	}
	control := http.NewResponseController(w)
	// Items may go out while octets still come in. Without the means to (in the
	// process itself) it is so anyway.
	_ = control.EnableFullDuplex()
	w.Header().Set("Content-Type", "application/jsonl")
	body := bufio.NewReader(r.Body)
	c := &call{Context: r.Context(), more: body, out: json.NewEncoder(w), flush: control.Flush}
	var err error
	var result any
	if c.argument, err = readArgument(body); err == nil {
		result, err = run(&h.service, c)
	}
	// What is left of the body is read, so that the caller gets to the answer.
	_, _ = io.Copy(io.Discard, body)
	if err != nil {
		_ = c.out.Encode(frame{Error: toWire(name, err)}) // the caller has gone
		return
	}
	raw, err := json.Marshal(result)
	if err != nil {
		_ = c.out.Encode(frame{Error: toWire(name, err)})
		return
	}
	_ = c.out.Encode(frame{Result: raw})
}

// readArgument reads a body's first line.
func readArgument(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxArgument:
			return nil, fault.Newf(fault.TooLarge, "read the request", "it is longer than %d octets", maxArgument)
		case err == nil:
			return line, nil
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return nil, fault.New(fault.Invalid, "read the request", fmt.Errorf("its first line: %w", err))
		}
	}
}
