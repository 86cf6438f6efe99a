package tlspolicy

import (
	"context"
	"net/url"
	"strings"

	"postrider/internal/mail"
	"postrider/internal/resolver"
)

const (
	rptVersion         = "TLSRPTv1"
	maxReportAddresses = 5 // of a domain that get its report
)

// reportTo is where a domain wants its reports: one of both.
type reportTo struct {
	text string       // as in the record
	mail mail.Address // mailto
	post *url.URL     // https
}

// reportAddresses returns where a domain wants its reports (RFC 8460 §3); none if
// it wants none.
func reportAddresses(ctx context.Context, r *resolver.Resolver, domain string) ([]reportTo, error) {
	text, err := oneRecord(ctx, r, "_smtp._tls."+domain, rptVersion)
	return parseReportAddresses(value(text, "rua")), err
}

// parseReportAddresses reads a list of URIs. Those that nobody can use are left
// out.
func parseReportAddresses(rua string) []reportTo {
	var all []reportTo
	for text := range strings.SplitSeq(rua, ",") {
		text = strings.Trim(text, " \t")
		u, err := url.Parse(text)
		if err != nil || len(all) == maxReportAddresses {
			continue
		}
		to := reportTo{text: text}
		switch {
		case u.Scheme == "mailto":
			local, err := url.PathUnescape(u.Opaque)
			if err != nil {
				continue
			}
			if to.mail, err = mail.ParseAddress(local); err != nil || !to.mail.ASCII() || to.mail.Domain == "" {
				continue
			}
		case u.Scheme == "https" && u.Host != "" && u.User == nil:
			to.post = u
		default:
			continue
		}
		all = append(all, to)
	}
	return all
}
