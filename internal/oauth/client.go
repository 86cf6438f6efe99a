package oauth

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	maxRedirects = 3
	maxKept      = 16 // answers that are kept
)

// newClient returns a client for requests to the issuer that holds what comes to
// the limits.
func newClient(o Options) (*http.Client, error) {
	var base http.RoundTripper
	switch {
	case o.Client != nil && o.Client.Transport != nil:
		base = o.Client.Transport
	default:
		t, err := newTransport(o.CAFile)
		if err != nil {
			return nil, err
		}
		base = t
	}
	return &http.Client{
		Transport: &transport{base: base, now: o.Now, kept: map[string]answer{}},
		Timeout:   maxWait,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return &troubleError{errors.New("too many redirections")}
			}
			return checkPrivate(r.URL)
		},
	}, nil
}

func newTransport(caFile string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: maxWait, IdleConnTimeout: time.Minute, MaxIdleConns: 2,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in it", caFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// troubleError says that the issuer gave no answer that can be used.
type troubleError struct{ err error }

func (e *troubleError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *troubleError) Unwrap() error { return e.err }

// transport asks for the same address once in a pause, whatever the tokens are
// that clients come with, and takes only JSON of at most MaxResponse octets.
type transport struct {
	base http.RoundTripper
	now  func() time.Time

	mu   sync.Mutex
	kept map[string]answer
}

// answer is what came from an address.
type answer struct {
	at     time.Time
	status int
	header http.Header
	body   []byte
	err    error
}

// RoundTrip implements http.RoundTripper. Its errors are *troubleError.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	address := r.URL.String()
	t.mu.Lock()
	a, ok := t.kept[address]
	t.mu.Unlock()
	if !ok || t.now().Sub(a.at) >= pause {
		a = t.fetch(r)
		if r.Context().Err() == nil { // else it says nothing about the issuer
			t.keep(address, a)
		}
	}
	if a.err != nil {
		return nil, &troubleError{a.err}
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Header: a.header.Clone(), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

func (t *transport) keep(address string, a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxKept {
		clear(t.kept)
	}
	t.kept[address] = a
}

// fetch makes a request.
func (t *transport) fetch(r *http.Request) answer {
	a := answer{at: t.now()}
	response, err := t.base.RoundTrip(r)
	if err != nil {
		a.err = err
		return a
	}
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	if a.status >= 300 && a.status < 400 {
		return a // to be followed
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, MaxResponse+1))
	switch {
	case a.status != http.StatusOK:
		a.err = fmt.Errorf("%s: the issuer answers %d %s", r.URL.Redacted(), a.status, http.StatusText(a.status))
	case err != nil:
		a.err = err
	case len(a.body) > MaxResponse:
		a.err = fmt.Errorf("%s: the answer has more than %d octets", r.URL.Redacted(), MaxResponse)
	case !json.Valid(a.body):
		a.err = fmt.Errorf("%s: the answer is no JSON", r.URL.Redacted())
	}
	return a
}
