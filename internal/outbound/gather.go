package outbound

import (
	"sync"

	"postrider/internal/dsn"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// maxTellings is how many tellings are remembered. If there are more all are forgotten:
// then somebody is told twice.
const maxTellings = 10_000

// telling is that the sender of a message in the queue is told of an action.
type telling struct {
	message mail.ID
	action  dsn.Action
}

// tellings are those of forwarded mail that are durable. An alias leads to many places,
// but its sender knows one address only, of which there is one thing to tell: that mail
// does not get through everywhere. At a restart they are forgotten.
type tellings struct {
	mu  sync.Mutex
	all map[telling]struct{}
}

func (t *tellings) has(key telling) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.all[key]
	return ok
}

func (t *tellings) add(key telling) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil || len(t.all) >= maxTellings {
		t.all = map[telling]struct{}{}
	}
	t.all[key] = struct{}{}
}

// once returns which telling a notice is, if its sender is told so only once: of a
// failure or a delay of what an alias has forwarded.
func (n *notice) once() (telling, bool) {
	key := telling{n.msg.ID, n.recipients[0].Action}
	return key, n.msg.Warrant.Kind() == store.AliasForwards && key.action <= dsn.Delayed
}

// told returns the recipients that are told of: one, where all are behind one address.
func (n *notice) told() []dsn.Recipient {
	if _, once := n.once(); once {
		return n.recipients[:1]
	}
	return n.recipients
}

// gather returns the notices of a batch, those of one telling as one; and the
// settlements of which nobody is told: those that come with none, and those of which
// the sender has been told.
func (s *settler) gather(batch []*finished) (notices []*notice, plain []store.Settlement) {
	first := map[telling]*notice{}
	for _, f := range batch {
		plain = append(plain, f.settle...)
		for i := range f.notices {
			n := &f.notices[i]
			key, once := n.once()
			switch {
			case once && s.tellings.has(key):
				plain = append(plain, n.settle...)
				s.d.log.Warn("a sender is not told again: it knows that what an alias forwards does not get everywhere",
					"message", n.msg.AcceptID.String(), "queued", n.msg.ID.String(), "alias", n.msg.Warrant.Name(),
					"notify", n.to.String(), "what", n.what, "rows", len(n.settle))
			case once && first[key] != nil && len(first[key].settle)+len(n.settle) <= settleBatch:
				first[key].recipients = append(first[key].recipients, n.recipients...)
				first[key].settle = append(first[key].settle, n.settle...)
			default:
				if once {
					first[key] = n
				}
				notices = append(notices, n)
			}
		}
	}
	return notices, plain
}
