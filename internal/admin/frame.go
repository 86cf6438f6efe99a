// Package admin is the administration of a data folder: domains, accounts,
// aliases, mailboxes and the store's care, as procedures that take and give
// JSON.
//
// While a server runs, a Client reaches its Handler over a Unix socket in the
// data folder; when none runs, the command opens the store itself and a Client
// calls the same Handler within the process. There is one code path for both.
//
// A procedure is a POST to /NAME. The first line of its body is a JSON object,
// its argument; some take more octets after it. The answer is a series of
// frames, one a line: any number of items, then a result or an error. An answer
// that ends without one of those was cut off.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"postrider/internal/fault"
)

// maxArgument bounds the first line of a body, in octets.
const maxArgument = 1 << 20

// frame is a line of an answer: one of the three.
type frame struct {
	Item   json.RawMessage `json:"item,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *wireError      `json:"error,omitempty"`
}

// wireError is a fault.Error on its way.
type wireError struct {
	Kind string `json:"kind"`
	Op   string `json:"op,omitempty"`
	Text string `json:"text,omitempty"`
}

// toWire keeps an error's kind and words.
func toWire(procedure string, err error) *wireError {
	e := &wireError{Kind: fault.KindOf(err).String(), Op: procedure, Text: err.Error()}
	if fe, ok := err.(*fault.Error); ok {
		e.Op, e.Text = fe.Op, ""
		if fe.Err != nil {
			e.Text = fe.Err.Error()
		}
	}
	return e
}

// fromWire returns the error that toWire was given, as far as it can be told.
func (e *wireError) fromWire() error {
	kind := fault.Internal
	for k := fault.Internal; k <= fault.Corrupt; k++ {
		if k.String() == e.Kind {
			kind = k
		}
	}
	if e.Text == "" {
		return fault.New(kind, e.Op, nil)
	}
	return fault.New(kind, e.Op, errors.New(e.Text))
}

// readFrame reads the next frame of an answer.
func readFrame(r *json.Decoder) (frame, error) {
	var f frame
	err := r.Decode(&f)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return frame{}, fault.Newf(fault.Transient, "read the server's answer", "%w", err)
	}
	if f.Error != nil {
		return frame{}, f.Error.fromWire()
	}
	return f, nil
}

func decode(raw json.RawMessage, out any) error {
	if out == nil || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}
