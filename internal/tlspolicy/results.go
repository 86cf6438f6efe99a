package tlspolicy

import "slices"

// results are those of one domain and day.
type results struct {
	Blocks []*block `json:"policies"`
}

// block is a policy with its results, in the form of RFC 8460 §4.4.
type block struct {
	Policy  policyBlock `json:"policy"`
	Summary summary     `json:"summary"`
	Details []*detail   `json:"failure-details,omitempty"`
}

type policyBlock struct {
	Type   string   `json:"policy-type"`
	String []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"`
	Hosts  []string `json:"mx-host,omitempty"`
}

type summary struct {
	Successful int64 `json:"total-successful-session-count"`
	Failed     int64 `json:"total-failure-session-count"`
}

// detail counts sessions that failed in one way.
type detail struct {
	Type      Failure `json:"result-type"`
	Sending   string  `json:"sending-mta-ip,omitempty"`
	Host      string  `json:"receiving-mx-hostname,omitempty"`
	Helo      string  `json:"receiving-mx-helo,omitempty"`
	Receiving string  `json:"receiving-ip,omitempty"`
	Sessions  int64   `json:"failed-session-count"`
}

// same reports whether two policies are one.
func (b *policyBlock) same(o *policyBlock) bool {
	return b.Type == o.Type && b.Domain == o.Domain && slices.Equal(b.String, o.String) && slices.Equal(b.Hosts, o.Hosts)
}

// add counts n sessions, which failed if d has a type. What there is no room for
// is counted with the last policy, and without its detail.
func (r *results) add(b policyBlock, d detail, n int64) {
	to := r.block(b)
	if d.Type == "" {
		to.Summary.Successful += n
		return
	}
	to.Summary.Failed += n
	d.Sessions = 0
	for _, old := range to.Details {
		same := *old
		same.Sessions = 0
		if same == d {
			old.Sessions += n
			return
		}
	}
	if len(to.Details) < maxDetails {
		d.Sessions = n
		to.Details = append(to.Details, &d)
	}
}

func (r *results) block(b policyBlock) *block {
	for _, old := range r.Blocks {
		if old.Policy.same(&b) {
			return old
		}
	}
	if len(r.Blocks) >= maxReportBlocks {
		return r.Blocks[len(r.Blocks)-1]
	}
	added := &block{Policy: b}
	r.Blocks = append(r.Blocks, added)
	return added
}

// merge adds all of o.
func (r *results) merge(o *results) {
	for _, b := range o.Blocks {
		to := r.block(b.Policy)
		to.Summary.Successful += b.Summary.Successful
		unseen := b.Summary.Failed
		for _, d := range b.Details {
			r.add(b.Policy, *d, d.Sessions)
			unseen -= d.Sessions
		}
		to.Summary.Failed += unseen // of those without detail
	}
}
