package smtp

import "postrider/internal/session"

// Event takes what happened beside the input.
func (s *server) Event(e session.Event) session.Step {
	switch e {
	case session.Timeout:
		return s.bye(replyTimeout, "timeout")
	case session.Shutdown:
		if s.tx != nil {
			break // the message that has begun may be finished
		}
		return s.bye(replyShutdown, "shutdown")
	case session.Shed:
		return s.bye(replyShed, "shed under load")
	case session.Flood:
		return s.bye(replyFlood, "a line without end")
	case session.Closed:
		s.drop()
		s.exchange = nil
		return session.Step{Next: session.Close}
	case session.TLSReady:
		return s.tlsReady()
	}
	return session.Step{Wait: s.opts.CommandTimeout}
}
