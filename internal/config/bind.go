package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// binder puts a document, whose syntax has been found good, into the struct. It
// goes on after a problem, so that the operator sees all of them.
type binder struct {
	src      *source
	root     reflect.Value
	origins  origins
	problems Problems
}

// scope is a section: a struct and its path.
type scope struct {
	v    reflect.Value
	path string
}

func (s scope) join(key string) string {
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

func (b *binder) document() {
	var p unstable.Parser
	p.Reset(b.src.data)
	section, known := scope{v: b.root}, true
	for p.NextExpression() {
		switch n := p.Expression(); n.Kind {
		case unstable.Table, unstable.ArrayTable:
			section, known = b.header(n)
		case unstable.KeyValue:
			if known {
				b.keyValue(section, n)
			}
		}
	}
	if err := p.Error(); err != nil {
		b.problems = append(b.problems, Problem{File: b.src.name, Message: err.Error()})
	}
}

// header enters the section of a [header] or [[header]].
func (b *binder) header(n *unstable.Node) (scope, bool) {
	s := scope{v: b.root}
	for it := n.Key(); it.Next(); {
		key := it.Node()
		f, ok := b.field(s, key)
		if !ok {
			return s, false
		}
		last := it.IsLast()
		switch {
		case f.shape == leaf:
			b.problem(key.Raw, fmt.Sprintf("%s is a setting, not a section", s.join(f.key)),
				fmt.Sprintf("write %s = %s", f.key, f.sample(s.v.FieldByIndex(f.index))))
			return s, false
		case f.shape == table && last && n.Kind == unstable.ArrayTable:
			b.problem(key.Raw, fmt.Sprintf("there is one section %s only", f.key), fmt.Sprintf("write [%s]", f.key))
			return s, false
		case f.shape == list && last && n.Kind == unstable.Table:
			b.problem(key.Raw, fmt.Sprintf("there may be several sections %s", f.key), fmt.Sprintf("write [[%s]]", f.key))
			return s, false
		case f.shape == list && last:
			s = b.grow(s, f, key.Raw)
		case f.shape == list && s.v.FieldByIndex(f.index).Len() == 0:
			b.problem(key.Raw, fmt.Sprintf("there is no [[%s]] above", f.key), "")
			return s, false
		case f.shape == list:
			list := s.v.FieldByIndex(f.index)
			i := list.Len() - 1
			s = scope{v: list.Index(i), path: fmt.Sprintf("%s[%d]", s.join(f.key), i)}
		default:
			s = scope{v: s.v.FieldByIndex(f.index), path: s.join(f.key)}
			if last {
				b.origins[s.path] = origin{key: span{b.src, key.Raw}}
			}
		}
	}
	return s, true
}

// grow appends an element to a list of sections.
func (b *binder) grow(s scope, f field, at unstable.Range) scope {
	list := s.v.FieldByIndex(f.index)
	i := list.Len()
	list.Set(reflect.Append(list, reflect.Zero(f.typ.Elem())))
	path := fmt.Sprintf("%s[%d]", s.join(f.key), i)
	b.origins[path] = origin{key: span{b.src, at}}
	return scope{v: list.Index(i), path: path}
}

// field finds what a key in a scope stands for.
func (b *binder) field(s scope, key *unstable.Node) (field, bool) {
	name := string(key.Data)
	f, ok := fieldOf(s.v.Type(), name)
	if !ok {
		b.problem(key.Raw, fmt.Sprintf("unknown key %q", name), keyHelp(s, name))
	}
	return f, ok
}

// keyValue binds key = value.
func (b *binder) keyValue(s scope, n *unstable.Node) {
	for it := n.Key(); it.Next(); {
		key := it.Node()
		f, ok := b.field(s, key)
		if !ok {
			return
		}
		if it.IsLast() {
			b.assign(s, f, key.Raw, n.Value())
			return
		}
		if f.shape != table {
			b.problem(key.Raw, fmt.Sprintf("%s has no keys below it", s.join(f.key)), "write "+f.key+" = …")
			return
		}
		s = scope{v: s.v.FieldByIndex(f.index), path: s.join(f.key)}
	}
}

// assign binds a value of any shape.
func (b *binder) assign(s scope, f field, key unstable.Range, value *unstable.Node) {
	switch f.shape {
	case table:
		if value.Kind != unstable.InlineTable {
			b.problem(key, fmt.Sprintf("%s is a section", s.join(f.key)), fmt.Sprintf("write [%s] on a line of its own, and its keys below", f.key))
			return
		}
		b.inline(scope{v: s.v.FieldByIndex(f.index), path: s.join(f.key)}, value)
	case list:
		if value.Kind != unstable.Array {
			b.problem(key, fmt.Sprintf("%s is a list of sections", s.join(f.key)), fmt.Sprintf("write [[%s]] on a line of its own, and its keys below", f.key))
			return
		}
		for it := value.Children(); it.Next(); {
			if it.Node().Kind != unstable.InlineTable {
				b.problem(key, fmt.Sprintf("%s is a list of sections", s.join(f.key)), fmt.Sprintf("write [[%s]] on a line of its own, and its keys below", f.key))
				return
			}
			b.inline(b.grow(s, f, key), it.Node())
		}
	default:
		b.leaf(s, f, key, value)
	}
}

func (b *binder) inline(s scope, tab *unstable.Node) {
	for it := tab.Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			b.keyValue(s, it.Node())
		}
	}
}

// leaf binds one value, or a list of values.
func (b *binder) leaf(s scope, f field, key unstable.Range, value *unstable.Node) {
	at := value.Raw
	if at.Length == 0 {
		at = key
	}
	b.origins[s.join(f.key)] = origin{key: span{b.src, key}, value: span{b.src, at}}
	target := s.v.FieldByIndex(f.index)
	if f.typ.Kind() != reflect.Slice {
		if b.scalar(f, target, value, at) {
			b.place(f, target)
		}
		return
	}
	if value.Kind != unstable.Array {
		b.problem(at, fmt.Sprintf("%s is a list", f.key), fmt.Sprintf("write %s = %s", f.key, f.sample(target)))
		return
	}
	all := reflect.MakeSlice(f.typ, 0, 0)
	for it := value.Children(); it.Next(); {
		item := reflect.New(f.typ.Elem()).Elem()
		at := it.Node().Raw
		if at.Length == 0 {
			at = key
		}
		if !b.scalar(f, item, it.Node(), at) {
			return
		}
		all = reflect.Append(all, item)
	}
	target.Set(all)
}

// place makes a relative name of a file start at the document's folder.
func (b *binder) place(f field, target reflect.Value) {
	if f.tag.Get("path") == "" || target.String() == "" || filepath.IsAbs(target.String()) {
		return
	}
	target.SetString(filepath.Join(filepath.Dir(b.src.name), target.String()))
}

// scalar binds one value and reports whether it was good.
func (b *binder) scalar(f field, target reflect.Value, value *unstable.Node, at unstable.Range) bool {
	err := setScalar(target, value)
	if err == nil {
		err = f.allows(target)
	}
	if err == nil {
		return true
	}
	b.problem(at, fmt.Sprintf("%s can't be %s", f.key, shown(value, b.src, at)), err.Error())
	return false
}

// shown returns a value as it was written, if that is short.
func shown(n *unstable.Node, src *source, at unstable.Range) string {
	switch n.Kind {
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	}
	s := string(src.data[at.Offset : at.Offset+at.Length])
	if len(s) > 60 || strings.ContainsAny(s, "\r\n") {
		return "this"
	}
	return printable(s)
}

func setScalar(target reflect.Value, value *unstable.Node) error {
	text := string(value.Data)
	if target.Type() == prefixType {
		return setPrefix(target, value.Kind, text)
	}
	if t, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		switch {
		case value.Kind == unstable.Integer && target.Type() == sizeType:
			text = strings.ReplaceAll(text, "_", "")
		case value.Kind != unstable.String:
			text = "" // refused below, with the type's own words
		}
		return t.UnmarshalText([]byte(text))
	}
	switch target.Kind() {
	case reflect.Bool:
		if value.Kind != unstable.Bool {
			return fmt.Errorf("write true or false, without quotes")
		}
		target.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(strings.TrimPrefix(text, "+"), 0, 32)
		if value.Kind != unstable.Integer || err != nil {
			return fmt.Errorf("write a whole number, without quotes")
		}
		target.SetInt(n)
	default:
		if value.Kind != unstable.String {
			return fmt.Errorf("write text, in quotes")
		}
		target.SetString(text)
	}
	return nil
}

// setPrefix binds a network; a lone address is the network of that address.
func setPrefix(target reflect.Value, kind unstable.Kind, text string) error {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" && kind == unstable.String {
		target.Set(reflect.ValueOf(netip.PrefixFrom(addr, addr.BitLen())))
		return nil
	}
	prefix, err := netip.ParsePrefix(text)
	if kind != unstable.String || err != nil {
		return fmt.Errorf(`write a network like "10.0.0.0/8" or "2001:db8::/32", or an address`)
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("its address has bits beyond the prefix; write %q", prefix.Masked())
	}
	target.Set(reflect.ValueOf(prefix))
	return nil
}

func (b *binder) problem(at unstable.Range, message, help string) {
	b.problems = append(b.problems, span{b.src, at}.locate(Problem{Message: message, Help: help}))
}
