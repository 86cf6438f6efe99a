package smtp

import (
	"bytes"
	"strconv"
	"strings"

	"postrider/internal/session"
)

// greeted takes the greeting (RFC 5321 §3.1). Whether it says ESMTP is of no
// matter: EHLO is tried.
func (c *client) greeted() session.Step {
	c.peer.Greeting = shown(firstLine(c.in.text))
	switch {
	case c.in.refuses():
		return c.refused()
	case c.in.class() != 2:
		return c.lose("the server greeted with neither 2yz nor an error")
	}
	return c.ehlo()
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return line
}

// ehlo says who we are and asks what the server knows.
func (c *client) ehlo() session.Step {
	if c.stopping {
		return c.quit()
	}
	c.hello = hello{}
	b := append(append(c.buf[:0], "EHLO "...), c.opts.Hostname...)
	return c.say(append(b, "\r\n"...), (*client).extended, StageHello, c.opts.Mail)
}

// extended takes the answer to EHLO. A server that does not know it is greeted
// in the old way (RFC 5321 §3.2).
func (c *client) extended() session.Step {
	switch c.in.class() {
	case 2:
		c.peer.learn(&c.hello)
		c.in.utf8 = c.peer.UTF8
		return c.introduced()
	case 4:
		return c.refused()
	case 5:
		b := append(append(c.buf[:0], "HELO "...), c.opts.Hostname...)
		return c.say(append(b, "\r\n"...), (*client).helloed, StageHello, c.opts.Mail)
	}
	return c.nonsense("EHLO")
}

// helloed takes the answer to HELO.
func (c *client) helloed() session.Step {
	switch {
	case c.in.refuses():
		return c.refused()
	case c.in.class() != 2:
		return c.nonsense("HELO")
	}
	c.peer.learn(&hello{host: shown(firstWord(firstLine(c.in.text)))})
	return c.introduced()
}

// refused ends a conversation whose preliminaries the server refuses.
func (c *client) refused() session.Step {
	return c.failAndQuit(c.in.reply(), false)
}

// failAndQuit is fail with QUIT.
func (c *client) failAndQuit(r *Reply, local bool) session.Step {
	c.fail(r, local)
	return c.quit()
}

// nonsense ends a conversation in which a reply can't be what it answers.
func (c *client) nonsense(command string) session.Step {
	return c.lose("the server answered " + command + " with " + strconv.Itoa(c.in.code))
}

// introduced goes on once each side knows the other: TLS, the login, mail.
func (c *client) introduced() session.Step {
	switch {
	case c.stopping:
		return c.quit()
	case c.conn.TLS != nil || c.opts.TLS == TLSNever:
		return c.prove()
	case c.peer.StartTLS:
		return c.say(append(c.buf[:0], "STARTTLS\r\n"...), (*client).mayStartTLS, StageTLS, c.opts.Mail)
	}
	return c.withoutTLS()
}

// withoutTLS goes on unprotected, if that is allowed.
func (c *client) withoutTLS() session.Step {
	if c.opts.TLS != TLSMust {
		return c.prove()
	}
	c.stage = StageTLS
	return c.failAndQuit(&Reply{Code: 454, Enhanced: "7.0", Text: "TLS is required here, and the server does not offer it"}, true)
}

// mayStartTLS takes the answer to STARTTLS (RFC 3207 §4).
func (c *client) mayStartTLS() session.Step {
	switch {
	case c.in.class() == 2:
		return session.Step{Next: session.StartTLS}
	case !c.in.refuses():
		return c.nonsense("STARTTLS")
	case c.opts.TLS == TLSMust:
		return c.refused()
	}
	return c.prove()
}

// secured begins anew: nothing that was said before the handshake counts
// (RFC 3207 §4.2).
func (c *client) secured() session.Step {
	c.peer = Peer{Greeting: c.peer.Greeting, TLS: c.conn.TLS}
	c.in = replyReader{maxLines: c.in.maxLines, text: c.in.text[:0]}
	return c.ehlo()
}

// hello is what a server says in its answer to EHLO.
type hello struct {
	host string
	peer Peer
}

// line takes line number n of the answer, which has the form of a reply.
func (h *hello) line(n int, line []byte) {
	if len(line) < 4 {
		return
	}
	text := line[4:]
	if n == 1 {
		h.host = shown(firstWord(text))
		return
	}
	keyword, params, _ := strings.Cut(string(text), " ")
	if learn := clientExtensions[strings.ToUpper(keyword)]; learn != nil {
		learn(&h.peer, params)
	}
}

// firstWord returns the first word of a text, with the limit of a domain's
// length.
func firstWord(text []byte) []byte {
	word, _, _ := bytes.Cut(text, []byte{' '})
	return word[:min(len(word), 255)]
}

// learn takes what an answer to EHLO or HELO has told.
func (p *Peer) learn(h *hello) {
	greeting, tls := p.Greeting, p.TLS
	*p = h.peer
	p.Greeting, p.TLS, p.Hostname = greeting, tls, h.host
}

// clientExtensions are the extensions that a client makes use of, with what it
// learns from their lines.
var clientExtensions = map[string]func(p *Peer, params string){
	"STARTTLS":    func(p *Peer, _ string) { p.StartTLS = true },
	"PIPELINING":  func(p *Peer, _ string) { p.Pipelining = true },
	"8BITMIME":    func(p *Peer, _ string) { p.EightBit = true },
	"CHUNKING":    func(p *Peer, _ string) { p.Chunking = true },
	"BINARYMIME":  func(p *Peer, _ string) { p.Binary = true },
	"SMTPUTF8":    func(p *Peer, _ string) { p.UTF8 = true },
	"DSN":         func(p *Peer, _ string) { p.DSN = true },
	"REQUIRETLS":  func(p *Peer, _ string) { p.RequireTLS = true },
	"MT-PRIORITY": func(p *Peer, _ string) { p.Priority = true },
	"SIZE":        learnSize,
	"DELIVERBY":   learnDeliverBy,
	"LIMITS":      learnLimits,
	"AUTH":        learnMechanisms,
}

func learnSize(p *Peer, params string) {
	p.SizeKnown = true
	if n, ok := parseOctets(strings.TrimSpace(params)); ok {
		p.MaxSize = n
	}
}

func learnDeliverBy(p *Peer, params string) {
	p.DeliverBy = true
	word, _, _ := strings.Cut(params, ",")
	if n, ok := parseOctets(strings.TrimSpace(word)); ok {
		p.MinBy = n
	}
}

// learnLimits: RFC 9422 §4. A limit of zero, which nothing would meet, is none.
func learnLimits(p *Peer, params string) {
	for word := range strings.FieldsSeq(params) {
		name, value, _ := strings.Cut(word, "=")
		n, ok := parseOctets(value)
		if !ok || n > 1<<20 {
			continue
		}
		switch strings.ToUpper(name) {
		case "RCPTMAX":
			p.MaxRecipients = int(n)
		case "MAILMAX":
			p.MaxMessages = int(n)
		}
	}
}

// maxMechanisms is how many mechanisms of a server are looked at.
const maxMechanisms = 32

func learnMechanisms(p *Peer, params string) {
	for word := range strings.FieldsSeq(strings.ToUpper(params)) {
		if len(p.Mechanisms) < maxMechanisms && isMechanism(word) {
			p.Mechanisms = append(p.Mechanisms, word)
		}
	}
}
