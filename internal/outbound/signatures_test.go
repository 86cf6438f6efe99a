package outbound

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/mail"
	"postrider/internal/sinktest"
	"postrider/internal/store"
)

// counter signs by counting.
type counter struct{ n atomic.Int64 }

func (c *counter) Sign(context.Context, *store.QueuedMessage, Content, Content) ([]byte, error) {
	c.n.Add(1)
	return []byte("Signed: yes\r\n"), nil
}

func TestAMessageToManyDestinationsIsSignedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var c counter
		s := begin(t, func(_ *site, o *Options) { o.Signer = &c })
		one, other := s.host("203.0.114.1", sinktest.Options{}), s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test", "carol@other.test")
		synctest.Wait()
		for _, sink := range []*sinktest.Sink{one, other} {
			if ms := sink.Messages(); len(ms) != 1 || strings.Count(string(ms[0].Data), "Signed: yes\r\n") != 1 {
				t.Errorf("got %v, want a signed message", ms)
			}
		}
		if n := c.n.Load(); n != 1 {
			t.Errorf("signed %d times, want once", n)
		}
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if n := c.n.Load(); n != 2 {
			t.Errorf("signed %d times, want each message by itself", n)
		}
	})
}

// forms signs with what it was given.
type forms struct{}

func (forms) Sign(_ context.Context, _ *store.QueuedMessage, stored, converted Content) ([]byte, error) {
	text := func(c Content) string {
		if c == nil {
			return "nothing"
		}
		b, _ := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		_, body, _ := strings.Cut(string(b), "\r\n\r\n")
		return strings.TrimSpace(body)
	}
	return []byte("Signed: " + text(stored) + ", " + text(converted) + "\r\n"), nil
}

func TestWhatSignsHasTheMessageAsItIsKeptAndAsItIsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Signer = forms{} })
		s.text = eightBitText
		seven, eight := s.host("203.0.114.1", sinktest.Options{Extensions: sevenBits}), s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", func(o *Onward) { o.Envelope.Body = mail.Body8BitMIME }, "bob@remote.test", "carol@other.test")
		synctest.Wait()
		for sink, want := range map[*sinktest.Sink]string{seven: "Signed: Grüße, R3LDvMOfZQ0K\r\n", eight: "Signed: Grüße, nothing\r\n"} {
			if ms := sink.Messages(); len(ms) != 1 || !strings.HasPrefix(string(ms[0].Data), want) {
				t.Errorf("got %v, want %q on top", ms, want)
			}
		}
	})
}

func TestASignatureIsKeptForItsFormAndItsTime(t *testing.T) {
	var s signatures
	now := time.Unix(1_800_000_000, 0)
	eight := signedForm{mail.ID{1}, mail.Body8BitMIME}
	seven := signedForm{mail.ID{1}, mail.Body7Bit}
	made := 0
	get := func(form signedForm, at time.Time, fault error) error {
		_, err := s.get(form, at, func() ([]byte, error) { made++; return nil, fault })
		return err
	}
	refused := errors.New("the reader has gone")
	for i, step := range []struct {
		form signedForm
		at   time.Duration
		err  error
		want int
	}{
		{eight, 0, refused, 1},
		{eight, 0, nil, 2}, // another's error is not kept
		{eight, time.Minute, refused, 2},
		{seven, time.Minute, nil, 3},
		{eight, signatureLife, nil, 4},
	} {
		if err := get(step.form, now.Add(step.at), step.err); made != step.want || (err != nil) != (i == 0) {
			t.Errorf("step %d: got %v, signed %d times, want %d", i, err, made, step.want)
		}
	}
}

func TestSignaturesAreBounded(t *testing.T) {
	var s signatures
	for i := range 3 * maxSignatures {
		form := signedForm{message: mail.ID{byte(i), byte(i >> 8)}}
		s.get(form, time.Unix(1, 0), func() ([]byte, error) { return []byte("x"), nil })
		if again := s.of(form); again.made.IsZero() {
			t.Fatalf("%d is not kept", i)
		}
	}
	if len(s.known) != maxSignatures || len(s.order) != maxSignatures {
		t.Errorf("got %d and %d, want %d", len(s.known), len(s.order), maxSignatures)
	}
}
