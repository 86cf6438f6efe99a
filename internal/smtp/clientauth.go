package smtp

import (
	"encoding/base64"

	"postrider/internal/sasl"
	"postrider/internal/session"
)

// maxInitial is how many octets a line with an initial response may have; a
// longer response is sent when the server asks for it (RFC 4954 §4).
const maxInitial = 500

// prove logs in, if that is asked for.
func (c *client) prove() session.Step {
	l := c.opts.Login
	if l == nil {
		return c.next()
	}
	c.stage = StageLogin
	// Under TLS with a server that has not proven its name, whoever answers in its
	// place would be told the password.
	plain := l.Plaintext || c.conn.TLS != nil && c.opts.Verified
	login := sasl.ClientLogin{Username: l.Username, Password: l.Password, Plain: plain}
	if c.conn.TLS != nil {
		login.Binding = c.conn.TLS.Binding
	}
	c.login = sasl.NewClient(c.peer.Mechanisms, login)
	if c.login == nil {
		return c.noLogin("the server offers no way to log in that may be used here")
	}
	return c.beginLogin()
}

// noLogin ends a conversation in which the login can't be had, for now: what is
// wrong is with the settings or the server, not with the mail.
func (c *client) noLogin(why string) session.Step {
	c.login = nil
	return c.failAndQuit(&Reply{Code: 454, Enhanced: "7.0", Text: "The login failed: " + why}, true)
}

// beginLogin sends AUTH, with the initial response if there is one.
func (c *client) beginLogin() session.Step {
	response, err := c.login.Respond(nil)
	if err != nil {
		return c.noLogin(err.Error())
	}
	b := append(append(c.buf[:0], "AUTH "...), c.login.Mechanism()...)
	c.initial = nil
	switch {
	case response == nil:
	case len(response) == 0:
		b = append(b, " ="...)
	case len(b)+base64.StdEncoding.EncodedLen(len(response)) > maxInitial:
		c.initial = response
	default:
		b = base64.StdEncoding.AppendEncode(append(b, ' '), response)
		clear(response)
	}
	return c.say(append(b, "\r\n"...), (*client).challenged, StageLogin, c.opts.Mail)
}

// challenged takes the answer to a step of the login.
func (c *client) challenged() session.Step {
	clear(c.buf) // it may hold the password
	switch {
	case c.in.code == 334:
		return c.respond()
	case c.in.refuses():
		c.login = nil
		return c.refused()
	case c.in.class() != 2:
		return c.nonsense("AUTH")
	case !c.login.Complete():
		return c.lose("the server ended the login without having proven itself")
	}
	c.login = nil
	return c.next()
}

// respond answers a challenge.
func (c *client) respond() session.Step {
	challenge, ok := decodeBase64(c.in.text)
	response := c.initial
	c.initial = nil
	var err error
	switch {
	case !ok:
		return c.cancel("the server's challenge is not base64")
	case response == nil:
		response, err = c.login.Respond(challenge)
	}
	if err != nil {
		return c.cancel(err.Error())
	}
	b := base64.StdEncoding.AppendEncode(c.buf[:0], response)
	clear(response)
	return c.say(append(b, "\r\n"...), (*client).challenged, StageLogin, c.opts.Mail)
}

// cancel ends the login from our side (RFC 4954 §4).
func (c *client) cancel(why string) session.Step {
	c.cancelled = why
	return c.say(append(c.buf[:0], "*\r\n"...), (*client).cancelledLogin, StageLogin, c.opts.Mail)
}

// cancelledLogin takes the answer to that, whatever it is.
func (c *client) cancelledLogin() session.Step { return c.noLogin(c.cancelled) }
