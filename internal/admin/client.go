package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"

	"postrider/internal/fault"
)

// Client calls procedures. It may be used by several goroutines.
type Client struct {
	transport http.RoundTripper
	idle      func()
}

// Connect returns a client of the server whose socket is at path; NotFound when
// no server runs there.
func Connect(ctx context.Context, path string) (*Client, error) {
	conn, err := dial(ctx, path)
	switch {
	case err == nil:
		conn.Close()
	case nobodyThere(err):
		return nil, fault.New(fault.NotFound, "reach the server at "+path, err)
	case errors.Is(err, context.Canceled):
		return nil, err
	default:
		return nil, fault.New(fault.Denied, "reach the server at "+path, err)
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path) },
		Proxy:       nil,
	}
	return &Client{transport: t, idle: t.CloseIdleConnections}, nil
}

// InProcess returns a client that calls a handler directly.
func InProcess(h http.Handler) *Client {
	return &Client{transport: inProcess{h}, idle: func() {}}
}

// Close gives idle connections up.
func (c *Client) Close() { c.idle() }

// begin sends a request and returns its answer's body, which the caller closes.
func (c *Client) begin(ctx context.Context, procedure string, argument any, more io.Reader) (io.ReadCloser, error) {
	line, err := json.Marshal(argument)
	if err != nil {
		return nil, fault.New(fault.Internal, procedure, err)
	}
	var body io.Reader = bytes.NewReader(append(line, '\n'))
	if more != nil {
		body = io.MultiReader(body, more)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://postrider/"+procedure, body)
	if err != nil {
		return nil, fault.New(fault.Internal, procedure, err)
	}
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, fault.New(fault.Transient, "ask the server", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		answer.Body.Close()
		return nil, fault.Newf(fault.Transient, "ask the server", "it is stopping; try again")
	default:
		answer.Body.Close()
		return nil, fault.Newf(fault.Invalid, "ask the server", "it does not know %q: it is of another version; restart it", procedure)
	}
	return answer.Body, nil
}

// run calls a procedure, gives its items to each, and decodes its result.
func (c *Client) run(ctx context.Context, procedure string, argument any, more io.Reader, each func(json.RawMessage) error, result any) error {
	body, err := c.begin(ctx, procedure, argument, more)
	if err != nil {
		return err
	}
	defer body.Close()
	frames := json.NewDecoder(bufio.NewReader(body))
	for {
		f, err := readFrame(frames)
		if err != nil {
			return err
		}
		if f.Item == nil {
			return decode(f.Result, result)
		}
		if each == nil {
			continue
		}
		if err := each(f.Item); err != nil {
			return err
		}
	}
}

// ask calls a procedure that has a result only.
func (c *Client) ask(ctx context.Context, procedure string, argument, result any) error {
	return c.run(ctx, procedure, argument, nil, nil, result)
}

// errStop ends a list whose reader has had enough.
var errStop = errors.New("stop")

// list calls a procedure that has items only.
func list[T any](ctx context.Context, c *Client, procedure string, argument any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := c.run(ctx, procedure, argument, nil, func(raw json.RawMessage) error {
			var item T
			if err := decode(raw, &item); err != nil {
				return err
			}
			if !yield(item, nil) {
				return errStop
			}
			return nil
		}, nil)
		if err != nil && !errors.Is(err, errStop) {
			var none T
			yield(none, err)
		}
	}
}
