package receive

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// The stages of a transaction, in metrics and the log.
const (
	stageMail = "mail"
	stageRcpt = "rcpt"
	stageData = "data"
)

// metrics is what a Receiver counts.
type metrics struct {
	messages, recipients, copies, onward, octets *prometheus.CounterVec // by role
	refused                                      *prometheus.CounterVec
	seconds                                      *prometheus.HistogramVec // by role
	released                                     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	byRole := []string{"role"}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, byRole)
	}
	m := metrics{
		messages:   counter("postrider_messages_accepted_total", "Messages that were taken and are durable."),
		recipients: counter("postrider_recipients_accepted_total", "Recipients of the messages accepted."),
		copies:     counter("postrider_copies_accepted_total", "Copies in mailboxes of the messages accepted."),
		onward:     counter("postrider_onward_accepted_total", "Recipients at other hosts of the messages accepted: rows of the queue."),
		octets:     counter("postrider_octets_accepted_total", "Octets of the messages accepted, each counted once."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_refused_total", Help: "Refusals by role, stage (mail, rcpt, data) and reason.",
		}, []string{"role", "stage", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_accept_seconds", Help: "Time from the end of a message to its being durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17), // 0.1 ms to 6.5 s
		}, byRole),
		released: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_held_released_total", Help: "Held messages that were released when they were due.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.recipients, m.copies, m.onward, m.octets, m.refused, m.seconds, m.released)
	}
	return m
}

// accepted counts and logs a message that is durable.
func (r *Receiver) accepted(ctx context.Context, tx *smtp.Transaction, a acceptance) {
	role := roleOf(tx)
	r.m.messages.WithLabelValues(role).Inc()
	r.m.recipients.WithLabelValues(role).Add(float64(len(tx.Envelope.Recipients)))
	r.m.copies.WithLabelValues(role).Add(float64(a.copies))
	r.m.onward.WithLabelValues(role).Add(float64(a.onward))
	r.m.octets.WithLabelValues(role).Add(float64(a.octets))
	r.m.seconds.WithLabelValues(role).Observe(a.took.Seconds())
	if !r.o.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := append(about(tx),
		slog.Int("recipients", len(tx.Envelope.Recipients)),
		slog.Any("to", addresses(tx.Envelope.Recipients)),
		slog.Int("copies", a.copies),
		slog.Int("onward", a.onward),
		slog.Int64("octets", a.octets),
		slog.Duration("took", a.took))
	if a.messageID != "" {
		attrs = append(attrs, slog.String("message_id", clip(a.messageID)))
	}
	if !a.hold.IsZero() {
		attrs = append(attrs, slog.Time("held_until", a.hold))
	}
	r.o.Logger.LogAttrs(ctx, slog.LevelInfo, "message accepted", attrs...)
}

// acceptance is what is told of a message that is durable.
type acceptance struct {
	octets    int64
	copies    int
	onward    int // rows of the queue
	took      time.Duration
	messageID string    // of a submission: the value of its Message-ID field
	hold      time.Time // when it will appear, if it is held
}

// refuse counts and logs a refusal, and returns what the session replies from:
// a verdict's reply, or the fault as it is. Faults are logged as errors but at
// MAIL, where they come with every client for as long as the store is not well,
// which it has said itself.
func (r *Receiver) refuse(ctx context.Context, stage string, tx *smtp.Transaction, rcpt *mail.Recipient, err error) error {
	reason, level, reply := fault.KindOf(err).String(), slog.LevelError, err
	var v *verdict
	if errors.As(err, &v) {
		reason, level, reply = v.reason, slog.LevelInfo, &v.reply
	} else if stage == stageMail {
		level = slog.LevelInfo
	}
	r.m.refused.WithLabelValues(roleOf(tx), stage, reason).Inc()
	if !r.o.Logger.Enabled(ctx, level) {
		return reply
	}
	attrs := append(about(tx), slog.String("stage", stage), slog.Any("reason", err))
	if rcpt != nil {
		attrs = append(attrs, slog.String("to", rcpt.Address.String()))
	} else if len(tx.Envelope.Recipients) > 0 {
		attrs = append(attrs, slog.Any("to", addresses(tx.Envelope.Recipients)))
	}
	if v == nil {
		attrs = append(attrs, slog.String("advice", advice[fault.KindOf(err)]))
	}
	r.o.Logger.LogAttrs(ctx, level, "mail refused", attrs...)
	return reply
}

// advice says what an operator does about a fault.
var advice = map[fault.Kind]string{
	fault.NoSpace:   "free space on the data folder's disk, or move it to a larger one; mail is taken again by itself",
	fault.ReadOnly:  "a write to the disk failed: look at the disk and the system log, then restart postrider",
	fault.Corrupt:   "run 'postrider store check'",
	fault.Transient: "nothing if it stays rare; the sender tries again",
	fault.Internal:  "the sender tries again; please report it if it comes back",
}

// about is what every line of the log says about a transaction.
func about(tx *smtp.Transaction) []slog.Attr {
	c := tx.Client
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("conn", c.ConnID),
		slog.String("message", tx.Envelope.ID.String()),
		slog.String("listener", c.Listener),
		slog.String("remote", c.Remote.Addr().String()),
		slog.String("helo", clip(c.Helo)),
		slog.String("from", tx.Envelope.From.String()))
	if named := routeOf(tx).client; named != nil {
		attrs = append(attrs, slog.String("client", named.Name))
	}
	if c.Account != 0 {
		how := c.Mechanism
		if how == "" { // its address is trusted since a recent login
			how = "POP-before-SMTP"
		}
		attrs = append(attrs, slog.String("account", c.Login), slog.String("mechanism", how))
	}
	return attrs
}

// maxLogged bounds what a peer can make a log line hold: octets of a text, and
// addresses of a list.
const (
	maxLoggedText      = 128
	maxLoggedAddresses = 20
)

func clip(s string) string {
	if len(s) > maxLoggedText {
		return mail.Cut(s, maxLoggedText) + "…"
	}
	return s
}

// addresses is made into text only if it is logged.
type addresses []mail.Recipient

// LogValue returns the addresses separated by commas, at most
// maxLoggedAddresses of them.
func (as addresses) LogValue() slog.Value {
	var b strings.Builder
	for i, r := range as[:min(len(as), maxLoggedAddresses)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(r.Address.String())
	}
	if len(as) > maxLoggedAddresses {
		b.WriteString(", …")
	}
	return slog.StringValue(b.String())
}
