package srs

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
)

var (
	testTime = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	ours     = New(bytes.Repeat([]byte{7}, KeySize))
)

func parsed(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func TestWhatIsRewrittenIsFoundAgain(t *testing.T) {
	for _, s := range []string{
		"alice@far.example", "Alice.B@far.example", "a=b=c@far.example", "x+tag@far.example", `"a b"@far.example`, "a@[192.0.2.1]", "SRS@far.example", "SRS2=x@far.example",
	} {
		from := parsed(t, s)
		got, err := ours.Forward(from, "our.test", testTime)
		if err != nil || got.Domain != "our.test" || !Is(got) {
			t.Errorf("%s: got %v, %v", s, got, err)
			continue
		}
		for _, days := range []int{0, 1, 21} {
			back, err := ours.Reverse(got, testTime.AddDate(0, 0, days))
			if err != nil || back != from {
				t.Errorf("%s as %s after %d days: got %v, %v", s, got, days, back, err)
			}
		}
		if back, err := ours.Reverse(got, testTime.Add(-time.Hour*11)); err != nil || back != from {
			t.Errorf("%s by a clock that is behind: got %v, %v", s, back, err)
		}
	}
}

func TestASecondForwarderLeadsBackToTheFirst(t *testing.T) {
	first, second, third := ours, New(bytes.Repeat([]byte{8}, KeySize)), New(bytes.Repeat([]byte{9}, KeySize))
	a, err := first.Forward(parsed(t, "bob@far.example"), "one.test", testTime)
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.Forward(a, "two.test", testTime)
	if err != nil || !strings.HasPrefix(b.Local, "SRS1=") {
		t.Fatalf("got %v, %v", b, err)
	}
	c, err := third.Forward(b, "three.test", testTime)
	if err != nil || len(c.Local) != len(b.Local) {
		t.Fatalf("got %v, %v; want it no longer than %v", c, err, b)
	}
	for name, back := range map[string]func() (mail.Address, error){
		"second": func() (mail.Address, error) { return second.Reverse(b, testTime) },
		"third":  func() (mail.Address, error) { return third.Reverse(c, testTime) },
	} {
		if got, err := back(); err != nil || got != a {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, a)
		}
	}
	// Another program's separator stays.
	other, err := first.Forward(parsed(t, "SRS0+x=y=z.test=u@o.test"), "our.test", testTime)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := first.Reverse(other, testTime); err != nil || got.String() != "SRS0+x=y=z.test=u@o.test" {
		t.Errorf("got %v, %v", got, err)
	}
	// What only looks like the scheme's is rewritten as any other.
	odd, err := first.Forward(parsed(t, "SRS1=x@o.test"), "our.test", testTime)
	if err != nil || !strings.HasPrefix(odd.Local, "SRS0=") {
		t.Errorf("got %v, %v", odd, err)
	}
}

func TestForgedAndOldAddressesLeadNowhere(t *testing.T) {
	good, err := ours.Forward(parsed(t, "bob@far.example"), "our.test", testTime)
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, replacement string) string { return strings.Replace(good.Local, old, replacement, 1) }
	for _, c := range []struct {
		name, local string
		days        int
		want        error
	}{
		{"upper case", strings.ToUpper(good.Local), 0, nil},
		{"another address", change("bob", "eve"), 0, errForged},
		{"another domain", change("far", "near"), 0, errForged},
		{"another version", change("SRS0", "SRS1"), 0, errForged},
		{"nothing", "SRS0=x", 0, errForged},
		{"no day", "SRS0=abcdefgh=a=b=c", 0, errForged},
		{"no hash", "SRS0==aa=far.example=bob", 0, errForged},
		{"too old", good.Local, 22, errOld},
		{"far too old", good.Local, 1000, errOld},
		{"from tomorrow", good.Local, -1, nil},
		{"from the future", good.Local, -2, errOld},
	} {
		got, err := ours.Reverse(mail.Address{Local: c.local, Domain: "our.test"}, testTime.AddDate(0, 0, c.days))
		if !errors.Is(err, c.want) || err == nil && !strings.EqualFold(got.Local, "bob") {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	if _, err := New(make([]byte, KeySize)).Reverse(good, testTime); !errors.Is(err, errForged) {
		t.Errorf("with another key: got %v", err)
	}
}

func TestAddressesThatAreTooLongAreNotRewritten(t *testing.T) {
	long := mail.Address{Local: strings.Repeat("x", 40), Domain: "far.example"}
	if got, err := ours.Forward(long, "our.test", testTime); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ours.Forward(mail.Address{}, "our.test", testTime); !errors.Is(err, errNothing) {
		t.Errorf("the null reverse-path: got %v, %v", got, err)
	}
}

// Whatever comes from outside: what is led back was made here, and what is made
// here is an address that others can parse.
func FuzzReverse(f *testing.F) {
	for _, s := range []string{"SRS0=abcdefgh=aa=far.example=bob", "SRS1=abcdefgh=one.test==x=y=z=u", "srs0+", "SRS1==", "SRS0=\x00=aa==", "a b", "SRS1=a=[1]=+"} {
		f.Add(s, "far.example")
	}
	f.Fuzz(func(t *testing.T, local, domain string) {
		a := mail.Address{Local: local, Domain: domain}
		if got, err := ours.Reverse(a, testTime); err == nil {
			t.Fatalf("%q leads to %v", local, got)
		}
		a, err := mail.ParseAddress(a.String())
		if err != nil {
			return
		}
		made, err := ours.Forward(a, "our.test", testTime)
		if err != nil {
			return
		}
		if again, err := mail.ParseAddress(made.String()); err != nil || again != made {
			t.Fatalf("%v becomes %v: %v, %v", a, made, again, err)
		}
		back, err := ours.Reverse(made, testTime)
		if err != nil {
			t.Fatalf("%v becomes %v: %v", a, made, err)
		}
		if !Is(a) && back != a {
			t.Fatalf("%v becomes %v becomes %v", a, made, back)
		}
	})
}
