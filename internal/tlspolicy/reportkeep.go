package tlspolicy

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

const (
	reportPrefix = "tlsrpt/"
	silentFor    = time.Hour     // before a domain is asked again whether it wants reports
	sendWithin   = 4 * time.Hour // after midnight UTC, at random (RFC 8460 §4.1)
)

// keptReport is a report's record.
type keptReport struct {
	Results  results   `json:"results"`
	Due      time.Time `json:"due"`
	Attempts int       `json:"attempts,omitempty"`
	Done     []string  `json:"done,omitempty"` // addresses that have it
}

func (k reportKey) record() string { return reportPrefix + k.day + "/" + k.domain }

// end is the midnight after the day.
func (k reportKey) end() time.Time {
	day, err := time.Parse(time.DateOnly, k.day)
	if err != nil {
		return time.Time{}
	}
	return day.AddDate(0, 0, 1)
}

func parseReportKey(record string) (reportKey, bool) {
	day, domain, ok := strings.Cut(strings.TrimPrefix(record, reportPrefix), "/")
	k := reportKey{day, domain}
	return k, ok && !k.end().IsZero()
}

// flush writes what was counted to the store, of the domains that ask for
// reports. What can't be written stays for the next time.
func (r *reporter) flush(ctx context.Context) {
	for key, counted := range r.take() {
		if time.Since(key.end()) > 24*time.Hour {
			continue // too late for a report
		}
		wanted, err := reportAddresses(ctx, r.o.Resolver, key.domain)
		if err == nil && len(wanted) == 0 {
			r.silence(key.domain)
			continue
		}
		if err == nil {
			err = r.write(ctx, key, counted)
		}
		if err != nil {
			r.giveBack(key, counted)
			r.o.Log.Warn("results of TLS could not be written", "domain", key.domain, "error", err)
		}
	}
}

// take takes what is pending.
func (r *reporter) take() map[reportKey]*results {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.pending
	r.pending = map[reportKey]*results{}
	return all
}

// giveBack has results written the next time, if there is room for them.
func (r *reporter) giveBack(key reportKey, counted *results) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch newer := r.pending[key]; {
	case newer != nil:
		counted.merge(newer)
	case len(r.pending) >= maxReportDomains:
		return
	}
	r.pending[key] = counted
}

// silence remembers for a while that a domain asks for no report.
func (r *reporter) silence(domain string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, until := range r.silent {
		if len(r.silent) >= maxReportDomains || !now.Before(until) {
			delete(r.silent, other)
		}
	}
	r.silent[domain] = now.Add(silentFor)
}

// write adds results to a record.
func (r *reporter) write(ctx context.Context, key reportKey, counted *results) error {
	k, err := r.read(ctx, key)
	if fault.Is(err, fault.NotFound) {
		if r.tooMany(ctx) {
			return nil
		}
		k, err = keptReport{Due: key.end().Add(rand.N(sendWithin))}, nil
	}
	if err != nil {
		return err
	}
	k.Results.merge(counted)
	return r.put(ctx, key, k)
}

func (r *reporter) read(ctx context.Context, key reportKey) (keptReport, error) {
	var k keptReport
	record, err := r.o.Records.Record(ctx, key.record())
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(record.Value, &k); err != nil {
		return k, fault.New(fault.NotFound, "read the results of "+key.domain, err) // begin anew
	}
	return k, nil
}

func (r *reporter) put(ctx context.Context, key reportKey, k keptReport) error {
	value, err := json.Marshal(k)
	if err != nil {
		return fault.New(fault.Internal, "write the results of "+key.domain, err)
	}
	return r.o.Records.PutRecord(ctx, store.Record{Key: key.record(), Value: value, Changed: time.Now()})
}

// tooMany reports whether as many reports are kept as may be.
func (r *reporter) tooMany(ctx context.Context) bool {
	n := 0
	for _, err := range r.o.Records.ListRecords(ctx, reportPrefix) {
		if err != nil {
			return true
		}
		n++
	}
	if n < maxReportRecords {
		return false
	}
	r.o.Log.Warn("too many reports about TLS are kept; results of further domains are not counted", "kept", n)
	return true
}
