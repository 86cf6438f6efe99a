package outbound

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/mail"
	"postrider/internal/sinktest"
)

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	terms := Terms{}.over(defaultTerms)
	for attempts, want := range []time.Duration{1: 5, 2: 10, 3: 20, 4: 40, 5: 80, 6: 160, 7: 240, 8: 240, 1000: 240} {
		if want == 0 {
			continue
		}
		want *= time.Minute
		for range 100 {
			got := terms.pause(attempts, chance())
			if d := got - want; max(d, -d) > want/5 {
				t.Fatalf("after %d attempts: got %v, want about %v", attempts, got, want)
			}
		}
	}
}

func TestTheLastAttemptIsAtTheEnd(t *testing.T) {
	terms := Terms{Lifetime: time.Hour}.over(defaultTerms)
	accepted := time.Unix(1e9, 0)
	from := mail.Address{Local: "a", Domain: "b"}
	next, ok := terms.next(accepted.Add(59*time.Minute), accepted, from, 4*time.Hour, true)
	if !ok || next != accepted.Add(time.Hour) {
		t.Errorf("got %v %v, want the end", next, ok)
	}
	if _, ok := terms.next(accepted.Add(time.Hour), accepted, from, 4*time.Hour, true); ok {
		t.Error("there is an attempt after the end")
	}
}

func TestSpecialTermsTakeTheRestFromTheGeneral(t *testing.T) {
	o := Options{
		Terms:   Terms{Connections: 7, RetryFirst: time.Second},
		Special: []Special{{Domains: []string{".example.com"}, Terms: Terms{RetryMax: time.Minute}}, {Domains: []string{"*"}, Terms: Terms{Lifetime: time.Hour}}},
	}.withDefaults()
	sub, all := o.termsOf("a.example.com"), o.termsOf("example.com")
	if sub.Connections != 7 || sub.RetryFirst != time.Second || sub.RetryMax != time.Minute || sub.Lifetime != defaultTerms.Lifetime {
		t.Errorf("got %+v", sub)
	}
	if all.Lifetime != time.Hour || all.RetryMax != defaultTerms.RetryMax {
		t.Errorf("got %+v", all)
	}
}

func TestTheWindowHoldsWhatIsDueFirstAndKnowsThatThereIsMore(t *testing.T) {
	w := newWindow(100)
	start := time.Unix(1e9, 0)
	for i := range 1000 {
		w.add(fmt.Sprint(i), start.Add(time.Duration((i*7919)%1000)*time.Second))
	}
	if len(w.order) < 50 || len(w.order) > 100 || len(w.places) != len(w.order) || w.horizon.IsZero() {
		t.Fatalf("got %d entries, horizon %v", len(w.order), w.horizon)
	}
	last := start
	for {
		due, _ := w.next()
		if w.stale(due) {
			break
		}
		at := w.order[0].due
		if _, ok := w.pop(at); !ok || at.Before(last) {
			t.Fatalf("got %v after %v", at, last)
		}
		last = at
	}
	if last.Before(start.Add(48 * time.Second)) {
		t.Errorf("the store has to be asked again at %v already", last.Sub(start))
	}
	if w.horizon.Before(last) {
		t.Errorf("what had no room was due at %v, before %v", w.horizon, last)
	}
}

func TestAnEarlierTimeCountsInTheWindow(t *testing.T) {
	w := newWindow(10)
	start := time.Unix(1e9, 0)
	w.add("a", start.Add(time.Hour))
	w.add("a", start)
	w.add("a", start.Add(time.Minute))
	if name, ok := w.pop(start); !ok || name != "a" {
		t.Errorf("got %q %v", name, ok)
	}
	if _, ok := w.next(); ok {
		t.Error("it is there twice")
	}
}

func TestTheTimeOfMailThatWasHeldCountsFromItsRelease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		release := time.Now().Add(10 * 24 * time.Hour)
		id := s.queue("alice@example.org", func(o *Onward) { o.Due, o.Envelope.Hold = release, release }, "bob@remote.test")
		time.Sleep(10*24*time.Hour + time.Hour) // nobody is there
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || rows[0].Attempts == 0 || len(s.told()) != 0 {
			t.Errorf("an hour after the release: got %+v and notices %v", rows, s.told())
		}
		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		if n := s.told(); len(n) != 2 || n[0].what != "delayed" || n[1].what != "failed" {
			t.Errorf("got notices %v", n)
		}
	})
}

func TestDeliverByIsJudgedByAHostThatMayHaveTheMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Routes = []Route{{Name: "way", TLS: TLSEncrypt}} })
		o := sinktest.Options{Extensions: []string{"STARTTLS"}, On: on("STARTTLS", "454 4.7.0 not now")}
		s.host("203.0.114.1", o)
		s.host("203.0.114.2", o)
		id := s.queue("alice@example.org", func(o *Onward) {
			o.Envelope.DeliverBy = mail.DeliverBy{Deadline: time.Now().Add(time.Hour)}
		}, "bob@remote.test")
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || len(s.told()) != 0 {
			t.Errorf("got rows %+v and notices %v; before TLS a host need not say all that it offers", rows, s.told())
		}
	})
}
