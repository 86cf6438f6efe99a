package tlspolicy

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
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

// TestWhoComesWhileAFetchEndsBeginsAnother has one that takes its time to end when
// nobody wants it any more.
func TestWhoComesWhileAFetchEndsBeginsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches stsFetches
		end, answer := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan *STSPolicy, 1)
		go func() {
			_, err := fetches.shared(ctx, "x", func(ctx context.Context) (*STSPolicy, error) {
				<-ctx.Done()
				<-end
				return nil, ctx.Err()
			})
			first <- err
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(first) > 0 {
			t.Error("who gave up left a fetch behind")
		}
		go func() {
			policy, _ := fetches.shared(t.Context(), "x", func(context.Context) (*STSPolicy, error) {
				<-answer
				return &STSPolicy{}, nil
			})
			second <- policy
		}()
		synctest.Wait()
		close(end)
		if err := <-first; err != context.Canceled {
			t.Errorf("who gave up: got %v, want that it was canceled", err)
		}
		close(answer)
		if <-second == nil {
			t.Error("who came then got the end of the other's")
		}
		if len(fetches.all) > 0 {
			t.Error("a fetch that has ended is still there")
		}
	})
}
