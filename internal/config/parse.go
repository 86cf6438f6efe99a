package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// MaxFile is the largest configuration that is read, in octets.
const MaxFile = 1 << 20

// Load reads a file over the defaults. What is wrong in it comes back as
// Problems; what is wrong between settings is Check's business.
func Load(path string) (*Config, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// ReadFile reads a file that is no larger than MaxFile.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("read configuration: %s is larger than 1 MiB", path)
	}
	return data, nil
}

// Parse reads a document over the defaults. Name stands in error messages, and
// relative paths in the document start at its folder.
func Parse(name string, data []byte) (*Config, error) {
	c := Default()
	c.Data = filepath.Join(filepath.Dir(name), c.Data)
	if err := c.Overlay(name, data); err != nil {
		return nil, err
	}
	return c, nil
}

// Overlay reads a document over c: what it does not write stays. A [[listener]]
// with the name of one that is there changes that one; others are added. After
// an error c is as it was.
func (c *Config) Overlay(name string, data []byte) error {
	src := &source{name: name, data: slices.Clip(slices.Clone(data))}
	if err := src.syntax(); err != nil {
		return err
	}
	next := *c
	next.Listeners, next.origins = nil, origins{}
	next.Certificates = slices.Clip(c.Certificates)
	b := &binder{src: src, root: reflect.ValueOf(&next).Elem(), origins: next.origins}
	b.document()
	if len(b.problems) > 0 {
		return b.problems.Sorted()
	}
	next.mergeListeners(c)
	*c = next
	return nil
}

// mergeListeners puts the listeners just read into those of the base.
func (c *Config) mergeListeners(base *Config) {
	fresh, read := c.Listeners, c.origins
	c.Listeners, c.origins = slices.Clone(base.Listeners), origins{}
	for path, o := range base.origins {
		c.origins[path] = o
	}
	for path, o := range read {
		if !strings.HasPrefix(path, "listener[") {
			c.origins[path] = o
		}
	}
	for i, l := range fresh {
		at := slices.IndexFunc(base.Listeners, func(b Listener) bool { return l.Name != "" && b.Name == l.Name })
		if at < 0 {
			c.Listeners = append(c.Listeners, Listener{})
			at = len(c.Listeners) - 1
		}
		from, to := reflect.ValueOf(l), reflect.ValueOf(&c.Listeners[at]).Elem()
		if o, ok := read[listenerPath(i, "")]; ok {
			c.origins[listenerPath(at, "")] = o
		}
		for _, f := range fieldsOf(from.Type()) {
			if o, ok := read[listenerPath(i, f.key)]; ok {
				to.FieldByIndex(f.index).Set(from.FieldByIndex(f.index))
				c.origins[listenerPath(at, f.key)] = o
			}
		}
	}
	nameListeners(c.Listeners)
}

func listenerPath(i int, key string) string {
	if key == "" {
		return fmt.Sprintf("listener[%d]", i)
	}
	return fmt.Sprintf("listener[%d].%s", i, key)
}

// nameListeners gives those a name and a role that have none.
func nameListeners(ls []Listener) {
	taken := map[string]bool{}
	for _, l := range ls {
		taken[l.Name] = true
	}
	for i := range ls {
		l := &ls[i]
		if l.Role == "" && l.Protocol == ProtocolSMTP {
			l.Role = RoleMX
		}
		for n := 1; l.Name == "" && l.Protocol != ""; n++ {
			name := l.service()
			if n > 1 {
				name = fmt.Sprintf("%s-%d", name, n)
			}
			if !taken[name] {
				l.Name, taken[name] = name, true
			}
		}
	}
}

// syntax lets the TOML library read the whole document, which finds what is not
// TOML, and keys that are written twice.
func (s *source) syntax() error {
	if i := firstInvalidUTF8(s.data); i >= 0 {
		at := span{s, unstable.Range{Offset: uint32(i), Length: 1}}
		return Problems{at.locate(Problem{Message: "this is not UTF-8", Help: "save the file as UTF-8"})}
	}
	var all map[string]any
	err := toml.Unmarshal(s.data, &all)
	var de *toml.DecodeError
	if err == nil {
		return nil
	}
	if !errors.As(err, &de) {
		return Problems{{File: s.name, Message: strings.TrimPrefix(err.Error(), "toml: ")}}
	}
	line, column := de.Position()
	at := span{s, unstable.Range{Offset: uint32(s.offset(line, column)), Length: 1}}
	p := at.locate(Problem{Message: strings.TrimPrefix(de.Error(), "toml: ")})
	p.Help = syntaxHelp(p.Message, p.text)
	return Problems{p}
}

// offset returns where a line and column (both from 1) are.
func (s *source) offset(line, column int) int {
	at := 0
	for range line - 1 {
		next := strings.IndexByte(string(s.data[at:]), '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	return min(at+max(column-1, 0), len(s.data))
}

func firstInvalidUTF8(data []byte) int {
	for i, r := range string(data) {
		if r == '\uFFFD' && !strings.HasPrefix(string(data[i:min(i+3, len(data))]), "\uFFFD") {
			return i
		}
	}
	return -1
}

var (
	bareValue  = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=\s*([^\s"'\[{#][^"'#]*?)\s*(#.*)?$`)
	colonValue = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*:\s*(\S.*?)\s*$`)
)

// syntaxHelp guesses what was meant by a line that is not TOML.
func syntaxHelp(message, line string) string {
	switch {
	case strings.Contains(message, "already defined"):
		return "it may stand there once; leave one of the two out"
	case strings.Contains(message, "cannot have new lines"):
		return "text ends on its line, with the quote it began with"
	case strings.Contains(message, "already exists as an array of tables"):
		name, _, _ := strings.Cut(strings.TrimLeft(line, " \t["), "]")
		return fmt.Sprintf("write [[%s]]: there may be several of these", name)
	case strings.Contains(message, "expected newline"):
		return "a setting ends with its line; only a comment, which begins with #, may follow"
	}
	if m := bareValue.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("write %s = %q; text stands in quotes", m[1], m[2])
	}
	if m := colonValue.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("write %s = %s", m[1], quoted(m[2]))
	}
	return ""
}

// quoted puts a value into quotes that looks like text.
func quoted(s string) string {
	if strings.ContainsAny(s[:1], `"'[{0123456789`) || s == "true" || s == "false" {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// service is what people call what a listener does: "smtp", "submission",
// "submissions", "pop3", "pop3s".
func (l *Listener) service() string {
	switch {
	case l.Submits() && l.TLSMode() == TLSImplicit:
		return RoleSubmissions
	case l.Submits():
		return RoleSubmission
	case l.TLSMode() == TLSImplicit:
		return l.Protocol + "s"
	}
	return l.Protocol
}
