package tlspolicy

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"postrider/internal/resolver/zonetest"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

func TestPoliciesThatWereNotFetchedForLongestGo(t *testing.T) {
	s := storetest.NewModel()
	now := time.Unix(1_000_000, 0)
	for i := range maxPolicies {
		r := store.Record{Key: fmt.Sprintf("%sd%d.test", stsPrefix, i), Value: []byte("{}"), Changed: now.Add(time.Duration(i) * time.Second)}
		if err := s.PutRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	c := newSTSCache(Options{Records: s, Resolver: zonetest.New(t, "").Resolver(t), Log: slog.New(slog.DiscardHandler)})
	for i := range 3 {
		c.save(t.Context(), fmt.Sprintf("new%d.test", i), &storedPolicy{Fetched: now.Add(time.Hour * 10)})
		c.save(t.Context(), fmt.Sprintf("new%d.test", i), &storedPolicy{Fetched: now.Add(time.Hour * 10)}) // replaced
	}
	there := map[string]bool{}
	for r, err := range s.ListRecords(context.Background(), stsPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		there[r.Key] = true
	}
	if len(there) != maxPolicies || there[stsPrefix+"d2.test"] || !there[stsPrefix+"d3.test"] || !there[stsPrefix+"new0.test"] {
		t.Errorf("%d are there; want %d, without the three oldest", len(there), maxPolicies)
	}
}

func TestReportsThatAreKeptAreBounded(t *testing.T) {
	s := storetest.NewModel()
	for i := range maxReportRecords {
		if err := s.PutRecord(t.Context(), store.Record{Key: fmt.Sprintf("%s2000-01-01/d%d.test", reportPrefix, i), Value: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	r := newReporter(Options{Records: s, Log: slog.New(slog.DiscardHandler)})
	if err := r.write(t.Context(), reportKey{"2000-01-01", "more.test"}, &results{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Record(t.Context(), reportPrefix+"2000-01-01/more.test"); err == nil {
		t.Error("one more is kept")
	}
	if err := r.write(t.Context(), reportKey{"2000-01-01", "d1.test"}, &results{}); err != nil {
		t.Error(err)
	}
}

func TestResultsMergeWithoutLosingSessions(t *testing.T) {
	var a, b results
	p := policyBlock{Type: "sts", Domain: "a.test"}
	for i := range 150 {
		a.add(p, detail{Type: FailureExpired, Helo: fmt.Sprint(i)}, 1)
		b.add(p, detail{Type: FailureExpired, Helo: fmt.Sprint(i + 100)}, 1)
		b.add(p, detail{}, 1)
	}
	a.merge(&b)
	if got := a.Blocks[0]; len(a.Blocks) != 1 || got.Summary != (summary{Successful: 150, Failed: 300}) || len(got.Details) != maxDetails {
		t.Errorf("got %+v with %d details", got.Summary, len(got.Details))
	}
	for i := range 100 {
		a.add(policyBlock{Type: "tlsa", Domain: fmt.Sprint(i)}, detail{}, 1)
	}
	if len(a.Blocks) != maxReportBlocks {
		t.Errorf("got %d policies", len(a.Blocks))
	}
}
