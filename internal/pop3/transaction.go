package pop3

import (
	"strconv"

	"postrider/internal/fault"
	"postrider/internal/session"
)

// stat gives the drop listing (RFC 1939 §5). Right after the login it reads
// nothing: the store keeps the counts.
func (s *Session) stat(arguments) session.Step {
	if s.drop.tooMany() {
		if err := s.drop.load(s.c.Context); err != nil {
			return s.failFault(err)
		}
	}
	return s.okNumbers(s.drop.left())
}

// list gives scan listings.
func (s *Session) list(a arguments) session.Step {
	if a.message != 0 {
		i, refusal := s.find(a.message)
		if i < 0 {
			return refusal
		}
		return s.okNumbers(a.message, s.drop.sizes[i])
	}
	if err := s.drop.load(s.c.Context); err != nil {
		return s.failFault(err)
	}
	n, octets := s.drop.left()
	s.reply = appendTotal(append(s.reply[:0], "+OK "...), n, octets)
	step := s.send()
	step.Body = (*scanListings)(s.drop)
	return step
}

// uidl gives unique-id listings (RFC 1939 §7).
func (s *Session) uidl(a arguments) session.Step {
	if a.message == 0 {
		step := s.ok("unique-id listing follows")
		step.Body = uidListings{s.drop, s.c.Context}
		return step
	}
	i, refusal := s.find(a.message)
	if i < 0 {
		return refusal
	}
	uidl, err := s.drop.uidl(s.c.Context, i)
	if err != nil {
		return s.failFault(err)
	}
	s.reply = strconv.AppendInt(append(s.reply[:0], "+OK "...), a.message, 10)
	s.reply = append(append(s.reply, ' '), uidl...)
	return s.send()
}

// retr sends a message.
func (s *Session) retr(a arguments) session.Step {
	return s.open(a.message, allLines)
}

// top sends a message's header, the blank line, and so many lines of its body.
func (s *Session) top(a arguments) session.Step {
	return s.open(a.message, a.lines)
}

// open opens a message and sends it whole, or only lines of its body.
func (s *Session) open(message, lines int64) session.Step {
	i, refusal := s.find(message)
	if i < 0 {
		return refusal
	}
	d := s.drop
	err := d.openMessage(s.c.Context, i, lines)
	switch {
	case fault.Is(err, fault.NotFound):
		return s.fail("SYS/PERM", "message "+strconv.FormatInt(message, 10)+" is gone")
	case err != nil:
		return s.failFault(err)
	}
	s.reply = append(s.reply[:0], "+OK "...)
	if lines == allLines {
		s.reply = append(strconv.AppendInt(s.reply, d.sending.r.Size(), 10), " octets"...)
	} else {
		s.reply = append(s.reply, "top of the message follows"...)
	}
	step := s.send()
	step.Body = &d.sending
	return step
}

// dele marks a message.
func (s *Session) dele(a arguments) session.Step {
	i, refusal := s.find(a.message)
	if i < 0 {
		return refusal
	}
	s.drop.mark(i)
	s.reply = strconv.AppendInt(append(s.reply[:0], "+OK message "...), a.message, 10)
	s.reply = append(s.reply, " deleted"...)
	return s.send()
}

// rset takes all marks away.
func (s *Session) rset(arguments) session.Step {
	s.drop.unmark()
	n, octets := s.drop.left()
	s.reply = appendTotal(append(s.reply[:0], "+OK "...), n, octets)
	return s.send()
}

// noop does nothing.
func (s *Session) noop(arguments) session.Step { return s.ok("nothing done") }

// quit ends the session. In the TRANSACTION state it is the UPDATE state: what is
// marked is removed, in one commit, and +OK says that this is durable
// (RFC 1939 §6). In the AUTHORIZATION state there is nothing to remove.
func (s *Session) quit(arguments) session.Step {
	s.closing = true
	d := s.drop
	if d == nil {
		return s.ok("bye")
	}
	d.summary.Quit = true
	uids := d.markedUIDs()
	if len(uids) > 0 {
		if err := d.store.Remove(s.c.Context, uids); err != nil {
			d.summary.Err = err
			s.release()
			return s.fail("SYS/TEMP", "the deleted messages may still be there: "+inTransaction(err).text)
		}
		d.summary.Removed = len(uids)
	}
	n, _ := d.left()
	s.release()
	s.reply = append(s.reply[:0], "+OK bye; "...)
	s.reply = appendCount(s.reply, n)
	s.reply = append(s.reply, " left"...)
	return s.send()
}

// find returns the index of a message that is there and not marked. Otherwise i
// is negative, and refusal is the answer.
func (s *Session) find(message int64) (i int, refusal session.Step) {
	if err := s.drop.load(s.c.Context); err != nil {
		return -1, s.failFault(err)
	}
	if n := int64(len(s.drop.uids)); message > n {
		s.reply = appendCount(append(s.reply[:0], "-ERR no such message; the maildrop has "...), n)
		return -1, s.send()
	}
	i = int(message - 1)
	if s.drop.isMarked(i) {
		return -1, s.fail("", "message "+strconv.FormatInt(message, 10)+" is deleted; RSET brings it back")
	}
	return i, session.Step{}
}

// appendTotal appends "2 messages (320 octets)".
func appendTotal(b []byte, n, octets int64) []byte {
	b = append(appendCount(b, n), " ("...)
	return append(strconv.AppendInt(b, octets, 10), " octets)"...)
}

// appendCount appends "1 message" or "2 messages".
func appendCount(b []byte, n int64) []byte {
	b = append(strconv.AppendInt(b, n, 10), " message"...)
	if n != 1 {
		b = append(b, 's')
	}
	return b
}
