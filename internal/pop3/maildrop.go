package pop3

import (
	"context"
	"math/bits"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/store"
)

// maildrop is a maildrop as a session numbers it. What the store can give again
// is not kept; a message costs 12 octets, once something asked for one.
type maildrop struct {
	store   store.Maildrop
	who     sasl.Identity
	summary Summary
	// messages and octets are those of the whole maildrop.
	messages, octets int64
	most             int64 // of messages that get a number
	// uids and sizes are those of message number i+1. They are complete if
	// loaded is set.
	loaded bool
	uids   []mail.UID
	sizes  []int64
	// marks has a bit for each message that is deleted.
	marks                []uint64
	marked, markedOctets int64
	names                window
	regular              regular
	sending              sending
}

// newMaildrop returns the view of a maildrop just opened, without reading it.
func newMaildrop(d store.Maildrop, who sasl.Identity, most int64) *maildrop {
	m := d.Mailbox()
	return &maildrop{store: d, who: who, messages: m.Messages, octets: m.Octets, most: most}
}

// tooMany reports whether the store's counts are not those of the session,
// until it is loaded.
func (d *maildrop) tooMany() bool { return d.messages > d.most }

// left returns how many messages are not marked, and their octets.
func (d *maildrop) left() (n, octets int64) {
	return d.messages - d.marked, d.octets - d.markedOctets
}

// failed keeps the first error for the summary.
func (d *maildrop) failed(err error) {
	if d.summary.Err == nil {
		d.summary.Err = err
	}
}

// load reads UIDs and sizes, once.
func (d *maildrop) load(ctx context.Context) error {
	if d.loaded {
		return nil
	}
	return d.each(ctx, func(int, *store.Message) error { return nil })
}

// each calls visit for the messages in their order, i counted from 0, until it
// returns an error. The first time that it runs through, it loads.
func (d *maildrop) each(ctx context.Context, visit func(i int, m *store.Message) error) error {
	loading := !d.loaded
	if loading {
		n := min(d.messages, d.most)
		d.uids, d.sizes = make([]mail.UID, 0, n), make([]int64, 0, n)
	}
	i := 0
	var current store.Message // one for all that visit looks at
	for m, err := range d.store.List(ctx) {
		if err != nil {
			return err
		}
		if int64(i) == d.most {
			break
		}
		if loading {
			d.uids, d.sizes = append(d.uids, m.UID), append(d.sizes, m.Size)
			d.regular.look(i, &m)
		} else if i >= len(d.uids) || d.uids[i] != m.UID {
			return fault.Newf(fault.Internal, "list maildrop", "the snapshot has changed at message %d", i+1)
		}
		current = m
		if err := visit(i, &current); err != nil {
			return err
		}
		i++
	}
	if loading {
		d.finishLoading()
	}
	return nil
}

// finishLoading makes the totals those of the messages that have numbers.
func (d *maildrop) finishLoading() {
	d.loaded = true
	d.messages, d.octets = int64(len(d.sizes)), 0
	for _, size := range d.sizes {
		d.octets += size
	}
}

// isMarked reports whether message i is deleted.
func (d *maildrop) isMarked(i int) bool {
	return i/64 < len(d.marks) && d.marks[i/64]&(1<<(i%64)) != 0
}

// mark deletes message i, which is loaded and not marked.
func (d *maildrop) mark(i int) {
	if d.marks == nil {
		d.marks = make([]uint64, (len(d.uids)+63)/64)
	}
	d.marks[i/64] |= 1 << (i % 64)
	d.marked++
	d.markedOctets += d.sizes[i]
}

// unmark takes all marks away.
func (d *maildrop) unmark() {
	clear(d.marks)
	d.marked, d.markedOctets = 0, 0
}

// markedUIDs returns the UIDs of the messages marked, ascending.
func (d *maildrop) markedUIDs() []mail.UID {
	uids := make([]mail.UID, 0, d.marked)
	for w, word := range d.marks {
		for ; word != 0; word &= word - 1 {
			uids = append(uids, d.uids[w*64+bits.TrailingZeros64(word)])
		}
	}
	return uids
}

// windowSize is how many UIDLs a session keeps, for clients that ask for one
// after another by number, upwards or downwards. (UIDL without a number keeps
// none.)
const windowSize = 1024

// window is the UIDLs of the messages from first on, a multiple of windowSize.
type window struct {
	first int
	uidls []string
}

// regular is what makes every UIDL of a maildrop known without reading the list
// again: all are one prefix and the message's UID as eight hexadecimal digits,
// as an engine makes them that keeps no names.
type regular struct {
	prefix string
	broken bool
}

// look learns from message i, the first of which is 0.
func (r *regular) look(i int, m *store.Message) {
	at := len(m.UIDL) - 8
	if at < 0 || r.broken {
		r.broken = true
		return
	}
	if i == 0 {
		r.prefix = strings.Clone(m.UIDL[:at])
	}
	var digits [8]byte
	r.broken = m.UIDL[:at] != r.prefix || m.UIDL[at:] != string(appendHex(digits[:0], m.UID))
}

// append appends a message's UIDL.
func (r *regular) append(b []byte, uid mail.UID) []byte {
	return appendHex(append(b, r.prefix...), uid)
}

// appendHex appends eight digits.
func appendHex(b []byte, uid mail.UID) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[uid>>shift&15])
	}
	return b
}

// uidl returns the UIDL of message i, which is loaded.
func (d *maildrop) uidl(ctx context.Context, i int) (string, error) {
	if !d.regular.broken {
		return string(d.regular.append(nil, d.uids[i])), nil
	}
	w := &d.names
	if i < w.first || i >= w.first+len(w.uidls) {
		first := i - i%windowSize
		*w = window{first: first, uidls: make([]string, 0, min(windowSize, len(d.uids)-first))}
		err := d.each(ctx, func(j int, m *store.Message) error {
			switch {
			case j < first:
			case len(w.uidls) == cap(w.uidls):
				return errEnough
			default:
				w.uidls = append(w.uidls, m.UIDL)
			}
			return nil
		})
		if err != nil && err != errEnough {
			*w = window{}
			return "", err
		}
		if i >= first+len(w.uidls) {
			return "", fault.New(fault.Internal, "list maildrop: the snapshot has changed", nil)
		}
	}
	return w.uidls[i-w.first], nil
}

// errEnough ends each without being an error.
var errEnough = fault.New(fault.Internal, "enough", nil)
