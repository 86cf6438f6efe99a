package login

import (
	"testing"
	"time"
)

func TestTableForgetsTheOldest(t *testing.T) {
	tb := newTable[string, int](2)
	a := tb.touch("a")
	tb.touch("b")
	tb.touch("a")
	tb.touch("c")
	if tb.len() != 2 || tb.get("b") != nil || tb.get("a") != a || tb.oldest() != a {
		t.Errorf("%d entries, a %v, b %v, oldest %v", tb.len(), tb.get("a"), tb.get("b"), tb.oldest().key)
	}
	tb.remove(a)
	tb.remove(a)
	again := tb.touch("a")
	tb.remove(a) // not the one that is there now
	if tb.len() != 2 || tb.get("a") != again {
		t.Errorf("%d entries after an entry was removed twice, want 2", tb.len())
	}
	for e := range tb.all {
		tb.remove(e)
	}
	if tb.len() != 0 || tb.oldest() != nil {
		t.Errorf("%d entries after all were removed", tb.len())
	}
}

func TestCountSlides(t *testing.T) {
	begin := time.Unix(1_000_000, 0)
	var c count
	for range 10 {
		c.add(begin, time.Hour)
	}
	for _, at := range []struct {
		after time.Duration
		want  int
	}{
		{-time.Minute, 10}, // a clock that was put back
		{0, 10},
		{59 * time.Minute, 10},
		{time.Hour, 10},
		{90 * time.Minute, 5},
		{119 * time.Minute, 0},
		{2 * time.Hour, 0},
		{100 * time.Hour, 0},
	} {
		if got := c.at(begin.Add(at.after), time.Hour); got != at.want {
			t.Errorf("%v later: %d, want %d", at.after, got, at.want)
		}
	}
}
