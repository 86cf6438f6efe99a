package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// allows holds a value against the field's tags; the error says what is allowed.
func (f field) allows(v reflect.Value) error {
	if len(f.values) > 0 && !slices.Contains(f.values, v.String()) {
		help := "write " + orList(f.values)
		if near := nearest(v.String(), f.values); near != "" {
			help = fmt.Sprintf("did you mean %q? Allowed: %s", near, orList(f.values))
		}
		return errors.New(help)
	}
	if !v.CanInt() {
		return nil
	}
	low, high, off := f.bound("min"), f.bound("max"), f.bound("off")
	n := v.Int()
	if off != nil && n == *off || (low == nil || n >= *low) && (high == nil || n <= *high) {
		return nil
	}
	return errors.New("allowed is: " + f.interval())
}

// bound returns the number in a tag, or nil.
func (f field) bound(tag string) *int64 {
	text := f.tag.Get(tag)
	if text == "" {
		return nil
	}
	var n int64
	switch f.kind() {
	case "duration":
		var d Duration
		_ = d.UnmarshalText([]byte(text)) // a test reads all tags
		n = int64(d)
	case "size":
		s, _ := ParseSize(text)
		n = int64(s)
	default:
		n, _ = strconv.ParseInt(text, 10, 64)
	}
	return &n
}

// interval says in words what numbers are allowed; empty when all are.
func (f field) interval() string {
	low, high, off := f.tag.Get("min"), f.tag.Get("max"), f.tag.Get("off")
	var s string
	switch {
	case low != "" && high != "":
		s = "from " + low + " to " + high
	case low != "":
		s = "at least " + low
	case high != "":
		s = "at most " + high
	}
	if off != "" {
		s += ", or " + off
	}
	return s
}

func orList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// keyHelp says what may have been meant by an unknown key.
func keyHelp(s scope, name string) string {
	if near := nearest(name, keysOf(s.v.Type())); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if section := sectionWith(name); section != "" {
		return fmt.Sprintf("%q belongs to %s", name, section)
	}
	return "known here: " + strings.Join(keysOf(s.v.Type()), ", ")
}

// sectionWith returns the header of the section that has a key.
func sectionWith(name string) string {
	t := reflect.TypeFor[Config]()
	if f, ok := fieldOf(t, name); ok && f.shape == leaf {
		return "the beginning of the file, above the first section"
	}
	for _, f := range fieldsOf(t) {
		switch {
		case f.shape == table:
			if _, ok := fieldOf(f.typ, name); ok {
				return "[" + f.key + "]"
			}
		case f.shape == list:
			if _, ok := fieldOf(f.typ.Elem(), name); ok {
				return "[[" + f.key + "]]"
			}
		}
	}
	return ""
}

// maxSuggest bounds the words that are compared, in octets.
const maxSuggest = 64

// nearest returns the word most like s, or nothing if none is near.
func nearest(s string, words []string) string {
	if len(s) > maxSuggest {
		return ""
	}
	fold := strings.NewReplacer("-", "_", " ", "_")
	best, limit := "", max(1, len(s)/3)+1
	for _, w := range words {
		if d := distance(fold.Replace(strings.ToLower(s)), w); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, change or swap with their
// neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
