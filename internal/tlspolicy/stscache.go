package tlspolicy

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"postrider/internal/fault"
	"postrider/internal/resolver"
	"postrider/internal/store"
)

const (
	maxPolicies = 5000            // that are kept; those not fetched for longest go
	renewAfter  = 24 * time.Hour  // a policy is fetched anew, or at half its age
	retryAfter  = 5 * time.Minute // after a fetch that failed (RFC 8461 §3.3)
	maxFailures = 1000            // fetches that failed, remembered
)

// stsCache finds policies, and keeps them in the store.
type stsCache struct {
	resolver *resolver.Resolver
	records  store.Records
	client   *http.Client
	log      *slog.Logger
	fetches  stsFetches

	mu     sync.Mutex
	failed map[string]failedFetch
	stored int // policies in the store; -1: not counted yet
}

type failedFetch struct {
	at  time.Time
	id  string
	err *fetchError
}

// stsFound is what is known of a domain.
type stsFound struct {
	policy *STSPolicy // nil: none
	// failure says why a policy that there should be, or a newer one, could not be had.
	failure Failure
}

// storedPolicy is a policy's record.
type storedPolicy struct {
	ID      string        `json:"id"`
	Fetched time.Time     `json:"fetched"`
	Mode    Mode          `json:"mode"`
	MX      []string      `json:"mx,omitempty"`
	MaxAge  time.Duration `json:"max_age"`
}

func (s *storedPolicy) policy() *STSPolicy {
	return &STSPolicy{Mode: s.Mode, MX: s.MX, MaxAge: s.MaxAge}
}

func (s *storedPolicy) fresh(now time.Time) bool { return now.Before(s.Fetched.Add(s.MaxAge)) }

// due reports whether it is time to fetch it anew, though it is fresh.
func (s *storedPolicy) due(now time.Time) bool {
	return !now.Before(s.Fetched.Add(min(renewAfter, s.MaxAge/2)))
}

func newSTSCache(o Options) *stsCache {
	return &stsCache{
		resolver: o.Resolver, records: o.Records, client: newHTTPClient(o), log: o.Log,
		failed: map[string]failedFetch{}, stored: -1,
	}
}

// find returns a domain's policy (RFC 8461 §5.1): the one that is kept while it
// is fresh, or the one that its web server has. A policy in force stays so when a
// newer one can't be had, or the TXT record is gone (RFC 8461 §3.3, §10.2).
func (c *stsCache) find(ctx context.Context, domain string) (stsFound, error) {
	kept, err := c.load(ctx, domain)
	if err != nil {
		return stsFound{}, err
	}
	now := time.Now()
	if kept != nil && !kept.fresh(now) {
		kept = nil
	}
	// No answer is as good as no record (RFC 8461 §10.2): what is kept is in force.
	text, _ := oneRecord(ctx, c.resolver, "_mta-sts."+domain, stsVersion)
	id := stsID(text)
	switch {
	case id == "" && kept == nil:
		return stsFound{}, nil
	case id == "", kept != nil && kept.ID == id && !kept.due(now):
		return stsFound{policy: kept.policy()}, nil
	}
	found, err := c.renew(ctx, domain, id)
	if found.policy == nil && kept != nil {
		found.policy = kept.policy()
	}
	return found, err
}

// renew fetches a policy, once for all who want it now, unless that has just
// failed. The error is that of ctx.
func (c *stsCache) renew(ctx context.Context, domain, id string) (stsFound, error) {
	if f, ok := c.lately(domain, id); ok {
		return stsFound{failure: f.failure}, nil
	}
	policy, err := c.fetches.shared(ctx, domain+" "+id, func(ctx context.Context) (*STSPolicy, error) {
		return c.fetch(ctx, domain, id)
	})
	switch {
	case err == nil:
		return stsFound{policy: policy}, nil
	case ctx.Err() != nil:
		return stsFound{}, fault.New(fault.Transient, "fetch the MTA-STS policy of "+domain, ctx.Err())
	}
	return stsFound{failure: failureOf(err)}, nil
}

// fetch fetches a policy and keeps it, or remembers the failure, which is a
// *fetchError. When ctx ends nobody waits for it, and it is no failure of the server's.
func (c *stsCache) fetch(ctx context.Context, domain, id string) (*STSPolicy, error) {
	p, err := c.fetchGuarded(ctx, domain)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		c.remember(domain, id, err)
		c.log.Warn("no MTA-STS policy could be had; one that is kept stays in force", "domain", domain, "error", err)
		return nil, err
	}
	c.save(ctx, domain, &storedPolicy{ID: id, Fetched: time.Now(), Mode: p.Mode, MX: p.MX, MaxAge: p.MaxAge})
	return &p, nil
}

func failureOf(err error) Failure {
	if f, ok := err.(*fetchError); ok { // fetch returns nothing else
		return f.failure
	}
	return FailureFetch
}

// lately returns a failure that is not long ago.
func (c *stsCache) lately(domain, id string) (*fetchError, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.failed[domain]
	if !ok || f.id != id || time.Since(f.at) >= retryAfter {
		return nil, false
	}
	return f.err, true
}

func (c *stsCache) remember(domain, id string, err error) {
	f, ok := err.(*fetchError) // fetch returns nothing else
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, old := range c.failed {
		if len(c.failed) >= maxFailures || time.Since(old.at) >= retryAfter {
			delete(c.failed, other)
		}
	}
	c.failed[domain] = failedFetch{time.Now(), id, f}
}

// load reads what is kept; nil: nothing. What can't be understood is as good as
// nothing; that the store can't be read is an error.
func (c *stsCache) load(ctx context.Context, domain string) (*storedPolicy, error) {
	r, err := c.records.Record(ctx, stsPrefix+domain)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case fault.Is(err, fault.Corrupt):
		c.log.Error("the MTA-STS policy that was kept is damaged; it is fetched anew", "domain", domain, "error", err)
		return nil, nil
	case err != nil:
		return nil, fault.New(fault.Transient, "read the MTA-STS policy of "+domain, err)
	}
	var s storedPolicy
	if err := json.Unmarshal(r.Value, &s); err != nil {
		return nil, nil
	}
	return &s, nil
}

// save keeps a policy. If it can't, the policy holds for those who wait for it,
// and is fetched again for the next.
func (c *stsCache) save(ctx context.Context, domain string, s *storedPolicy) {
	value, err := json.Marshal(s)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = c.makeRoom(ctx, stsPrefix+domain); err == nil {
		err = c.records.PutRecord(ctx, store.Record{Key: stsPrefix + domain, Value: value, Changed: s.Fetched})
	}
	if err != nil {
		c.log.Warn("an MTA-STS policy could not be kept", "domain", domain, "error", err)
	}
}

// makeRoom removes what was not fetched for longest when there are too many, and
// counts the policy that is about to be stored. The caller holds mu.
func (c *stsCache) makeRoom(ctx context.Context, key string) error {
	if _, err := c.records.Record(ctx, key); err == nil {
		return nil // it is replaced
	}
	if c.stored >= 0 && c.stored < maxPolicies {
		c.stored++
		return nil
	}
	var oldest string
	var when time.Time
	n := 0
	for r, err := range c.records.ListRecords(ctx, stsPrefix) {
		if err != nil {
			return err
		}
		n++
		if oldest == "" || r.Changed.Before(when) {
			oldest, when = r.Key, r.Changed
		}
	}
	if n >= maxPolicies {
		if err := c.records.RemoveRecord(ctx, oldest); err != nil {
			return err
		}
		n--
	}
	c.stored = n + 1
	return nil
}
