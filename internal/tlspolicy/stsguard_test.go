package tlspolicy

import (
	"log/slog"
	"net/http"
	"testing"
)

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("answer") }

func TestAFetchThatPanicsHasFailed(t *testing.T) {
	c := newSTSCache(Options{Log: slog.New(slog.DiscardHandler)})
	c.client.Transport = panicking{}
	found, err := c.renew(t.Context(), "example.test", "1")
	if err != nil || found.policy != nil || found.failure != FailureFetch {
		t.Errorf("got %+v, %v", found, err)
	}
	if _, ok := c.lately("example.test", "1"); !ok {
		t.Error("the failure is not remembered")
	}
}
