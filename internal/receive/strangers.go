package receive

import (
	"context"
	"log/slog"
	"sync"
	"time"

	xrate "golang.org/x/time/rate"

	"postrider/internal/smtp"
)

// StrangerNotices is how many notifications of success are sent at once for strangers,
// in all, and how many a minute from then on. Beyond them none is: a sender that nobody
// has proven may be forged, and then what it asks for goes to somebody who never wrote.
const StrangerNotices = 30

// quietStrangers is how long the log says no more of what was left out.
const quietStrangers = time.Minute

// isStranger reports whether nothing vouches for a transaction's sender: neither a login
// nor the configuration.
func isStranger(tx *smtp.Transaction) bool {
	return tx.Client.Account == 0 && routeOf(tx).client == nil
}

// strangers counts what is told to strangers.
type strangers struct {
	limit *xrate.Limiter

	mu   sync.Mutex
	left int       // that were left out since the log said so
	said time.Time // when it did
}

func newStrangers() *strangers {
	return &strangers{limit: xrate.NewLimiter(xrate.Every(time.Minute/StrangerNotices), StrangerNotices)}
}

// allow reports whether one more may be told now.
func (s *strangers) allow(ctx context.Context, log *slog.Logger, now time.Time) bool {
	if s.limit.AllowN(now, 1) {
		return true
	}
	if left := s.leaveOut(now); left > 0 {
		log.LogAttrs(ctx, slog.LevelWarn, "senders who are strangers are not told that their mail was delivered: too many want to be",
			slog.Int("left_out", left), slog.Int("a_minute", StrangerNotices),
			slog.String("advice", "the mail itself is delivered; many of these mean that somebody has notifications sent to forged senders: look at who sends, in 'message accepted'"))
	}
	return false
}

// leaveOut counts one that is left out, and returns how many the log is to speak of.
func (s *strangers) leaveOut(now time.Time) (tell int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
	if since := now.Sub(s.said); 0 <= since && since < quietStrangers {
		return 0
	}
	tell, s.left, s.said = s.left, 0, now
	return tell
}
