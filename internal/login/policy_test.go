package login

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
)

func TestOwnerIsNotSlowedWhileAnotherGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.people.takes = 50 * time.Millisecond
		attacker, owner := from(t, "192.0.2.66"), from(t, "198.51.100.7")
		var all sync.WaitGroup
		for i := range 10_000 {
			all.Go(func() { _, _ = d.Password(attacker, "alice@example.org", fmt.Sprint("guess", i)) })
		}
		for range 20 {
			synctest.Wait()
			begun := time.Now()
			if _, err := d.Password(owner, "alice@example.org", alicesPassword); err != nil {
				t.Fatalf("the owner's login: %v", err)
			}
			if took := time.Since(begun); took != d.people.takes {
				t.Fatalf("the owner's login took %v, want %v", took, d.people.takes)
			}
		}
		all.Wait()
		if got, want := d.people.checks-20, DefaultPairFailures; got != want {
			t.Errorf("%d guesses were looked at, want %d", got, want)
		}
	})
}

func TestParallelLoginsHaveNoMoreGuessesThanOne(t *testing.T) {
	for _, c := range []struct {
		name string
		who  func(i int) string
		want int
	}{
		{"one account", func(int) string { return "alice@example.org" }, DefaultPairFailures},
		{"an account in many spellings", func(i int) string {
			return []string{"alice@example.org", "ALICE@Example.Org", `"alice"@example.org`, "ａｌｉｃｅ@example.org", "alice@EXAMPLE.org"}[i%5]
		}, DefaultPairFailures},
		{"many accounts", func(i int) string { return fmt.Sprintf("a%d@example.org", i) }, DefaultAddressFailures},
		{"names that are none", func(i int) string { return fmt.Sprintf("*)(uid=%d", i) }, DefaultAddressFailures},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				d.people.takes = 50 * time.Millisecond
				var all sync.WaitGroup
				for i := range 1000 {
					all.Go(func() { _, _ = d.Password(from(t, "192.0.2.66"), c.who(i), "wrong") })
				}
				all.Wait()
				if d.people.checks != c.want {
					t.Errorf("%d guesses were looked at, want %d", d.people.checks, c.want)
				}
			})
		})
	}
}

func TestManyRightLoginsAtOnceAreAllServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.people.takes = 50 * time.Millisecond
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if _, err := d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword); err != nil {
					t.Errorf("a right password: %v", err)
				}
			})
		}
		all.Wait()
		if n := d.guard.pairs.len() + d.guard.addresses.len(); n != 0 {
			t.Errorf("%d records are kept of logins that were all right", n)
		}
	})
}

func TestWhoWaitsForAPlaceAndGoesLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.PairFailures = 1 })
		d.people.takes = time.Second
		var all sync.WaitGroup
		all.Go(func() { _, _ = d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword) })
		synctest.Wait()
		gone := from(t, "192.0.2.1")
		ctx, cancel := context.WithCancel(t.Context())
		gone.Context = ctx
		all.Go(func() {
			_, err := d.Password(gone, "alice@example.org", "wrong")
			wantKind(t, "a login whose client is gone", err, "transient")
		})
		synctest.Wait()
		cancel()
		all.Wait()
		_, err := d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword)
		wantKind(t, "the next login", err, "ok")
		if n := d.guard.pairs.len() + d.guard.addresses.len(); n != 0 || d.people.checks != 2 {
			t.Errorf("%d records and %d looks, want 0 and 2", n, d.people.checks)
		}
	})
}

func TestPairIsLockedOutWithoutALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		c := from(t, "192.0.2.66")
		d.fails(t, c, "alice@example.org", DefaultPairFailures)
		begun, looks := time.Now(), d.people.checks
		_, err := d.Password(c, "alice@example.org", alicesPassword)
		wantKind(t, "the right password", err, "busy")
		_, err = d.Password(c, "Alice@example.org", "wrong")
		wantKind(t, "a wrong password", err, "busy")
		if d.people.checks != looks || time.Now() != begun {
			t.Errorf("%d looks in %v, want none in no time", d.people.checks-looks, time.Since(begun))
		}
		_, err = d.Password(c, "bob@example.org", bobsPassword)
		wantKind(t, "another account from there", err, "ok")
		time.Sleep(DefaultLockout)
		_, err = d.Password(c, "alice@example.org", "wrong")
		wantKind(t, "a wrong password after the lock-out", err, "denied")
		_, err = d.Password(c, "alice@example.org", alicesPassword)
		wantKind(t, "a further failure locks out again", err, "busy")
		time.Sleep(DefaultLockout)
		_, err = d.Password(c, "alice@example.org", alicesPassword)
		wantKind(t, "the right password after the lock-out", err, "ok")
		d.fails(t, c, "alice@example.org", DefaultPairFailures) // the success has cleared the pair
	})
}

func TestAddressLockoutSparesWhoLatelyLoggedInFromThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		office := from(t, "192.0.2.1")
		if _, err := d.Password(office, "alice@example.org", alicesPassword); err != nil {
			t.Fatal(err)
		}
		for i := range DefaultAddressFailures {
			d.fails(t, office, fmt.Sprintf("x%d@example.org", i), 1)
		}
		_, err := d.Password(office, "bob@example.org", bobsPassword)
		wantKind(t, "bob, who has not", err, "busy")
		_, err = d.Password(office, "alice@example.org", alicesPassword)
		wantKind(t, "alice, who has", err, "ok")
		_, err = d.Password(from(t, "192.0.2.2"), "bob@example.org", bobsPassword)
		wantKind(t, "bob from elsewhere", err, "ok")
		d.fails(t, office, "alice@example.org", DefaultPairFailures)
		_, err = d.Password(office, "alice@example.org", alicesPassword)
		wantKind(t, "alice, after somebody there has guessed at her account", err, "busy")
	})
}

func TestSuccessClearsThePairAndNotTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.AddressFailures = 12 })
		c := from(t, "192.0.2.1")
		d.fails(t, c, "bob@example.org", 9)
		if _, err := d.Password(c, "bob@example.org", bobsPassword); err != nil {
			t.Fatal(err)
		}
		d.fails(t, c, "bob@example.org", 3)
		_, err := d.Password(c, "alice@example.org", alicesPassword)
		wantKind(t, "after 12 failures of the address", err, "busy")
		_, err = d.Password(c, "bob@example.org", bobsPassword)
		wantKind(t, "after 3 failures of the pair", err, "ok")
	})
}

func TestUnknownNamesAreHandledLikeKnownOnes(t *testing.T) {
	run := func(t *testing.T, name string) (answers []string) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, nil)
			for range DefaultPairFailures + 2 {
				begun := time.Now()
				_, err := d.Password(from(t, "192.0.2.1"), name, "wrong")
				answers = append(answers, fmt.Sprintf("%v in %v", err, time.Since(begun)))
			}
		})
		return answers
	}
	want := strings.Join(run(t, "alice@example.org"), "\n")
	for _, name := range []string{
		"nobody@example.org", "alice@elsewhere.example", "alice", "*)(uid=*", "a' OR '1'='1", "a\x01\x1b[2J",
		strings.Repeat("x", 5000), "\xff\xfe", "alice@", "@", "…",
	} {
		if got := strings.Join(run(t, name), "\n"); got != want {
			t.Errorf("%q got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestAnswersToFailuresAreDelayedMoreAndMore(t *testing.T) {
	want := []time.Duration{
		time.Second, time.Second, time.Second, time.Second, 2 * time.Second,
		4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second,
	}
	measure := func(t *testing.T, d *desk, address, name string) time.Duration {
		begun := time.Now()
		_, _ = d.Password(from(t, address), name, "wrong")
		return time.Since(begun)
	}
	for _, c := range []struct {
		name string
		try  func(t *testing.T, d *desk, i int) time.Duration
	}{
		{"of one address", func(t *testing.T, d *desk, i int) time.Duration {
			return measure(t, d, "192.0.2.1", fmt.Sprintf("x%d@example.org", i))
		}},
		{"of one account", func(t *testing.T, d *desk, i int) time.Duration {
			return measure(t, d, fmt.Sprintf("192.0.2.%d", i), "alice@example.org")
		}},
		{"of one IPv6 network", func(t *testing.T, d *desk, i int) time.Duration {
			return measure(t, d, fmt.Sprintf("2001:db8::%d:1", i), fmt.Sprintf("x%d@example.org", i))
		}},
		{"of an address written as IPv6", func(t *testing.T, d *desk, i int) time.Duration {
			return measure(t, d, []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2], fmt.Sprintf("x%d@example.org", i))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				for i, want := range want {
					if got := c.try(t, d, i); got != want {
						t.Errorf("failure %d: %v, want %v", i+1, got, want)
					}
				}
				begun := time.Now()
				if _, err := d.Password(from(t, "203.0.113.9"), "alice@example.org", alicesPassword); err != nil || time.Since(begun) != 0 {
					t.Errorf("a success: %v after %v, want nil at once", err, time.Since(begun))
				}
			})
		})
	}
}

// TestTimeOfAFailureTellsNothing is about accounts whose hash takes another time
// than that for names that nobody has.
func TestTimeOfAFailureTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		for i := range 7 {
			var took []time.Duration
			for j, takes := range []time.Duration{0, 20 * time.Millisecond, 900 * time.Millisecond} {
				d.people.takes = takes
				begun := time.Now()
				_, _ = d.Password(from(t, fmt.Sprintf("192.0.2.%d", 1+j)), fmt.Sprintf("x%d@example.org", 10*i+j), "wrong")
				took = append(took, time.Since(begun))
			}
			if took[0] != took[1] || took[1] != took[2] {
				t.Errorf("failure %d is answered after %v", i+1, took)
			}
		}
	})
}

func TestNeighboursInIPv6AreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.fails(t, from(t, "2001:db8:0:1::1"), "alice@example.org", DefaultPairFailures)
		_, err := d.Password(from(t, "2001:db8:0:1:ffff::1"), "alice@example.org", alicesPassword)
		wantKind(t, "the same /64", err, "busy")
		_, err = d.Password(from(t, "2001:db8:0:2::1"), "alice@example.org", alicesPassword)
		wantKind(t, "the next /64", err, "ok")
	})
}

func TestWhoGuessesFromManyNetworksOfOneSiteIsLockedOutAsASite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.Window = 24 * time.Hour })
		_, err := d.Password(from(t, "2001:db8:0:ffff::1"), "alice@example.org", alicesPassword)
		wantKind(t, "alice, before", err, "ok")
		for i := range DefaultAddressFailures * siteFactor {
			d.fails(t, from(t, fmt.Sprintf("2001:db8:0:%x::1", i)), fmt.Sprintf("u%d@example.org", i), 1)
		}
		_, err = d.Password(from(t, "2001:db8:0:eeee::1"), "alice@example.org", alicesPassword)
		wantKind(t, "alice, from another network of the site", err, "busy")
		_, err = d.Password(from(t, "2001:db8:0:ffff::1"), "alice@example.org", alicesPassword)
		wantKind(t, "alice, from where she has been", err, "ok")
		_, err = d.Password(from(t, "2001:db8:1::1"), "alice@example.org", alicesPassword)
		wantKind(t, "alice, from another site", err, "ok")
		if locks := d.Locked(); len(locks) != 1 || locks[0].Address != "2001:db8::/48" {
			t.Errorf("locked out are %v, want the site alone", locks)
		}
	})
}

func TestAServerThatStopsHoldsNoAnswerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		answered := make(chan time.Duration)
		begun := time.Now()
		go func() {
			d.fails(t, from(t, "192.0.2.1"), "alice@example.org", 5)
			answered <- time.Since(begun)
		}()
		synctest.Wait() // the first answer is held back
		d.Stop()
		if took := <-answered; took != 0 {
			t.Errorf("the answers took %v, want none of it", took)
		}
		d.Stop() // a second time it does nothing
	})
}

func TestDelayEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		c := from(t, "192.0.2.1")
		d.fails(t, c, "alice@example.org", 6)
		ctx, cancel := context.WithCancel(t.Context())
		c.Context = ctx
		begun := time.Now()
		time.AfterFunc(time.Second, cancel)
		_, err := d.Password(c, "alice@example.org", "wrong")
		wantKind(t, "the answer", err, "denied")
		if got := time.Since(begun); got != time.Second {
			t.Errorf("held back for %v, want 1s", got)
		}
	})
}

func TestTooManyAnswersHeldBackAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		address := func(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250, i%250) }
		var all sync.WaitGroup
		for i := range maxHeld {
			all.Go(func() { _, _ = d.Password(from(t, address(i)), "alice@example.org", "wrong") })
			synctest.Wait()
		}
		begun := time.Now()
		_, err := d.Password(from(t, "10.2.0.1"), "alice@example.org", "wrong")
		wantKind(t, "one more", err, "busy")
		if time.Since(begun) != 0 {
			t.Errorf("held back for %v, want 0s", time.Since(begun))
		}
		all.Wait()
		if n := d.held.Load(); n != 0 {
			t.Errorf("%d answers are held back at the end", n)
		}
	})
}

func TestTooManyWhoWaitAtOneGateAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.PairFailures = 1 })
		ctx, cancel := context.WithCancel(t.Context())
		enter := func() (*pass, error) {
			return d.guard.enter(ctx, netip.MustParseAddr("192.0.2.1"), "alice@example.org")
		}
		inside, err := enter()
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range maxQueue {
			all.Go(func() {
				_, err := enter()
				wantKind(t, "one whose client has gone", err, "transient")
			})
		}
		synctest.Wait()
		_, err = enter()
		wantKind(t, "one more", err, "busy")
		cancel()
		all.Wait()
		inside.abandon()
	})
}

func TestALoginSparesFromTheLockOutOfItsAddressForSomeDays(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		kind  string
	}{{"an hour before", knownFor - time.Hour, "ok"}, {"afterwards", knownFor, "busy"}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, undelayed)
				_, err := d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword)
				wantKind(t, "the login", err, "ok")
				time.Sleep(c.after)
				for i := range DefaultAddressFailures {
					d.fails(t, from(t, "192.0.2.1"), fmt.Sprintf("u%d@example.org", i), 1)
				}
				_, err = d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword)
				wantKind(t, "alice", err, c.kind)
			})
		})
	}
}

func TestFailuresCountWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.MaxDelay = -1 })
		c := from(t, "192.0.2.1")
		for range 5 {
			d.fails(t, c, "alice@example.org", DefaultPairFailures-1)
			time.Sleep(2 * DefaultWindow)
		}
		if locks := d.Locked(); len(locks) != 0 {
			t.Errorf("locked out: %v", locks)
		}
	})
}

func TestTrustedAddressesAreNeverHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) {
			o.Policy.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::/48")}
		})
		for _, address := range []string{"192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"} {
			begun := time.Now()
			d.fails(t, from(t, address), "alice@example.org", 200)
			_, err := d.Password(from(t, address), "alice@example.org", alicesPassword)
			wantKind(t, address, err, "ok")
			if time.Since(begun) != 0 {
				t.Errorf("%s: held up for %v", address, time.Since(begun))
			}
		}
	})
}

func TestLimitsCanBeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) {
			o.Policy = Policy{MaxDelay: -1, PairFailures: -1, AddressFailures: -1}
		})
		begun := time.Now()
		d.fails(t, from(t, "192.0.2.1"), "alice@example.org", 500)
		if time.Since(begun) != 0 {
			t.Errorf("held up for %v", time.Since(begun))
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.MaxTracked = 100; o.Policy.MaxDelay = -1 })
		for i := range 1000 {
			d.people.add(fmt.Sprintf("u%d@example.org", i), "right")
			c := from(t, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
			d.fails(t, c, fmt.Sprintf("x%d@example.org", i), 1)
			if _, err := d.Password(c, fmt.Sprintf("u%d@example.org", i), "right"); err != nil {
				t.Fatal(err)
			}
		}
		g := d.guard
		for what, n := range map[string]int{
			"addresses": g.addresses.len(), "pairs": g.pairs.len(), "accounts": g.accounts.len(),
			"known": g.known.len(), "visits": d.visits.table.len(),
		} {
			if n > 100 || n < 99 { // a login under way takes a place
				t.Errorf("%d %s are remembered, want 99 or 100", n, what)
			}
		}
	})
}

func TestTroubleIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		c := from(t, "192.0.2.1")
		for _, k := range []fault.Kind{fault.Transient, fault.ReadOnly, fault.Internal, fault.Busy, fault.Corrupt} {
			d.people.trouble = fault.New(k, "look up", nil)
			for range 20 {
				_, err := d.Password(c, "alice@example.org", alicesPassword)
				wantKind(t, "with trouble", err, k.String())
			}
		}
		d.people.trouble = nil
		_, err := d.Password(c, "alice@example.org", alicesPassword)
		wantKind(t, "afterwards", err, "ok")
	})
}

func TestUnblock(t *testing.T) {
	for _, c := range []struct {
		what    string
		n, left int
		kind    string
	}{
		{"192.0.2.1", 2, 1, "ok"}, // the address and the pair
		{"192.0.2.0/24", 2, 1, "ok"},
		{"::ffff:192.0.2.1", 2, 1, "ok"},
		{"2001:db8::5", 3, 1, "ok"}, // and the site
		{"2001:db8::/32", 3, 1, "ok"},
		{"0.0.0.0/0", 2, 1, "ok"},
		{"alice@example.org", 3, 0, "ok"}, // two pairs and the account
		{"ALICE@example.org", 3, 0, "ok"},
		{"bob@example.org", 0, 2, "not found"},
		{"198.51.100.1", 0, 2, "not found"},
		{"alice", 0, 2, "invalid"},
		{"", 0, 2, "invalid"},
		{"192.0.2.1/33", 0, 2, "invalid"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				for _, a := range []string{"192.0.2.1", "2001:db8::1"} {
					d.fails(t, from(t, a), "alice@example.org", DefaultPairFailures)
				}
				n, err := d.Unblock(t.Context(), c.what)
				wantKind(t, "the answer", err, c.kind)
				if n != c.n {
					t.Errorf("%d records forgotten, want %d", n, c.n)
				}
				if locks := d.Locked(); len(locks) != c.left {
					t.Errorf("still locked out: %v, want %d", locks, c.left)
				}
			})
		})
	}
}

func TestLockedSaysWhoAndUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.MaxDelay = -1 })
		d.fails(t, from(t, "192.0.2.1"), "Alice@example.org", DefaultPairFailures)
		first := time.Now()
		time.Sleep(time.Minute)
		for i := range DefaultAddressFailures {
			d.fails(t, from(t, "2001:db8::1"), fmt.Sprint("guess", i), 1)
		}
		for range 3 {
			_, _ = d.Password(from(t, "192.0.2.1"), "alice@example.org", "wrong")
		}
		want := []Lock{
			{Address: "192.0.2.1", Account: "Alice@example.org", Since: first, Until: first.Add(DefaultLockout), Refused: 3},
			{Address: "2001:db8::/64", Since: time.Now(), Until: time.Now().Add(DefaultLockout)},
		}
		if got := fmt.Sprint(d.Locked()); got != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		time.Sleep(DefaultLockout)
		if got := d.Locked(); len(got) != 0 {
			t.Errorf("afterwards: %v, want none", got)
		}
	})
}
