package smtp

import (
	"context"
	"errors"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/session"
)

// Turner is asked where hosts that are seldom connected get their mail: with ETRN
// it is sent to them now, with ATRN over the connection on which they ask. It
// decides who may ask for what; the session only sees to it that who gives ATRN
// has logged in. Its errors become replies: a *Reply as it is; fault.Denied is a
// refusal, and any other failure is temporary. A Turner serves many sessions at
// once.
type Turner interface {
	// Flush begins a run of what waits for a node, and does not wait for its end
	// (RFC 1985 §5). It returns what the client is told of it. C.Account is zero for who
	// has not logged in.
	Flush(ctx context.Context, c *Client, node Node) (Flushed, error)
	// Turn returns the client's session that sends what waits for the domains over
	// this connection, or nil when nothing waits (RFC 2645 §5). Domains are in
	// their canonical form, each once, MaxTurn at most; none means all that the
	// account may have. If one of them is not the account's, all are refused
	// (fault.Denied).
	//
	// Start does not come if the connection breaks first. Event(Closed) always comes,
	// and the session lets go of everything then. Its driver is a server's, so that it
	// can't ask for TLS; Conn.TLS is what there is already.
	Turn(ctx context.Context, c *Client, domains []string) (session.Session, error)
}

// Node is what ETRN names.
type Node struct {
	Kind NodeKind
	// Name is a host's or a domain's in its canonical form; or a queue's, of one to
	// MaxQueueName letters, digits, dots, hyphens and underscores.
	Name string
}

// NodeKind says what a Node is.
type NodeKind uint8

// The kinds of nodes.
const (
	NodeHost   NodeKind = iota // "node": what this host gets
	NodeDomain                 // "@domain": the domain and all below it
	NodeQueue                  // "#queue": a queue by its name
)

// String returns the node as ETRN names it. It is nothing but what was parsed: it can
// neither end a line of a reply nor be long.
func (n Node) String() string {
	return [...]string{NodeHost: "", NodeDomain: "@", NodeQueue: "#"}[n.Kind] + n.Name
}

// Flushed is how many messages wait for a node, if it has been counted.
type Flushed int

// What stands for no number.
const (
	// FlushBegun: the run has begun, and whether there is anything nobody knows yet.
	FlushBegun Flushed = -1
	// FlushSome: there are messages; how many, nobody has counted.
	FlushSome Flushed = -2
)

// turns reports whether ETRN is answered.
func (s *server) turns() bool { return s.opts.Turner != nil }

// offersTurn reports whether ATRN is: who gives it must be able to log in.
func (s *server) offersTurn() bool { return s.turns() && s.hasLogin() }

// etrn begins the delivery of what waits for a node (RFC 1985 §5).
func (s *server) etrn(arg []byte) session.Step {
	node, ok := parseNode(string(arg))
	if !ok {
		return s.wrong(&replyBadNode.Reply)
	}
	waiting, err := s.opts.Turner.Flush(s.conn.Context, &s.client, node)
	if err != nil {
		return s.noTurn(err, replyFlushDenied(node), replyFlushFailed(node))
	}
	return s.say(replyFlushed(node, waiting))
}

// parseNode reads ETRN's argument.
func parseNode(arg string) (n Node, ok bool) {
	if name, queue := strings.CutPrefix(arg, "#"); queue {
		return Node{Kind: NodeQueue, Name: name}, isQueueName(name)
	}
	name, domain := strings.CutPrefix(arg, "@")
	if domain {
		n.Kind = NodeDomain
	}
	n.Name, ok = parseHost(name)
	return n, ok
}

// parseHost reads a name of a host or domain, which is no address literal, and
// returns its canonical form.
func parseHost(s string) (name string, ok bool) {
	name, err := mail.ParseDomain(s)
	return name, err == nil && name[0] != '['
}

func isQueueName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlphanumeric(s[i]) && strings.IndexByte("-_.", s[i]) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= MaxQueueName
}

// atrn turns the connection round: the client becomes the server, which greets,
// and who sends here goes on as a client (RFC 2645 §5).
func (s *server) atrn(arg []byte) session.Step {
	domains, bad := parseTurn(string(arg))
	if bad != nil {
		return s.wrong(&bad.Reply)
	}
	next, err := s.opts.Turner.Turn(s.conn.Context, &s.client, domains)
	switch {
	case err != nil:
		return s.noTurn(err, &replyTurnDenied.Reply, &replyTurnFailed.Reply)
	case next == nil:
		return s.fixed(replyTurnNone)
	}
	step := s.fixed(replyTurn)
	step.Become = next
	return step
}

// parseTurn reads ATRN's argument: domains separated by commas, or nothing. A
// domain that stands there twice is given once.
func parseTurn(arg string) (domains []string, bad *fixed) {
	if arg == "" {
		return nil, nil
	}
	seen := map[string]bool{}
	for word := range strings.SplitSeq(arg, ",") {
		domain, ok := parseHost(strings.Trim(word, " "))
		switch {
		case !ok:
			return nil, replyBadDomain
		case seen[domain]:
			continue
		case len(domains) == MaxTurn:
			return nil, replyTooManyDomains
		}
		seen[domain] = true
		domains = append(domains, domain)
	}
	return domains, nil
}

// noTurn answers an error of the Turner.
func (s *server) noTurn(err error, denied, failed *Reply) session.Step {
	var r *Reply
	switch kind := fault.KindOf(err); {
	case errors.As(err, &r) && r.refuses():
		return s.say(r)
	case kind == fault.Denied:
		return s.wrong(denied)
	default:
		step := s.say(failed)
		if kind.Temporary() {
			step.Log = err.Error()
		}
		return step
	}
}
