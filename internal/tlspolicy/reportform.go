package tlspolicy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/internal/mail"
)

// report is one of RFC 8460 §4.4.
type report struct {
	Organization string    `json:"organization-name"`
	Range        dateRange `json:"date-range"`
	Contact      string    `json:"contact-info"`
	ID           string    `json:"report-id"`
	Policies     []*block  `json:"policies"`

	domain, submitter string
}

type dateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// newReport makes the report of a domain's day. Its ID is the same each time.
func (r *reporter) newReport(key reportKey, all results) *report {
	end := key.end()
	return &report{
		Organization: r.o.Reporting.Organization, Contact: r.o.Reporting.Contact.String(),
		Range:    dateRange{end.AddDate(0, 0, -1), end.Add(-time.Second)},
		ID:       key.day + "." + key.domain + "@" + r.o.Reporting.Hostname,
		Policies: all.Blocks, domain: key.domain, submitter: r.o.Reporting.Hostname,
	}
}

// pack returns the report as compressed JSON (RFC 8460 §5.2).
func (r *report) pack() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// file is the report's name (RFC 8460 §5.1).
func (r *report) file() string {
	return fmt.Sprintf("%s!%s!%d!%d.json.gz", r.submitter, r.domain, r.Range.Start.Unix(), r.Range.End.Unix())
}

// reportText is the part for people.
const reportText = `This is a report about the TLS connections that %s made to deliver
mail for %s on %s (UTC): %d that were set up as they should be,
%d that failed. The details are attached, in the form of RFC 8460.

You get it because the DNS of %s asks for it, in the TXT record
_smtp._tls.%s. Questions are welcome at %s.
`

// write writes the report as a message (RFC 8460 §5.3), all of it in ASCII.
func (r *report) write(w io.Writer, from mail.Address, to mail.Address, now time.Time) error {
	packed, err := r.pack()
	if err != nil {
		return err
	}
	var done, failed int64
	for _, b := range r.Policies {
		done += b.Summary.Successful
		failed += b.Summary.Failed
	}
	boundary := "=_tlsrpt_" + r.Range.Start.Format("20060102")
	head := []string{
		"From: " + from.String(),
		"To: " + to.String(),
		"Date: " + mail.FormatDate(now),
		"Message-ID: <tlsrpt." + r.ID + ">",
		"Subject: Report Domain: " + r.domain,
		" Submitter: " + r.submitter,
		" Report-ID: <" + r.ID + ">",
		"TLS-Report-Domain: " + r.domain,
		"TLS-Report-Submitter: " + r.submitter,
		"TLS-Required: No",
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		`Content-Type: multipart/report; report-type="tlsrpt";`,
		` boundary="` + boundary + `"`,
		"",
		"--" + boundary,
		"Content-Type: text/plain; charset=us-ascii",
		"",
	}
	day := r.Range.Start.Format(time.DateOnly)
	text := fmt.Sprintf(reportText, r.submitter, r.domain, day, done, failed, r.domain, r.domain, r.Contact)
	attached := []string{
		"--" + boundary,
		"Content-Type: application/tlsrpt+gzip",
		"Content-Transfer-Encoding: base64",
		"Content-Disposition: attachment;",
		` filename="` + r.file() + `"`,
		"",
	}
	lines := append(head, strings.Split(text, "\n")...)
	lines = append(append(lines, attached...), base64Lines(packed)...)
	lines = append(lines, "--"+boundary+"--", "")
	_, err = io.WriteString(w, strings.Join(lines, "\r\n"))
	return err
}

func base64Lines(b []byte) []string {
	const width = 76 // RFC 2045 §6.8
	text := base64.StdEncoding.EncodeToString(b)
	var all []string
	for len(text) > width {
		all = append(all, text[:width])
		text = text[width:]
	}
	return append(all, text)
}
