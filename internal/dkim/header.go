package dkim

import (
	"context"
	"errors"
	"io"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
)

// header is a message's header, in memory.
type header struct {
	fields []message.Field
	length int64 // octets up to the body
}

const headerStep = 8 << 10 // octets that are read at a time

// readHeader reads content up to its body. TooLarge when the header is longer than
// MaxHeader.
func readHeader(content io.ReaderAt, size int64) (*header, error) {
	var scan message.HeaderScanner
	var b []byte
	for !scan.Done() {
		at := int64(len(b))
		if at >= size {
			scan.End()
			break
		}
		if at >= MaxHeader {
			return nil, fault.Newf(fault.TooLarge, "read the header", "it is longer than %d octets", MaxHeader)
		}
		piece := make([]byte, min(headerStep, size-at, MaxHeader-at))
		n, err := content.ReadAt(piece, at)
		if n < len(piece) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fault.Wrap("read the header", err)
		}
		_, _ = scan.Write(piece)
		b = append(b, piece...)
	}
	return parseHeader(b[:scan.Length()]), nil
}

// parseHeader splits a header. What is no field, like a mailbox file's "From "
// line, is left out.
func parseHeader(b []byte) *header {
	h := &header{length: int64(len(b))}
	for f := range message.SplitFields(b) {
		if f.Name != nil {
			h.fields = append(h.fields, f)
		}
	}
	return h
}

// count returns how many fields have the name.
func (h *header) count(name string) int {
	n := 0
	for _, f := range h.fields {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// below returns the header as it came here: without the fields that this server has
// put on top itself. The last of them is the Received field with the message's ID
// (RFC 5321 §4.4). A signature may say that there is no field of such a name.
func (h *header) below(id mail.ID) *header {
	for i, f := range h.fields {
		if message.IsReceived(f, id) {
			return &header{fields: h.fields[i+1:], length: h.length}
		}
	}
	return h
}

// pick returns what a list of names (h=) means: each name takes the lowest field
// of that name that has not been taken yet, or none (RFC 6376 §5.4.2).
func (h *header) pick(names []string) []message.Field {
	next := map[string]int{} // where to go on, from below
	var all []message.Field
	for _, name := range names {
		key := strings.ToLower(name)
		i, begun := next[key]
		if !begun {
			i = len(h.fields)
		}
		for i--; i >= 0; i-- {
			if h.fields[i].Is(name) {
				all = append(all, h.fields[i])
				break
			}
		}
		next[key] = max(i, 0)
	}
	return all
}

const bodyStep = 64 << 10 // octets that are read at a time

// hashBody writes the body, read once, to every writer.
func hashBody(ctx context.Context, content io.ReaderAt, size int64, from int64, to []*body) error {
	if len(to) == 0 {
		return nil
	}
	piece := make([]byte, min(bodyStep, max(size-from, 0)))
	for from < size {
		if err := ctx.Err(); err != nil {
			return fault.New(fault.Transient, "read the body", err)
		}
		n, err := content.ReadAt(piece[:min(int64(len(piece)), size-from)], from)
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fault.Wrap("read the body", err)
		}
		for _, b := range to {
			_, _ = b.Write(piece[:n])
		}
		from += int64(n)
	}
	for _, b := range to {
		b.end()
	}
	return nil
}
