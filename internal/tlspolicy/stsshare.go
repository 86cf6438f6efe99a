package tlspolicy

import (
	"context"
	"sync"
)

// sharedFetch is the fetch of one policy for all who want it now. It goes on for as
// long as one of them waits.
type sharedFetch struct {
	cancel  context.CancelFunc
	waiting int           // guarded by stsFetches.mu
	done    chan struct{} // closed when policy and err are there
	policy  *STSPolicy
	err     error
}

// stsFetches are the fetches that are under way. The zero value is none.
type stsFetches struct {
	mu  sync.Mutex
	all map[string]*sharedFetch
}

// shared waits for a policy that another fetches already, or begins to fetch it, in a
// goroutine of its own. When ctx ends it waits no more: its error is that of ctx then,
// and a fetch for which nobody else waits has ended before it returns.
func (s *stsFetches) shared(ctx context.Context, key string, fetch func(context.Context) (*STSPolicy, error)) (*STSPolicy, error) {
	f := s.join(ctx, key, fetch)
	defer s.leave(key, f)
	select {
	case <-f.done:
		return f.policy, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// join returns the fetch that is under way, or begins it. Who joins has to leave.
func (s *stsFetches) join(ctx context.Context, key string, fetch func(context.Context) (*STSPolicy, error)) *sharedFetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.all[key]
	if f == nil {
		f = &sharedFetch{done: make(chan struct{})}
		ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx)) // others may want it for longer
		if s.all == nil {
			s.all = map[string]*sharedFetch{}
		}
		s.all[key] = f
		go func() {
			defer close(f.done)
			f.policy, f.err = fetch(ctx)
		}()
	}
	f.waiting++
	return f
}

// leave ends a fetch for which nobody waits any more; who comes next begins another.
func (s *stsFetches) leave(key string, f *sharedFetch) {
	s.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last {
		delete(s.all, key)
	}
	s.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}
