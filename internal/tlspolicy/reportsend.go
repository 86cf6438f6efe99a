package tlspolicy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/internal/fault"
)

const (
	flushEvery  = 5 * time.Minute
	firstPause  = 30 * time.Minute // after a report that could not be sent; doubles
	maxAttempts = 6                // over some 16 hours (RFC 8460 §4.1: a day)
	sendAtOnce  = 4                // reports
)

// Run writes what was counted to the store every five minutes, and sends reports
// when they are due, until ctx ends. Then it writes once more. What is counted in
// the five minutes before the process dies is lost.
func (p *Policies) Run(ctx context.Context) error {
	if p.o.Reporting.Organization == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.reporter.flush(ctx)
			p.reporter.sendDue(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			p.reporter.flush(last)
			return nil
		}
	}
}

// sendDue sends the reports of days that are over, as far as they are due.
func (r *reporter) sendDue(ctx context.Context) {
	now := time.Now()
	today := now.UTC().Format(time.DateOnly)
	var keys []reportKey
	for record, err := range r.o.Records.ListRecords(ctx, reportPrefix) {
		if err != nil {
			r.o.Log.Warn("reports about TLS can't be read", "error", err)
			continue
		}
		if key, ok := parseReportKey(record.Key); ok && key.day < today {
			keys = append(keys, key)
		}
	}
	var g errgroup.Group
	g.SetLimit(sendAtOnce)
	for _, key := range keys {
		g.Go(func() error {
			if err := r.send(ctx, key, now); err != nil {
				r.o.Log.Warn("a report about TLS could not be sent", "domain", key.domain, "day", key.day, "error", err)
			}
			return nil
		})
	}
	_ = g.Wait()
}

// send sends one report to those who have not got it, if it is due, and removes it
// when all have or it has been tried often enough.
func (r *reporter) send(ctx context.Context, key reportKey, now time.Time) error {
	k, err := r.read(ctx, key)
	if err != nil || now.Before(k.Due) {
		if fault.Is(err, fault.NotFound) {
			return r.forget(ctx, key)
		}
		return err
	}
	wanted, failed := reportAddresses(ctx, r.o.Resolver, key.domain)
	for _, to := range wanted {
		if slices.Contains(k.Done, to.text) {
			continue
		}
		if err := r.sendTo(ctx, key, k.Results, to); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		k.Done = append(k.Done, to.text)
	}
	if k.Attempts++; failed == nil || k.Attempts >= maxAttempts {
		return errors.Join(failed, r.forget(ctx, key))
	}
	k.Due = now.Add(firstPause << (k.Attempts - 1))
	return errors.Join(failed, r.put(ctx, key, k))
}

func (r *reporter) forget(ctx context.Context, key reportKey) error {
	return r.o.Records.RemoveRecord(ctx, key.record())
}

func (r *reporter) sendTo(ctx context.Context, key reportKey, all results, to reportTo) error {
	report := r.newReport(key, all)
	if to.post != nil {
		return r.post(ctx, report, to.post)
	}
	if r.o.Reporting.Send == nil {
		return nil
	}
	now := time.Now()
	return r.o.Reporting.Send(ctx, ReportMail{
		To:    to.mail,
		Write: func(w io.Writer) error { return report.write(w, r.o.Reporting.Contact, to.mail, now) },
	})
}

// post sends a report to a web server (RFC 8460 §5.4).
func (r *reporter) post(ctx context.Context, report *report, to *url.URL) error {
	packed, err := report.pack()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(packed))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/tlsrpt+gzip")
	response, err := newHTTPClient(r.o).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the web server answered with status %d", response.StatusCode)
	}
	return nil
}
