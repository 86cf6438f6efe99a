package dialogue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"postrider/internal/session"
)

// MaxLine is the longest line of a dialogue file, in octets.
const MaxLine = 1 << 20

// Parse reads a dialogue. Name stands in errors, as "name:line: …".
func Parse(name string, r io.Reader) (*Dialogue, error) {
	p := &parser{d: &Dialogue{Name: name}, header: true}
	in := bufio.NewScanner(r)
	in.Buffer(nil, MaxLine)
	for in.Scan() {
		p.line++
		if err := p.parseLine(in.Text()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, p.line+1, err)
	}
	if err := p.end(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
	}
	return p.d, nil
}

// parser is a dialogue that is being read.
type parser struct {
	d     *Dialogue
	line  int
	first Connection // what the first lines say
	opens int
	// header: properties may come. message: lines of the message given last.
	// any: "S: ..." was the line before.
	header, message, any bool
	// client: the side under test is the client.
	client bool
}

var events = map[string]session.Event{
	"timeout": session.Timeout, "shutdown": session.Shutdown,
	"shed": session.Shed, "flood": session.Flood, "tls": session.TLSReady,
}

var errAny = errors.New(`after "S: ..." comes an S: line or X`)

// parseLine takes one line of the file, without its ending.
func (p *parser) parseLine(s string) error {
	if !utf8.ValidString(s) {
		return errors.New(`not UTF-8; octets can be written as C< "\xff"`)
	}
	if text, ok := strings.CutPrefix(s, "|"); ok {
		return p.addGiven(text)
	}
	p.message = false
	switch {
	case strings.TrimSpace(s) == "", strings.HasPrefix(s, "#"):
		return nil
	case strings.HasPrefix(s, "--- "):
		return p.connection(strings.Fields(s[4:]))
	case len(s) >= 2 && (s[0] == 'C' || s[0] == 'S') && (s[1] == ':' || s[1] == '<'):
		return p.conversation((s[0] == 'S') != p.client, s[1] == '<', s[2:])
	}
	words := strings.Fields(s)
	switch {
	case s == "X":
		return p.add(step{kind: stepClosed})
	case s == "D":
		return p.add(step{kind: stepDrop})
	case words[0] == "E" && len(words) == 2:
		e, ok := events[words[1]]
		if !ok {
			return fmt.Errorf("%q is no event; there are timeout, shutdown, shed, flood and tls", words[1])
		}
		return p.add(step{kind: stepEvent, event: e, text: words[1]})
	case len(words) == 2:
		return p.property(words[0], words[1])
	}
	return fmt.Errorf("%q is no line of a dialogue", s)
}

// conversation takes what stands behind C:, C<, S: or S<. Tested says that it is
// the side under test that says it.
func (p *parser) conversation(tested, raw bool, text string) error {
	text, space := strings.CutPrefix(text, " ")
	if !space && text != "" {
		return fmt.Errorf("a space is missing before %q", text)
	}
	if !raw {
		switch {
		case !tested:
			return p.add(step{kind: stepSend, text: text})
		case text == "..." && !p.any:
			p.any = true
			return nil
		}
		return p.add(step{kind: stepExpect, text: text})
	}
	if !strings.HasPrefix(text, `"`) {
		return fmt.Errorf(`octets stand in double quotes, not as %s`, text)
	}
	octets, err := strconv.Unquote(text)
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	if tested {
		return p.add(step{kind: stepExpectRaw, text: octets})
	}
	return p.add(step{kind: stepSendRaw, text: octets})
}

// add appends a step of the conversation, and the first connection before it.
func (p *parser) add(s step) error {
	if p.opens == 0 {
		if p.first.Protocol == "" {
			return errors.New(`"protocol smtp", or another one, must come first`)
		}
		p.append(step{kind: stepOpen, open: p.first})
		p.opens = 1
	}
	p.header = false
	return p.append(s)
}

// append appends a step as it is.
func (p *parser) append(s step) error {
	if p.any && s.kind != stepExpect && s.kind != stepClosed && s.kind != stepOpen {
		return errAny
	}
	if s.kind == stepExpect || s.kind == stepClosed {
		s.any, p.any = p.any, false
	}
	s.line = p.line
	p.d.steps = append(p.d.steps, s)
	return nil
}

// connection takes the words behind "---".
func (p *parser) connection(words []string) error {
	if len(words) != 1 {
		return errors.New("--- takes one word: a protocol, or the number of a connection")
	}
	if n, err := strconv.Atoi(words[0]); err == nil {
		if n < 1 || n > p.opens {
			return fmt.Errorf("there is no connection %d yet", n)
		}
		return p.add(step{kind: stepSwitch, number: n - 1})
	}
	if p.opens == 0 {
		return errors.New(`the first connection begins without "---"`)
	}
	open := Connection{Protocol: words[0], Teach: p.first.Teach}
	for i := range p.d.steps {
		if s := &p.d.steps[i]; s.kind == stepOpen {
			open.Teach = s.open.Teach
			if s.open.Protocol == open.Protocol {
				open.Role = s.open.Role
			}
		}
	}
	p.opens++
	p.header = true
	return p.append(step{kind: stepOpen, open: open})
}

// property takes a line of two words.
func (p *parser) property(key, value string) error {
	if !p.header {
		return fmt.Errorf("%q comes too late: properties stand at the beginning and after ---", key)
	}
	c := &p.first
	if p.opens > 0 {
		c = &p.d.steps[len(p.d.steps)-1].open
	}
	switch {
	case key == "role":
		c.Role = value
	case key == "listener" && (value == "teach" || value == "strict"):
		c.Teach = value == "teach"
	case key == "side" && value == "client" && p.opens == 0:
		p.client = true
	case key == "protocol" && p.opens == 0:
		c.Protocol = value
	case key == "needs" && p.opens == 0 && slices.Contains([]string{NeedsTurner, NeedsBinary, NeedsRelay}, value):
		p.d.Needs = append(p.d.Needs, value)
	case key == "given" && p.opens == 0:
		p.d.Given = append(p.d.Given, Message{To: value})
		p.message = true
	default:
		return fmt.Errorf("%q %q is no property here", key, value)
	}
	return nil
}

// addGiven takes what stands behind | as a line of the message given last.
func (p *parser) addGiven(text string) error {
	if !p.message {
		return errors.New(`a line with | belongs behind "given address"`)
	}
	text, space := strings.CutPrefix(text, " ")
	if !space && text != "" {
		return fmt.Errorf("a space is missing before %q", text)
	}
	m := &p.d.Given[len(p.d.Given)-1]
	m.Content = append(append(m.Content, text...), "\r\n"...)
	return nil
}

// end checks what only the whole can show.
func (p *parser) end() error {
	switch {
	case p.any:
		return errAny
	case len(p.d.steps) == 0:
		return errors.New("nobody says anything")
	}
	return nil
}
