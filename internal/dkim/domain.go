package dkim

import (
	"postrider/internal/mail"
	"postrider/internal/message"
)

// author returns the domain that is to sign a message with this header: that of the
// authors in From, which DMARC looks at. It is empty when there is no From field, or
// more than one, when it can't be read, or when its authors are of several domains. A
// key of example.org does not sign for sub.example.org: who has mail there makes a key
// there.
func (h *header) author() string {
	if h.count("From") != 1 {
		return ""
	}
	domain := ""
	for _, f := range h.fields {
		if !f.Is("From") {
			continue
		}
		authors, err := message.ParseMailboxes(f.Body)
		if err != nil {
			return ""
		}
		for _, a := range authors {
			if domain == "" {
				domain = a.Domain
			}
			if a.Domain != domain {
				return ""
			}
		}
	}
	if _, err := mail.ParseDomain(domain); err != nil || domain[0] == '[' {
		return ""
	}
	return domain
}
