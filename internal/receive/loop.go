package receive

import "strconv"

// judge decides about the message when all of it has been seen.
//
// A loop ends here (RFC 5321 §6.3): too many hosts, or a Delivered-To field that
// we write for a mailbox this message is about to go to once more, or for an
// address here that leads to another host. The second
// refuses the message for all its recipients, also those it has not reached: the
// reply to the data is one for all, and a refusal is heard of by the sender,
// where a copy left out would be by nobody.
func (c *content) judge() error {
	h := c.scanner.Header()
	if h.Received > c.r.o.MaxReceived {
		return verdictHops.with(strconv.Itoa(h.Received) + " Received fields")
	}
	if h.DeliveredToOverflow {
		return verdictLoop.with("too many Delivered-To fields")
	}
	if to := routeOf(c.tx).loops(h); !to.IsZero() {
		return verdictLoop.with(to.String())
	}
	return nil
}
