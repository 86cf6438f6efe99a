package tlspolicy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
)

// fetchError says why a policy could not be had.
type fetchError struct {
	failure Failure
	err     error
}

func (e *fetchError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *fetchError) Unwrap() error { return e.err }

// fetchGuarded is fetch that lets no web server end the process.
func (c *stsCache) fetchGuarded(ctx context.Context, domain string) (p STSPolicy, err error) {
	ok := false
	defer func() {
		if !ok {
			// The value could hold something of the policy; its type can't.
			c.log.Error("fetching an MTA-STS policy panicked: please report it",
				"domain", domain, "panic", fmt.Sprintf("%T", recover()), "stack", string(debug.Stack()))
			err = &fetchError{FailureFetch, errors.New("this server has a fault")}
		}
	}()
	p, err = fetch(ctx, c.client, domain)
	ok = true
	return p, err
}

// fetch gets a domain's policy from its web server (RFC 8461 §3.3). The error is
// a *fetchError, with nothing that the server has said in it.
func fetch(ctx context.Context, client *http.Client, domain string) (STSPolicy, error) {
	text, err := get(ctx, client, "https://mta-sts."+domain+"/.well-known/mta-sts.txt")
	if err != nil {
		return STSPolicy{}, err
	}
	p, err := ParseSTSPolicy(text)
	if err != nil {
		return STSPolicy{}, &fetchError{FailurePolicy, err}
	}
	return p, nil
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", &fetchError{FailureFetch, err}
	}
	response, err := client.Do(request)
	if err != nil {
		return "", &fetchError{policyHostFailure(err), err}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", &fetchError{FailureFetch, fmt.Errorf("the web server answered with status %d", response.StatusCode)}
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return "", &fetchError{FailureFetch, errors.New("the web server's answer is not text/plain")}
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPolicy+1))
	if err != nil {
		return "", &fetchError{FailureFetch, err}
	}
	if len(text) > maxPolicy {
		return "", &fetchError{FailureFetch, fmt.Errorf("the policy is longer than %d octets", maxPolicy)}
	}
	return string(text), nil
}

// policyHostFailure tells a certificate of the web server that is not good from
// other failures.
func policyHostFailure(err error) Failure {
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) {
		return FailurePolicyHost
	}
	return FailureFetch
}
