package dkim

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// TestWhatWasGivenUpIsNotRemembered: who gives up while keys are looked up leaves
// nothing behind for others.
func TestWhatWasGivenUpIsNotRemembered(t *testing.T) {
	f := newForwarding(t)
	f.signing("example.org")
	id := mail.NewID(f.now)
	stored := f.stored(id, f.sign("example.org", eightBit))
	ctx, cancel := context.WithCancel(t.Context())
	txt := f.sealer.verifier.TXT
	f.sealer.verifier.TXT = func(c context.Context, _ string) ([]string, error) {
		cancel()
		<-c.Done()
		return nil, c.Err()
	}
	m := Forward{ID: id, Stored: strings.NewReader(stored), Converted: strings.NewReader(f.sevenBit(stored))}
	if fields, err := f.sealer.Seal(ctx, "hop.example", m); !fault.Is(err, fault.Transient) || len(fields) > 0 {
		t.Errorf("who gave up: got %q, %v, want a fault of kind transient", fields, err)
	}
	f.sealer.verifier.TXT = txt
	if _, results := f.forward(Forward{ID: id, Stored: strings.NewReader(stored)}); !strings.Contains(results, "dkim=pass") {
		t.Errorf("another host is told %q, want dkim=pass", results)
	}
}

// TestNoKeyIsLookedUpForWhatIsNotSealed: nobody is told what would be found.
func TestNoKeyIsLookedUpForWhatIsNotSealed(t *testing.T) {
	f := newForwarding(t)
	m := strings.Replace(hops(f.site, 2), "dot", "dots", 1)
	f.signing("hop3.example")
	m = f.seal("hop3.example", "mail.hop3.example", m) // it has failed
	if _, results := f.forward(Forward{Stored: strings.NewReader(m)}); results != "" {
		t.Errorf("sealed with %q", results)
	}
	if f.lookups != 0 {
		t.Errorf("%d names were looked up", f.lookups)
	}
}

func TestWhoWaitsForAFindingMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForwarding(t)
		f.signing("example.org")
		id := mail.NewID(f.now)
		stored := f.stored(id, f.sign("example.org", eightBit))
		txt, answer := f.sealer.verifier.TXT, make(chan struct{})
		f.sealer.verifier.TXT = func(ctx context.Context, name string) ([]string, error) {
			<-answer
			return txt(ctx, name)
		}
		seal := func(ctx context.Context) error {
			_, err := f.sealer.Seal(ctx, "hop.example", Forward{ID: id, Stored: strings.NewReader(stored)})
			return err
		}
		first := make(chan error)
		go func() { first <- seal(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := seal(ctx); !fault.Is(err, fault.Transient) { // deadlock: it waits for the other's look-ups
			t.Errorf("got %v, want a fault of kind transient", err)
		}
		close(answer)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestFindingsAreBounded(t *testing.T) {
	var s findings
	for range 3 * maxFindings {
		id := mail.NewID(testTime)
		if _, err := s.get(t.Context(), id, testTime, func() (finding, error) { return finding{}, nil }); err != nil {
			t.Fatal(err)
		}
		if len(s.known) > maxFindings || s.known[id] == nil {
			t.Fatalf("%d are kept, the last one: %t", len(s.known), s.known[id] != nil)
		}
	}
}
