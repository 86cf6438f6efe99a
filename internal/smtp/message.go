package smtp

import (
	"strconv"
	"strings"

	"postrider/internal/session"
)

// data begins the message (RFC 5321 §4.1.1.4). When the backend can't take it
// the transaction stays as it is.
func (s *server) data([]byte) session.Step {
	tx := s.tx
	if tx.binary() {
		return s.wrong(&replyBinaryData.Reply)
	}
	content, err := s.backend.Content(s.conn.Context, &tx.Transaction)
	if err != nil {
		return s.fail(err, stageMessage)
	}
	tx.content = content
	tx.sink.max, tx.sink.next = s.opts.MaxSize, content
	s.reading = readMessage
	return session.Step{Reply: replyStart.octets, Next: session.Dots, Sink: &tx.sink, Wait: s.opts.DataTimeout}
}

// Data takes the end of a message or of a chunk.
func (s *server) Data(n int64, err error) session.Step {
	what := s.reading
	s.reading = readLines
	switch what {
	case readMessage:
		if err != nil {
			return s.refuseMessage(err)
		}
		return s.commit()
	case readChunk:
		return s.endChunk(n, err)
	case readRefused:
		return s.endRefused()
	}
	return s.bye(faultReplies[0], "the driver has read octets that nobody asked for")
}

// refuseMessage ends a transaction whose message can't be taken.
func (s *server) refuseMessage(err error) session.Step {
	s.drop()
	return s.fail(err, stageMessage)
}

// commit takes responsibility for the message. The transaction is over either
// way (RFC 5321 §4.1.1.4).
func (s *server) commit() session.Step {
	accepted := s.tx.accepted()
	err := s.tx.content.Commit(s.conn.Context)
	s.drop()
	if err != nil {
		return s.fail(err, stageMessage)
	}
	s.junk = 0
	return s.say(accepted)
}

// accepted returns the reply to a message that has been accepted. Its words begin
// with the priority, if that is not the one that was asked for, under the code
// that RFC 6710 §4 has for it.
func (tx *transaction) accepted() *Reply {
	r := &Reply{Code: 250, Enhanced: "0.0", Text: "Message accepted as " + tx.Envelope.ID.String()}
	if tx.lowered {
		r.Enhanced = "3.6"
		r.Text = strconv.Itoa(int(tx.Envelope.Priority)) + " is the new priority of the message\n" + r.Text
	}
	return r
}

// chunk is what a BDAT command says (RFC 3030 §2).
type chunk struct {
	octets int64
	last   bool
	// refusal is the reply after a chunk that is read only to be dropped.
	refusal Reply
}

// parseChunk reads BDAT's argument. Counted is false when the number of octets
// can't be read, so that nobody knows where the next command begins; ok, when
// something else is wrong.
func parseChunk(arg []byte) (c chunk, counted, ok bool) {
	number, end, _ := strings.Cut(string(arg), " ")
	c.octets, counted = parseOctets(number)
	end = strings.TrimLeft(end, " ")
	c.last = strings.EqualFold(end, "LAST")
	return c, counted, end == "" || c.last
}

// bdat takes a chunk of the message.
func (s *server) bdat(arg []byte) session.Step {
	tx := s.tx
	c, counted, ok := parseChunk(arg)
	switch {
	case !counted || !ok:
		return s.refuseChunk(arg, &replyChunkSyntax.Reply)
	case c.octets > s.opts.MaxSize-tx.sink.size:
		return s.swallow(c, &replyTooLarge.Reply)
	}
	if !tx.chunked {
		content, err := s.backend.Content(s.conn.Context, &tx.Transaction)
		if err != nil {
			r, log := refusal(err, stageMessage)
			step := s.swallow(c, r)
			step.Log = log
			return step
		}
		tx.content, tx.chunked = content, true
		tx.sink.max, tx.sink.next = s.opts.MaxSize, content
		if !tx.binary() {
			tx.sink.endings.Reset(content)
			tx.sink.next = &tx.sink.endings
		}
	}
	s.chunk = c
	if c.octets == 0 {
		return s.endChunk(0, nil)
	}
	s.reading = readChunk
	return session.Step{Next: session.Octets, N: c.octets, Sink: &tx.sink, Wait: s.opts.DataTimeout}
}

// endChunk answers a chunk whose octets have come. Bare CR and LF are told at
// the end of the message, since a chunk may end between CR and LF.
func (s *server) endChunk(n int64, err error) session.Step {
	if err != nil {
		s.endFailed(s.chunk.last)
		return s.fail(err, stageMessage)
	}
	if !s.chunk.last {
		return s.say(&Reply{Code: 250, Enhanced: "0.0", Text: strconv.FormatInt(n, 10) + " octets taken"})
	}
	if !s.tx.binary() {
		err = s.tx.sink.endings.Finish()
	}
	if err != nil {
		return s.refuseMessage(err)
	}
	return s.commit()
}

// refuseChunk answers a BDAT that may not be given, or is malformed, as a wrong
// command. Its octets are read first (RFC 3030 §2). When their number can't be
// read they would be taken for commands: the connection is closed.
func (s *server) refuseChunk(arg []byte, r *Reply) session.Step {
	c, counted, _ := parseChunk(arg)
	switch {
	case !counted:
		return s.outOfStep(&replyChunkSyntax.Reply)
	case s.countError():
		return s.bye(replyTooManyErrors, "too many errors")
	}
	return s.swallow(c, r)
}

// swallow reads a chunk to drop it, then answers with r. One that is out of all
// proportion is not read; the connection is closed.
func (s *server) swallow(c chunk, r *Reply) session.Step {
	if c.octets/swallowFactor > s.opts.MaxSize {
		return s.outOfStep(r)
	}
	s.chunk = c
	s.chunk.refusal = *r
	if c.octets == 0 {
		return s.endRefused()
	}
	s.reading = readRefused
	return session.Step{Next: session.Octets, N: c.octets, Wait: s.opts.DataTimeout}
}

// endRefused answers a chunk that was read only to be dropped.
func (s *server) endRefused() session.Step {
	s.endFailed(s.chunk.last)
	r := s.chunk.refusal
	s.chunk.refusal = Reply{}
	return s.say(&r)
}

// endFailed marks a transaction that can't go on: only RSET helps, or the LAST
// of the chunks that were in the pipeline.
func (s *server) endFailed(last bool) {
	switch {
	case s.tx == nil:
	case last:
		s.drop()
	default:
		s.tx.abort()
		s.tx.failed = true
	}
}

// outOfStep answers a command behind which the next one can't be found, and
// closes.
func (s *server) outOfStep(r *Reply) session.Step {
	s.drop()
	s.buf = append(r.Append(s.buf[:0]), replyOutOfStep.octets...)
	return session.Step{Reply: s.buf, Next: session.Close, Log: "out of step: " + r.Text}
}
