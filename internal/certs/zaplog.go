package certs

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// maxLogValue is the longest value taken from the ACME library's log, in octets:
// it may have come from the authority.
const maxLogValue = 1000

// logFields are the fields of the ACME library's log that are passed on. Others
// may be requests, keys or tokens.
var logFields = map[string]bool{
	"identifier": true, "identifiers": true, "subject": true, "subjects": true,
	"issuer": true, "ca": true, "challenge": true, "challenge_type": true,
	"error": true, "attempt": true, "retrying_in": true, "elapsed": true,
	"remaining": true, "expiration": true, "remote": true, "status": true,
}

// saidByUs are messages of the ACME library about failures that Manager logs
// itself, once and with what to do. That an issuer gave nothing is said by the
// library for each kind of challenge, and passed on, since Manager has only the
// last one's reason; unless it is the same for all.
var saidByUs = map[string]bool{
	"challenge failed": true, "validating authorization": true, "will retry": true,
	"HTTP request failed; retrying": true,
}

// zapToSlog is the ACME library's log as lines of ours, a level lower than it
// gives them: what matters is logged by the package itself.
type zapToSlog struct {
	log   *slog.Logger
	muted *atomic.Bool
}

var zapLevels = map[zapcore.Level]slog.Level{
	zapcore.InfoLevel: slog.LevelDebug, zapcore.WarnLevel: slog.LevelInfo, zapcore.ErrorLevel: slog.LevelWarn,
	zapcore.DPanicLevel: slog.LevelError, zapcore.PanicLevel: slog.LevelError, zapcore.FatalLevel: slog.LevelError,
}

// Enabled implements zapcore.LevelEnabler.
func (z zapToSlog) Enabled(l zapcore.Level) bool {
	level, ok := zapLevels[l]
	return ok && !z.muted.Load() && z.log.Enabled(context.Background(), level)
}

// With implements zapcore.Core.
func (z zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return zapToSlog{log: z.log.With(attrs(fields)...), muted: z.muted}
}

// Check implements zapcore.Core.
func (z zapToSlog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

// Write implements zapcore.Core.
func (z zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level, all := zapLevels[e.Level], attrs(fields)
	if saidByUs[e.Message] || canceled(all) || slices.ContainsFunc(fields, isUnreachable) {
		level = slog.LevelDebug
	}
	z.log.Log(context.Background(), level, "acme: "+cut(e.Message), all...)
	return nil
}

// Sync implements zapcore.Core.
func (zapToSlog) Sync() error { return nil }

func attrs(fields []zapcore.Field) []any {
	var all []any
	for _, f := range fields {
		if !logFields[f.Key] {
			continue
		}
		m := zapcore.NewMapObjectEncoder()
		f.AddTo(m)
		v := m.Fields[f.Key]
		if s, ok := v.(string); ok {
			v = cut(s)
		}
		all = append(all, f.Key, v)
	}
	return all
}

// canceled reports whether what failed was ended by us.
func canceled(attrs []any) bool {
	return slices.ContainsFunc(attrs, func(a any) bool {
		s, ok := a.(string)
		return ok && strings.Contains(s, context.Canceled.Error())
	})
}

// isUnreachable reports whether a field has the error of an authority that gave
// no answer.
func isUnreachable(f zapcore.Field) bool {
	err, ok := f.Interface.(error)
	return ok && unreachable(err)
}

func cut(s string) string {
	if len(s) > maxLogValue {
		return s[:maxLogValue] + "…"
	}
	return s
}
