package message

import (
	"errors"
	"regexp"

	"postrider/internal/mail"
)

// Limits of a list of mailboxes.
const (
	// MaxMailboxes is how many mailboxes a list has at most.
	MaxMailboxes = 100
	// maxComments is how deep comments nest.
	maxComments = 16
)

// What is wrong with a list of mailboxes. The texts may be shown to a peer.
var (
	ErrNoMailbox        = errors.New("there is no address in it")
	ErrTooManyMailboxes = errors.New("there are too many addresses in it")
	ErrMailboxGroup     = errors.New("a group stands where addresses have to be")
	ErrMailboxSyntax    = errors.New("it is not like: Name <name@example.org>; a name with special characters needs double quotes")
)

// ParseMailboxes reads the body of a From field or the like: a list of mailboxes
// (mailbox-list, RFC 5322 §3.4), with UTF-8 where RFC 6532 has it, each once
// as often as it stands there. The names and comments in it are read over.
//
// It is strict, since two readers who understand one field in different ways
// make room for forgery: no groups, no source routes, no name with a bare "@",
// no encoded word in an address, which some would decode (RFC 2047 §5).
func ParseMailboxes(body []byte) ([]mail.Address, error) {
	p := mailboxParser{b: body}
	var all []mail.Address
	for {
		if !p.space() {
			return nil, ErrMailboxSyntax
		}
		switch {
		case p.end() && len(all) == 0:
			return nil, ErrNoMailbox
		case p.end():
			return nil, ErrMailboxSyntax
		}
		a, err := p.mailbox()
		if err != nil {
			return nil, err
		}
		if all = append(all, a); len(all) > MaxMailboxes {
			return nil, ErrTooManyMailboxes
		}
		if p.end() {
			return all, nil
		}
		if !p.take(',') {
			return nil, ErrMailboxSyntax
		}
	}
}

// encodedWord is what readers of a header may decode (RFC 2047 §2).
var encodedWord = regexp.MustCompile(`=\?[^?]+\?[^?]+\?[^?]*\?=`)

// mailboxParser stands somewhere in a list of mailboxes.
type mailboxParser struct {
	b []byte
	i int
}

func (p *mailboxParser) end() bool { return p.i == len(p.b) }

// peek returns the next octet, or zero at the end; no list has a zero.
func (p *mailboxParser) peek() byte {
	if p.end() {
		return 0
	}
	return p.b[p.i]
}

func (p *mailboxParser) take(c byte) bool {
	if p.peek() != c || p.end() {
		return false
	}
	p.i++
	return true
}

// mailbox reads "name <local@domain>" or "local@domain", and what white space
// follows.
func (p *mailboxParser) mailbox() (mail.Address, error) {
	start := p.i
	words := 0
	for {
		switch c := p.peek(); {
		case c == '<':
			return p.bracketed()
		case c == '@' && words == 1:
			p.i = start
			return p.address()
		case c == ':' && words > 0:
			return mail.Address{}, ErrMailboxGroup
		case !p.word() || !p.space():
			return mail.Address{}, ErrMailboxSyntax
		}
		words++
	}
}

// bracketed reads an address in angle brackets.
func (p *mailboxParser) bracketed() (mail.Address, error) {
	p.take('<')
	if !p.space() {
		return mail.Address{}, ErrMailboxSyntax
	}
	a, err := p.address()
	if err != nil {
		return mail.Address{}, err
	}
	if !p.take('>') || !p.space() {
		return mail.Address{}, ErrMailboxSyntax
	}
	return a, nil
}

// address reads local@domain (addr-spec) and what white space follows.
func (p *mailboxParser) address() (mail.Address, error) {
	local := p.i
	if !p.word() {
		return mail.Address{}, ErrMailboxSyntax
	}
	text := string(p.b[local:p.i])
	if encodedWord.MatchString(text) || !p.space() || !p.take('@') || !p.space() {
		return mail.Address{}, ErrMailboxSyntax
	}
	domain := p.i
	if p.peek() == '[' {
		for !p.end() && p.peek() != ']' {
			p.i++
		}
		if !p.take(']') {
			return mail.Address{}, ErrMailboxSyntax
		}
	} else if !p.atom() || p.b[p.i-1] == '.' { // strict readers find no address then
		return mail.Address{}, ErrMailboxSyntax
	}
	a, err := mail.ParseAddress(text + "@" + string(p.b[domain:p.i]))
	if err != nil || !p.space() {
		return mail.Address{}, ErrMailboxSyntax
	}
	return a, nil
}

// word reads an atom with dots or a quoted string. Within a name there may be a
// dot alone (obs-phrase, RFC 5322 §4.1).
func (p *mailboxParser) word() bool {
	if p.peek() == '"' {
		return p.quoted()
	}
	return p.atom()
}

// atom reads atext and dots.
func (p *mailboxParser) atom() bool {
	start := p.i
	for !p.end() && isAtomOrDot(p.b[p.i]) {
		p.i++
	}
	return p.i > start
}

// quoted reads a quoted string (RFC 5322 §3.2.4).
func (p *mailboxParser) quoted() bool {
	p.i++
	for !p.end() {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return true
		case c == '\\':
			p.i++
			if p.end() || !isText(p.b[p.i]) {
				return false
			}
		case !isText(c) && !p.fold():
			return false
		}
		p.i++
	}
	return false
}

// space reads white space, folds and comments (CFWS, RFC 5322 §3.2.2). It
// reports false for a comment that does not end, and for what is no fold.
func (p *mailboxParser) space() bool {
	for !p.end() {
		switch c := p.b[p.i]; {
		case isBlank(c):
			p.i++
		case c == '\r' || c == '\n':
			if !p.fold() {
				return false
			}
			p.i++
		case c == '(':
			if !p.comment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

// comment reads a comment with those in it.
func (p *mailboxParser) comment() bool {
	depth := 0
	for !p.end() {
		switch c := p.b[p.i]; {
		case c == '(':
			if depth++; depth > maxComments {
				return false
			}
		case c == ')':
			if depth--; depth == 0 {
				p.i++
				return true
			}
		case c == '\\':
			p.i++
			if p.end() || !isText(p.b[p.i]) {
				return false
			}
		case !isText(c) && !p.fold():
			return false
		}
		p.i++
	}
	return false
}

// fold goes to the LF of a line end that white space follows, or that ends the
// field.
func (p *mailboxParser) fold() bool {
	if p.i+1 >= len(p.b) || p.b[p.i] != '\r' || p.b[p.i+1] != '\n' {
		return false
	}
	if p.i+2 < len(p.b) && !isBlank(p.b[p.i+2]) {
		return false
	}
	p.i++
	return true
}

// isText reports whether an octet may stand in a quoted string or comment.
func isText(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

// isAtomOrDot reports whether an octet is of an atom (RFC 5322 §3.2.3, RFC 6532
// §3.2) or a dot.
func isAtomOrDot(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '"':
		return false
	}
	return c > ' ' && c != 0x7f
}
