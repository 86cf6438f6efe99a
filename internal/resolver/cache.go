package resolver

import (
	"sync"
	"time"
)

// entryOctets is what an entry costs beyond its message, roughly.
const entryOctets = 200

type key struct {
	name string
	kind uint16
}

// cache keeps answers while they are fresh, within a bound.
type cache struct {
	bound int // octets

	mu   sync.Mutex
	kept map[key]kept
	held int // octets
}

type kept struct {
	answer
	until time.Time
}

func newCache(bound int) *cache { return &cache{bound: bound, kept: map[key]kept{}} }

func (c *cache) get(k key) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.kept[k]
	if !ok {
		return answer{}, false
	}
	if !time.Now().Before(e.until) {
		c.drop(k, e)
		return answer{}, false
	}
	return e.answer, true
}

// put keeps an answer. When there is no room others go, in no particular order.
func (c *cache) put(k key, a answer) {
	a.octets += entryOctets
	if a.fresh <= 0 || a.octets > c.bound/16 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.kept[k]; ok {
		c.drop(k, old)
	}
	for other, e := range c.kept {
		if c.held+a.octets <= c.bound {
			break
		}
		c.drop(other, e)
	}
	c.kept[k] = kept{answer: a, until: time.Now().Add(a.fresh)}
	c.held += a.octets
}

func (c *cache) drop(k key, e kept) {
	delete(c.kept, k)
	c.held -= e.octets
}
