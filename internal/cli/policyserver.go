package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"postrider/internal/config"
	"postrider/internal/netserver"
	"postrider/internal/tlspolicy"
)

// Limits of the listeners that answer with our MTA-STS policy, which anybody can
// reach.
const (
	policyTime     = 10 * time.Second // for a whole request
	maxPolicyConns = 100
	maxPolicyHead  = 16 << 10 // octets of a request's header
)

// servePolicy starts what answers with the MTA-STS policy of our domains. All that is
// configured is open when it returns.
func (e *engine) servePolicy(ctx context.Context, serve func(func() error)) error {
	p := &e.cfg.Publish
	if p.MTASTS == config.STSNone {
		return nil
	}
	for _, at := range []struct{ protocol, address string }{{"https", p.MTASTSHTTPS}, {"http", p.MTASTSHTTP}} {
		if at.address == "" {
			continue
		}
		ln, err := net.Listen("tcp", at.address)
		if err != nil {
			return fmt.Errorf("publish.mta_sts_%s: %w", at.protocol, err)
		}
		e.log.Info("listening", "listener", "mta-sts", "protocol", at.protocol, "address", ln.Addr().String())
		ln = netutil.LimitListener(ln, maxPolicyConns)
		if at.protocol == "https" {
			const spoken = "http/1.1"
			ln = tls.NewListener(ln, netserver.StrictALPN(e.certs.Config(spoken, nil), spoken))
		}
		serve(func() error { return e.answerPolicy(ctx, ln) })
	}
	return nil
}

// answerPolicy answers on ln until the context ends.
func (e *engine) answerPolicy(ctx context.Context, ln net.Listener) error {
	s := &http.Server{
		Handler:     tlspolicy.Handler(func(domain string) (tlspolicy.OwnPolicy, bool) { return e.policyOf(ctx, domain) }),
		ReadTimeout: policyTime, WriteTimeout: policyTime, MaxHeaderBytes: maxPolicyHead,
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug), // strangers' mistakes
	}
	s.SetKeepAlivesEnabled(false) // a request each: strangers can't keep the places
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer with the MTA-STS policy on %s: %w", ln.Addr(), err)
	}
	return nil
}

// policyOf is the policy of a domain, if it lives here.
func (e *engine) policyOf(ctx context.Context, domain string) (tlspolicy.OwnPolicy, bool) {
	if _, err := e.store.Domain(ctx, domain); err != nil {
		return tlspolicy.OwnPolicy{}, false
	}
	return policyOf(e.cfg)
}
