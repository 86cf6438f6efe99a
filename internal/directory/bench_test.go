package directory

import (
	"testing"
	"time"
)

// BenchmarkAuthenticateRemembered is a client that polls: its last login is
// remembered, and no password is hashed.
func BenchmarkAuthenticateRemembered(b *testing.B) {
	h := newHouse(b, Options{CacheTTL: time.Hour})
	h.accounts("alice@a.test")
	h.ok(h.login("alice@a.test", "secret"))
	before := h.hashes.Load()
	b.ReportAllocs()
	for b.Loop() {
		if err := h.login("alice@a.test", "secret"); err != nil {
			b.Fatal(err)
		}
	}
	if n := h.hashes.Load() - before; n != 0 {
		b.Fatalf("%d passwords were hashed", n)
	}
}

// BenchmarkAuthenticateHashed is what a login costs that is not remembered, at
// the default costs of argon2id.
func BenchmarkAuthenticateHashed(b *testing.B) {
	h := newHouse(b, Options{CacheTTL: -1})
	h.o.Argon2 = DefaultArgon2
	h.accounts("alice@a.test")
	b.ReportAllocs()
	for b.Loop() {
		if err := h.login("alice@a.test", "secret"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	h := newHouse(b, Options{})
	h.accounts("alice@a.test")
	a := address(b, "alice+tag@a.test")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Resolve(h.ctx, a); err != nil {
			b.Fatal(err)
		}
	}
}
