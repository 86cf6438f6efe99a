package tlspolicy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	netmail "net/mail"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/mail"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/tlspolicy"
)

// reporting switches reports on.
func reporting(send func(context.Context, tlspolicy.ReportMail) error) func(*tlspolicy.Options) {
	return func(o *tlspolicy.Options) {
		o.Reporting = tlspolicy.Reporting{
			Organization: "Our House", Contact: mail.Address{Local: "postmaster", Domain: "sender.test"},
			Hostname: "mx.sender.test", Send: send,
		}
	}
}

// kept returns the record of a domain's report, after the policies have ended.
func (h *house) kept(t testing.TB, domain string) string {
	t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Run(ended); err != nil {
		t.Fatal(err)
	}
	for r, err := range h.records.ListRecords(context.Background(), "tlsrpt/") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(r.Key, "/"+domain) {
			return string(r.Value)
		}
	}
	return ""
}

func (h *house) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p := h.Policies
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// box collects reports that go out as mail and over HTTPS.
type box struct {
	mu     sync.Mutex
	mails  []tlspolicy.ReportMail
	times  []time.Time
	posted [][]byte
	fail   bool
}

func (b *box) send(_ context.Context, m tlspolicy.ReportMail) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mails, b.times = append(b.mails, m), append(b.times, time.Now())
	if b.fail {
		return errors.New("the queue is full")
	}
	return nil
}

func (b *box) web(w http.ResponseWriter, r *http.Request) {
	if r.Host != "reports.example.test" {
		policy(enforce)(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/tlsrpt+gzip" && r.URL.RequestURI() == "/v1?x=1" {
		b.posted = append(b.posted, body)
	}
	if b.fail {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

type sent struct {
	Organization string `json:"organization-name"`
	Range        struct {
		Start string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	} `json:"date-range"`
	Contact  string `json:"contact-info"`
	ID       string `json:"report-id"`
	Policies []struct {
		Policy struct {
			Type   string   `json:"policy-type"`
			String []string `json:"policy-string"`
			Domain string   `json:"policy-domain"`
			Hosts  []string `json:"mx-host"`
		} `json:"policy"`
		Summary struct {
			OK     int `json:"total-successful-session-count"`
			Failed int `json:"total-failure-session-count"`
		} `json:"summary"`
		Details []map[string]any `json:"failure-details"`
	} `json:"policies"`
}

func unpack(t *testing.T, b []byte) (r sent) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func outcome(f tlspolicy.Failure) tlspolicy.Outcome {
	return tlspolicy.Outcome{
		Failure: f, SendingIP: netip.MustParseAddr("203.0.113.1"), ReceivingIP: netip.MustParseAddr("192.0.2.11"), Helo: "mx1\r\n\x00é",
	}
}

func TestResultsAreReportedTheDayAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b box
		h, w := newSTSHouse(t, enforce, reporting(b.send))
		w.set(h.ca.issue(t, nil, "mta-sts.example.test", "reports.example.test"), b.web)
		stop := h.run(t)
		d := h.domain(t, "example.test")
		host := h.host(t, d, "mx1.example.test")
		for range 3 {
			d.Report(host, outcome(""))
		}
		d.Report(host, outcome(tlspolicy.FailureNoSTARTTLS))
		time.Sleep(10 * time.Minute) // it is written in between
		d.Report(host, outcome(tlspolicy.FailureNoSTARTTLS))
		d.Report(host, outcome(tlspolicy.FailureExpired))
		d.Report(h.host(t, d, "mx2.other.test"), tlspolicy.Outcome{}) // skipped
		d.Relaxed().Report(host, outcome(tlspolicy.FailureExpired))   // a report's own delivery
		stop()

		h.Policies = tlspolicy.New(h.options) // after a restart
		defer h.run(t)()
		time.Sleep(29 * time.Hour)
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.mails) != 1 || len(b.posted) != 1 {
			t.Fatalf("got %d mails, %d posts, want one each", len(b.mails), len(b.posted))
		}
		midnight := time.Now().UTC().Truncate(24 * time.Hour)
		if at := b.times[0].Sub(midnight); at < 0 || at > 4*time.Hour+5*time.Minute {
			t.Errorf("sent %v after midnight UTC", at)
		}
		checkReport(t, unpack(t, b.posted[0]))
		checkMail(t, b.mails[0], b.posted[0])
		if left := h.kept(t, "example.test"); left != "" {
			t.Errorf("kept %s", left)
		}
	})
}

func checkReport(t *testing.T, r sent) {
	t.Helper()
	if r.Organization != "Our House" || r.Contact != "postmaster@sender.test" || r.Range.Start != "2000-01-01T00:00:00Z" || r.Range.End != "2000-01-01T23:59:59Z" {
		t.Errorf("got %+v", r)
	}
	if len(r.Policies) != 1 {
		t.Fatalf("got %d policies, want one", len(r.Policies))
	}
	p := r.Policies[0]
	if p.Policy.Type != "sts" || p.Policy.Domain != "example.test" || p.Summary.OK != 3 || p.Summary.Failed != 4 ||
		!slices.Contains(p.Policy.String, "mode: enforce") || !slices.Contains(p.Policy.Hosts, "*.wild.test") {
		t.Errorf("got %+v", p)
	}
	got := map[string]any{}
	for _, d := range p.Details {
		got[fmt.Sprint(d["result-type"], " ", d["receiving-mx-hostname"])] = d["failed-session-count"]
	}
	want := map[string]any{
		"starttls-not-supported mx1.example.test": 2.0, "certificate-expired mx1.example.test": 1.0, "validation-failure mx2.other.test": 1.0,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := p.Details[0]; d["sending-mta-ip"] != "203.0.113.1" || d["receiving-ip"] != "192.0.2.11" || d["receiving-mx-helo"] != "mx1" {
		t.Errorf("got %v", d)
	}
}

func checkMail(t *testing.T, m tlspolicy.ReportMail, packed []byte) {
	t.Helper()
	if m.To.String() != "tls@example.test" {
		t.Errorf("for %v", m.To)
	}
	var b strings.Builder
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	if s := strings.ReplaceAll(b.String(), "\r\n", ""); strings.ContainsAny(s, "\r\n") || strings.ContainsFunc(s, func(r rune) bool { return r > 126 }) {
		t.Error("the message is not made of lines of ASCII")
	}
	msg, err := netmail.ReadMessage(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"From": "postmaster@sender.test", "To": "tls@example.test", "TLS-Report-Domain": "example.test", "TLS-Report-Submitter": "mx.sender.test",
		"TLS-Required": "No", "Auto-Submitted": "auto-generated",
		"Subject": "Report Domain: example.test Submitter: mx.sender.test Report-ID: <2000-01-01.example.test@mx.sender.test>",
	} {
		if got := msg.Header.Get(field); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	kind, p, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || p["report-type"] != "tlsrpt" {
		t.Fatalf("got %s %v, %v", kind, p, err)
	}
	parts := multipart.NewReader(msg.Body, p["boundary"])
	text, err := parts.NextPart()
	if err != nil || !strings.HasPrefix(text.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("got %v, %v", text, err)
	}
	attached, err := parts.NextPart()
	if err != nil || attached.Header.Get("Content-Type") != "application/tlsrpt+gzip" ||
		attached.FileName() != "mx.sender.test!example.test!946684800!946771199.json.gz" {
		t.Fatalf("got %v, %v", attached, err)
	}
	body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, attached))
	if err != nil || !bytes.Equal(body, packed) {
		t.Errorf("the attachment is another than what was posted: %v", err)
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want no more parts", err)
	}
}

func TestAReportThatCanNotBeSentIsTriedAgainAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := box{fail: true}
		h, w := newSTSHouse(t, enforce, reporting(b.send))
		w.set(h.ca.issue(t, nil, "mta-sts.example.test", "reports.example.test"), b.web)
		d := h.domain(t, "example.test")
		d.Report(h.host(t, d, "mx1.example.test"), outcome(""))
		stop := h.run(t)
		time.Sleep(28*time.Hour + 21*time.Minute) // and not when it is just tried
		b.mu.Lock()
		n := len(b.mails)
		b.fail = false
		b.mu.Unlock()
		if n < 1 {
			t.Fatal("was not tried")
		}
		time.Sleep(16 * time.Hour)
		b.mu.Lock()
		if len(b.mails) != n+1 || len(b.posted) != n+1 {
			t.Errorf("got %d mails, %d posts, want one more than %d", len(b.mails), len(b.posted), n)
		}
		b.fail = true
		b.mu.Unlock()

		d.Report(h.host(t, d, "mx1.example.test"), outcome(""))
		time.Sleep(5 * 24 * time.Hour)
		stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		if got := len(b.mails) - n - 1; got != 6 {
			t.Errorf("was tried %d times, want 6", got)
		}
		if left := h.kept(t, "example.test"); left != "" {
			t.Errorf("kept %s", left)
		}
	})
}

func TestWhoHasAReportGetsItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b box
		h, w := newSTSHouse(t, enforce, reporting(b.send))
		d := h.domain(t, "example.test")
		d.Report(h.host(t, d, "mx1.example.test"), outcome(""))
		w.setDown(true)
		defer h.run(t)()
		time.Sleep(3 * 24 * time.Hour)
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.mails) != 1 {
			t.Errorf("got %d mails, want one", len(b.mails))
		}
	})
}

func TestADomainThatAsksForNoReportGetsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newSTSHouse(t, enforce, reporting(nil))
		h.zone.Set(t, baseZone)
		d := h.domain(t, "example.test")
		d.Report(h.host(t, d, "mx1.example.test"), outcome(""))
		if got := h.kept(t, "example.test"); got != "" {
			t.Errorf("kept %s", got)
		}
	})
}

func TestResultsWaitWhileTheDomainCanNotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newSTSHouse(t, enforce, reporting(nil))
		h.zone.Break("_smtp._tls.example.test", dns.TypeTXT, zonetest.ServFail)
		d := h.domain(t, "example.test")
		host := h.host(t, d, "mx1.example.test")
		d.Report(host, outcome(""))
		if got := h.kept(t, "example.test"); got != "" {
			t.Errorf("kept %s", got)
		}
		d.Report(host, outcome(""))
		h.zone.Break("_smtp._tls.example.test", dns.TypeTXT, zonetest.None)
		if got := h.kept(t, "example.test"); !strings.Contains(got, `"total-successful-session-count":2`) {
			t.Errorf("kept %s, want both", got)
		}
	})
}

func TestWhatAPolicyOnlyTestsIsReportedAsIfItWereEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newSTSHouse(t, testingPolicy, reporting(nil))
		d := h.domain(t, "example.test")
		host := h.host(t, d, "mx1.example.test")
		state, err := shake(t, host.Config, h.ca.issue(t, expired, "mx1.example.test"))
		if err != nil {
			t.Fatal(err)
		}
		o := outcome("")
		o.Trust = host.Assess(state)
		d.Report(host, o)
		d.Report(h.host(t, d, "mx2.other.test"), outcome(""))
		got := h.kept(t, "example.test")
		for _, want := range []string{"mode: testing", "certificate-expired", "validation-failure", `"total-failure-session-count":2`} {
			if !strings.Contains(got, want) {
				t.Errorf("kept %s, want %s in it", got, want)
			}
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newSTSHouse(t, enforce, reporting(nil))
		d := h.domain(t, "example.test")
		host := h.host(t, d, "mx1.example.test")
		for i := range 5000 {
			o := outcome(tlspolicy.FailureExpired)
			o.Helo = fmt.Sprint("host", i, strings.Repeat("x", 5000))
			d.Report(host, o)
			if i%1000 == 0 {
				h.kept(t, "example.test")
			}
		}
		got := h.kept(t, "example.test")
		if len(got) > 1<<20 || strings.Count(got, "certificate-expired") != 100 || !strings.Contains(got, `"total-failure-session-count":5000`) {
			t.Errorf("kept %d octets with %d details, want all counted and 100 told apart", len(got), strings.Count(got, "certificate-expired"))
		}
	})
}
