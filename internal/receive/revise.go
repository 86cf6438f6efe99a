package receive

import (
	"bytes"
	"context"
	"errors"
	"io"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/smtp"
)

// isBinary reports whether the message may be anything but lines (BINARYMIME,
// RFC 3030 §3).
func (c *content) isBinary() bool { return c.tx.Envelope.Body == mail.BodyBinaryMIME }

// staysBinary reports whether it is stored as it came all the same: when it goes to
// other hosts only, which may take it so. POP3 has nothing but lines. A stranger's
// never stays: few hosts take it so, and what can't be made into lines would be
// returned to whose address was given as the sender's. Refused, it stays with who has
// sent it.
func (c *content) staysBinary() bool {
	return c.isBinary() && len(routeOf(c.tx).targets) == 0 && roleOf(c.tx) != roleMX
}

// revise brings what is stored into the form in which it can be handed out. Long
// says that lines have to be shortened.
func (c *content) revise(ctx context.Context, long bool) error {
	switch {
	case c.staysBinary():
		return c.checkHeader()
	case c.isBinary():
		body := mail.Body8BitMIME
		c.body = &body
		err := c.rewrite(ctx, func(dst io.Writer, src io.ReaderAt, size int64) error {
			return message.Lines(dst, src, size, true)
		})
		return unconverted(err)
	case long:
		return unshortened(c.rewrite(ctx, message.ShortenLines))
	}
	return nil
}

// rewrite replaces the stored content by what a function makes of it.
func (c *content) rewrite(ctx context.Context, convert func(dst io.Writer, src io.ReaderAt, size int64) error) error {
	old := c.store
	size := old.Size()
	made, err := c.r.o.Store.NewContent(ctx, size+size/2)
	if err != nil {
		return err
	}
	if err := convert(made, old, size); err != nil {
		made.Discard()
		return err
	}
	c.store = made
	old.Discard()
	return nil
}

// unshortened returns the verdict on a message whose lines can't be shortened,
// or the store's error.
func unshortened(err error) error {
	var e *message.LineError
	if !errors.As(err, &e) {
		return fault.Wrap("shorten lines", err)
	}
	reply := smtp.Reply{
		Code: 554, Enhanced: "6.1",
		Text: "The message has a line of more than 998 octets that can't be encoded: " + e.Why,
	}
	if e.Header {
		reply.Enhanced = "6.0"
	}
	return &verdict{reason: "line too long", reply: reply, detail: e.Why}
}

// unconverted returns the verdict on a binary message that can't be made into
// lines, or the store's error.
func unconverted(err error) error {
	var e *message.FormError
	if !errors.As(err, &e) {
		return fault.Wrap("convert a binary message", err)
	}
	return &verdict{reason: "binary", detail: e.Why, reply: smtp.Reply{
		Code: 554, Enhanced: "6.3", Text: "The message can't be converted for a recipient here: " + e.Why,
	}}
}

// verdictBinaryHeader is for a header that is binary, too: it is lines in any case
// (RFC 3030 §3), and where hosts disagree about them fields can be forged.
var verdictBinaryHeader = verdict{reason: "malformed header", reply: smtp.Reply{
	Code: 554, Enhanced: "6.0", Text: "The header of the message has NUL, or a CR or LF that is no line end",
}}

// checkHeader refuses a header with a CR, LF or NUL that is not part of a line end.
func (c *content) checkHeader() error {
	header := io.NewSectionReader(c.store, int64(c.top), c.scanner.Length())
	piece := make([]byte, 32<<10)
	last := byte('\n')
	for {
		n, err := io.ReadFull(header, piece)
		if !areLines(last, piece[:n]) {
			return &verdictBinaryHeader
		}
		if n > 0 {
			last = piece[n-1]
		}
		switch {
		case last == '\r' && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
			return &verdictBinaryHeader
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fault.Wrap("read the header", err)
		}
	}
}

// areLines reports whether octets that follow last have CR and LF only together,
// and no NUL. A CR at the end is left to the next octets.
func areLines(last byte, b []byte) bool {
	if bytes.IndexByte(b, 0) >= 0 {
		return false
	}
	for _, c := range b {
		if (last == '\r') != (c == '\n') {
			return false
		}
		last = c
	}
	return true
}
