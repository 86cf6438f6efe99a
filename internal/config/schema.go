package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
)

// shape is what a key stands for.
type shape int

const (
	leaf  shape = iota // a value
	table              // [key]
	list               // [[key]]
)

var (
	textType   = reflect.TypeFor[encoding.TextUnmarshaler]()
	prefixType = reflect.TypeFor[netip.Prefix]()
	sizeType   = reflect.TypeFor[Size]()
)

func shapeOf(t reflect.Type) shape {
	switch {
	case reflect.PointerTo(t).Implements(textType):
		return leaf
	case t.Kind() == reflect.Struct:
		return table
	case t.Kind() == reflect.Slice && shapeOf(t.Elem()) == table:
		return list
	}
	return leaf
}

// field is a setting or a section of the struct.
type field struct {
	key     string
	doc     string
	values  []string
	tag     reflect.StructTag
	index   []int // see reflect.Value.FieldByIndex
	typ     reflect.Type
	shape   shape
	example string
}

// fieldsOf returns what a struct type has, in the order it is written; what an
// embedded struct has stands in its place.
func fieldsOf(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("toml")
		switch {
		case f.Anonymous:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fs = append(fs, inner)
			}
		case key != "":
			fs = append(fs, field{
				key: key, doc: f.Tag.Get("doc"), values: split(f.Tag.Get("values")), tag: f.Tag,
				index: []int{i}, typ: f.Type, shape: shapeOf(f.Type), example: f.Tag.Get("example"),
			})
		}
	}
	return fs
}

func fieldOf(t reflect.Type, key string) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	return keys
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "|")
}

// kind returns the name of the field's type, for people.
func (f field) kind() string {
	switch f.typ {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Reserve]():
		return "size, percentage or auto"
	case reflect.TypeFor[[]netip.Prefix]():
		return "list of networks"
	case reflect.TypeFor[[]string]():
		return "list of words"
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "number"
	}
	return "string"
}

// format returns a value as TOML writes it; empty for a value that is not set
// and has no default.
func format(v reflect.Value) string {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, _ := t.MarshalText() // those of this package never fail
		return quote(string(text))
	}
	switch v.Kind() {
	case reflect.String:
		return quote(v.String())
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = format(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// sample returns the field's example as TOML writes it, or its default.
func (f field) sample(value reflect.Value) string {
	switch {
	case f.example == "":
		return format(value)
	case f.typ.Kind() == reflect.Slice:
		return "[" + quote(f.example) + "]"
	case f.typ.Kind() == reflect.Int:
		return f.example
	}
	return quote(f.example)
}

// quote returns text as a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
