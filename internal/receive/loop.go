package receive

import (
	"strconv"

	"postrider/internal/mail"
)

// judge decides about the message when all of it has been seen.
//
// A loop ends here (RFC 5321 §6.3): too many hosts, or a Delivered-To field that
// we write for a mailbox this message is about to go to once more. The second
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
	if len(h.DeliveredTo) == 0 {
		return nil
	}
	before := make(map[string]bool, len(h.DeliveredTo))
	for _, v := range h.DeliveredTo {
		if a, err := mail.ParseAddress(v); err == nil {
			before[a.Key()] = true
		}
	}
	for _, t := range routeOf(c.tx).targets {
		if before[t.Address.Key()] {
			return verdictLoop.with(t.Address.String())
		}
	}
	return nil
}
