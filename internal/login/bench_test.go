package login

import "testing"

// BenchmarkKnownClient is what this package adds to a login that is right.
func BenchmarkKnownClient(b *testing.B) {
	d := newDesk(b, func(o *Options) { o.Logger = nil })
	c := from(b, "192.0.2.1")
	for b.Loop() {
		if _, err := d.Password(c, "alice@example.org", alicesPassword); err != nil {
			b.Fatal(err)
		}
	}
}
