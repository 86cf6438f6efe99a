package observe

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

func TestReadyzSaysWhyTheServerIsNotReady(t *testing.T) {
	var reason error
	h := Handler(NewRegistry(), Health{Ready: func() error { return reason }})
	if code, body := get(t, h, "/readyz"); code != 200 || !strings.Contains(body, `"ok"`) {
		t.Errorf("healthy: got %d %s", code, body)
	}
	reason = errors.New("the disk is full")
	if code, body := get(t, h, "/readyz"); code != 503 || !strings.Contains(body, "the disk is full") {
		t.Errorf("full disk: got %d %s", code, body)
	}
	if code, _ := get(t, h, "/healthz"); code != 200 {
		t.Errorf("healthz of a process that answers: got %d", code)
	}
}

func TestMetricsAndProfilesAreServed(t *testing.T) {
	h := Handler(NewRegistry(), Health{Ready: func() error { return nil }})
	if code, body := get(t, h, "/metrics"); code != 200 || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: got %d %.80s", code, body)
	}
	if code, body := get(t, h, "/debug/pprof/"); code != 200 || !strings.Contains(body, "heap") {
		t.Errorf("pprof: got %d %.80s", code, body)
	}
}

func TestLoggerRefusesUnknownFormatsAndLevels(t *testing.T) {
	for _, c := range []struct{ format, level string }{{"xml", "info"}, {"text", "loud"}} {
		if _, err := NewLogger(io.Discard, c.format, c.level); err == nil {
			t.Errorf("NewLogger(%q, %q) accepted", c.format, c.level)
		}
	}
	var b bytes.Buffer
	l, err := NewLogger(&b, JSON, "warn")
	if err != nil {
		t.Fatal(err)
	}
	l.Info("not this")
	l.Warn("this")
	if got := b.String(); strings.Contains(got, "not this") || !strings.Contains(got, `"msg":"this"`) {
		t.Errorf("got %q", got)
	}
}
