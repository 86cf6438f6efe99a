package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"postrider/internal/netclient"
	"postrider/internal/smtp"
	"postrider/internal/tlspolicy"
)

// converse connects to a host and sends it j, and what else waits for the hop.
// When the way to it allows that, a handshake that fails is followed by another
// connection without TLS.
func (d *Deliverer) converse(ctx context.Context, h *hop, w *way, t *target, j *job) *conversation {
	use := tlsUse(h, t)
	c := d.attempt(ctx, h, w, t, j, use)
	for c.left != nil && c.reused {
		// It had taken others before: a new connection shows what it was.
		c = d.attempt(ctx, h, w, t, c.left, use)
	}
	if c.left == nil || !c.noHandshake || use == smtp.TLSMust || h.route.Implicit {
		return c
	}
	d.log.Info("TLS failed; trying without it, as nothing says that it has to be", "host", t.String(), "error", c.failure.text)
	return d.attempt(ctx, h, w, t, c.left, smtp.TLSNever)
}

// tlsUse returns what holds for a host: the stricter of what the operator wants and
// what is published.
func tlsUse(h *hop, t *target) smtp.TLSUse {
	switch {
	case t.policy.MustTLS, h.requireTLS, h.route.TLS == TLSEncrypt, h.route.TLS == TLSVerify:
		return smtp.TLSMust
	case h.route.TLS == TLSOff:
		return smtp.TLSNever
	}
	return smtp.TLSMay
}

// attempt is one connection.
func (d *Deliverer) attempt(ctx context.Context, h *hop, w *way, t *target, j *job, use smtp.TLSUse) *conversation {
	c := &conversation{d: d, h: h, t: t, first: j, ctx: ctx, idle: d.o.Idle}
	nc, err := d.dial(ctx, w, t)
	if err != nil {
		d.m.conns.WithLabelValues("failed").Inc()
		c.left, c.failure = j, c.lost(err)
		return c
	}
	d.m.open.Inc()
	defer d.m.open.Dec()
	o := d.clientOptions(h)
	o.TLS = use
	o.Verified = t.policy.Verified || h.route.verifies()
	secured := ""
	found := tlspolicy.Outcome{SendingIP: addrOf(nc.LocalAddr()), ReceivingIP: t.address.Addr()}
	err = netclient.Converse(d.cutting, nc, smtp.NewClient(o, c), netclient.Options{
		ID: j.msg.ID.String(), TLS: tlsConfig(h.route, t), Implicit: h.route.Implicit, Stop: ctx,
		WriteWait: d.o.Timeouts.Block, Now: d.o.Now,
		OnHandshake: func(cs *tls.ConnectionState) {
			secured = tls.VersionName(cs.Version)
			c.tls = secured + ", " + why(h.route, t)
			if t.domain != nil {
				found.Trust = t.policy.Assess(*cs)
			}
		},
	})
	found.Helo = c.helo
	d.judge(c, use, secured, err, found)
	return c
}

// judge notes how a connection has gone.
func (d *Deliverer) judge(c *conversation, use smtp.TLSUse, secured string, err error, found tlspolicy.Outcome) {
	t := c.t
	result := secured
	if result == "" {
		result = "plaintext"
	}
	d.m.conns.WithLabelValues(result).Inc()
	var handshake *netclient.HandshakeError
	switch {
	case errors.As(err, &handshake), errors.Is(err, netclient.ErrInjected):
		c.noHandshake = handshake != nil
		found.Failure = tlspolicy.Classify(err)
		t.report(found)
	case secured != "":
		t.report(found)
	case c.met && !c.offersTLS && use != smtp.TLSNever:
		found.Failure = tlspolicy.FailureNoSTARTTLS
		t.report(found)
	}
	if errors.Is(err, netclient.ErrInjected) {
		d.log.Warn("plaintext was injected where TLS should begin: somebody on the way meddles, or the host is broken",
			"host", t.String())
	}
	if c.first != nil { // the session has not even asked
		c.left, c.failure, c.first = c.first, c.lost(err), nil
	}
	if c.left == nil || err == nil {
		return
	}
	var panicked *netclient.PanicError
	if errors.As(err, &panicked) {
		d.log.Error("a conversation broke off because of a defect of this program: please report it",
			"host", t.String(), "queued", c.left.msg.ID.String(), "error", panicked.Error(), "stack", panicked.Stack)
		o := failing("4.3.0", "a defect of this server kept it from being sent")
		o.ours = true
		c.failure = &o
		return
	}
	f := c.failure
	if f.reply == nil && !f.uncertain && !f.ours {
		f.text = lostText(f.stage, plain(err))
		if handshake != nil || errors.Is(err, netclient.ErrInjected) {
			f.status = "4.7.5"
		}
	}
}

// report tells the host's policy what was found.
func (t *target) report(o tlspolicy.Outcome) {
	if t.domain != nil {
		t.domain.Report(t.policy, o)
	}
}

// dial connects.
func (d *Deliverer) dial(ctx context.Context, w *way, t *target) (net.Conn, error) {
	source := w.source(t.address.Addr())
	if d.o.Dial != nil {
		return d.o.Dial(ctx, source, t.address)
	}
	return netclient.Dial(ctx, t.address, netclient.DialOptions{Local: source, Timeout: d.o.Connect})
}

// clientOptions are how the hosts of a hop are talked to.
func (d *Deliverer) clientOptions(h *hop) smtp.ClientOptions {
	t := d.o.Timeouts
	return smtp.ClientOptions{
		Hostname: d.o.Hostname, Login: h.route.Login,
		Greeting: t.Greeting, Mail: t.Mail, Rcpt: t.Rcpt, Data: t.Data, End: t.End,
	}
}

// tlsConfig returns the client's configuration for a host: what its policy wants, or
// what the operator wants.
func tlsConfig(r *Route, t *target) *tls.Config {
	switch {
	case r.verifies():
		return &tls.Config{
			ServerName: t.host, MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: true, // VerifyConnection does it, for several names
			VerifyConnection: func(s tls.ConnectionState) error {
				return tlspolicy.VerifyAny(s, t.names, r.Roots)
			},
		}
	case t.policy.Config != nil:
		return t.policy.Config
	}
	// Any TLS is better than none, and nothing is known to verify it by.
	return &tls.Config{ServerName: t.host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
}

// why says what the protection of a way follows from, for the log.
func why(r *Route, t *target) string {
	switch {
	case r.verifies():
		return "verified for route " + strconv.Quote(r.Name)
	case t.policy.Kind != "":
		return string(t.policy.Kind)
	}
	return string(tlspolicy.KindOpportunistic)
}

// plain returns an error in words, without what a peer said.
func plain(err error) string {
	var e *netclient.Error
	var handshake *netclient.HandshakeError
	switch {
	case err == nil:
		return "the connection broke"
	case errors.Is(err, tlspolicy.ErrTLSA):
		return "the TLS handshake failed: " + tlspolicy.ErrTLSA.Error()
	case errors.As(err, &handshake):
		return "the TLS handshake failed: " + string(handshake.Reason)
	case errors.As(err, &e) && e.Stage != netclient.StageDial:
		// At which command says more than whether it was read or written.
		return strings.TrimPrefix(e.Error(), string(e.Stage)+": ")
	case errors.As(err, &e):
		return e.Error()
	case errors.Is(err, context.Canceled):
		return errCut.Error()
	}
	return "the connection failed"
}

// addrOf returns the address of one end of a TCP connection.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
