package outbound

import (
	"maps"
	"slices"
	"strings"
	"time"

	"postrider/internal/smtp"
)

// asked is what a client asks for by ETRN: the mail of a node, as far as the client may
// have it.
type asked struct {
	node smtp.Node
	// may are domains, as in Turn.Domains, that the client may ask for: those that
	// concern the node.
	may []string
}

// askedBy returns what a client asks for; false if it may not ask for the node. Mail of
// subdomains that are another's is none of it.
func (d *Deliverer) askedBy(c *smtp.Client, node smtp.Node) (*asked, bool) {
	a := &asked{node: node}
	for i := range d.o.Turns {
		t := &d.o.Turns[i]
		if !t.isOf(c) && !t.isNear(c) {
			continue
		}
		for _, p := range t.Domains {
			if concerns(p, node) {
				a.may = append(a.may, p)
			}
		}
	}
	return a, fitsAny(a.may, node.Name)
}

// isNear reports whether a client may give ETRN without a login.
func (t *Turn) isNear(c *smtp.Client) bool {
	for _, n := range t.Networks {
		if n.Contains(c.Remote.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// concerns reports whether a pattern may fit a domain of a node.
func concerns(pattern string, node smtp.Node) bool {
	return fitsAny([]string{pattern}, node.Name) || node.Kind == smtp.NodeDomain && strings.HasSuffix(pattern, "."+node.Name)
}

// has reports whether a domain's mail is asked for.
func (a *asked) has(domain string) bool {
	below := a.node.Kind == smtp.NodeDomain && strings.HasSuffix(domain, "."+a.node.Name)
	return (domain == a.node.Name || below) && fitsAny(a.may, domain)
}

// key is the same for those who ask for the same mail: one run does for all of them.
func (a *asked) key() string { return a.node.String() + " " + strings.Join(a.may, " ") }

// callTime is how long after ETRN a domain's hosts are taken for connected: mail for
// it is not kept for them.
const callTime = 10 * time.Minute

// maxCalled is how many nodes are known to be connected at most.
const maxCalled = 10_000

// call says until when the hosts of a node's domains are taken for connected: those
// that who called may ask for.
type call struct {
	may   []string
	until time.Time
}

// call notes, under mu, that hosts have asked for their mail.
func (d *Deliverer) call(a *asked) {
	now := d.o.Now()
	if _, ok := d.called[a.node]; !ok && len(d.called) >= maxCalled {
		maps.DeleteFunc(d.called, func(_ smtp.Node, all []call) bool {
			return !slices.ContainsFunc(all, func(c call) bool { return now.Before(c.until) })
		})
		if len(d.called) >= maxCalled {
			return
		}
	}
	d.called[a.node] = append(d.others(a, now), call{a.may, now.Add(callTime)})
}

// uncall forgets, under mu, that they have.
func (d *Deliverer) uncall(a *asked) {
	d.called[a.node] = d.others(a, d.o.Now())
	if len(d.called[a.node]) == 0 {
		delete(d.called, a.node)
	}
}

// others returns the calls for a node that are still good and were made with other
// rights.
func (d *Deliverer) others(a *asked, now time.Time) []call {
	return slices.DeleteFunc(d.called[a.node], func(c call) bool {
		return !now.Before(c.until) || slices.Equal(c.may, a.may)
	})
}

// hasCalled reports whether a domain's hosts have asked for its mail a moment ago: by
// its name, or with all that is below it or a domain above.
func (d *Deliverer) hasCalled(domain string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.called) == 0 {
		return false
	}
	if d.isCalled(smtp.Node{Kind: smtp.NodeHost, Name: domain}, domain, now) {
		return true
	}
	for above, more := domain, true; more; _, above, more = strings.Cut(above, ".") {
		if d.isCalled(smtp.Node{Kind: smtp.NodeDomain, Name: above}, domain, now) {
			return true
		}
	}
	return false
}

// isCalled reports whether one who may have a domain's mail has asked for a node, under
// mu.
func (d *Deliverer) isCalled(node smtp.Node, domain string, now time.Time) bool {
	return slices.ContainsFunc(d.called[node], func(c call) bool {
		return now.Before(c.until) && fitsAny(c.may, domain)
	})
}
