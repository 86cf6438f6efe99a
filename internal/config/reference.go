package config

import (
	"fmt"
	"reflect"
	"strings"
)

const referenceHead = `# Configuration

<!-- Made by "postrider config reference" from the settings' own descriptions. -->

Postrider reads one TOML file: the one named by ` + "`--config`" + `, else ` + "`./postrider.toml`" + `,
else ` + "`/etc/postrider/postrider.toml`" + `. ` + "`postrider init DIR`" + ` writes one with every setting in
it, and ` + "`postrider config check`" + ` says what is wrong in it. A key that is not written
has its default; a key that is not known is an error. A relative path starts at the
folder of this file.

Durations are text with a unit: "90s", "5m", "1h30m", "2d". Sizes are numbers of octets,
or text with a unit: "64KiB", "50MiB", "1.5GB". Domains, accounts and aliases are not
here: they live in the store, and ` + "`postrider domain`, `account` and `alias`" + ` change them.
`

// Reference returns the page that describes every setting, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	def := reflect.ValueOf(*Default())
	b.WriteString("\n## At the beginning of the file\n")
	referenceLeaves(&b, def)
	for _, f := range fieldsOf(def.Type()) {
		switch f.shape {
		case table:
			fmt.Fprintf(&b, "\n## [%s]\n\n%s\n", f.key, wrap(f.doc, 90, ""))
			referenceLeaves(&b, def.FieldByIndex(f.index))
		case list:
			fmt.Fprintf(&b, "\n## [[%s]]\n\n%s\n", f.key, wrap(f.doc, 90, ""))
			referenceLeaves(&b, reflect.Zero(f.typ.Elem()))
		}
	}
	return b.String()
}

func referenceLeaves(b *strings.Builder, v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		if f.shape != leaf {
			continue
		}
		fmt.Fprintf(b, "\n### `%s`\n\n", f.key)
		facts := []string{f.kind()}
		if len(f.values) > 0 {
			facts[0] = orList(f.values)
			if f.typ.Kind() == reflect.Slice {
				facts[0] = "list of " + facts[0]
			}
		}
		if interval := f.interval(); interval != "" {
			facts = append(facts, interval)
		}
		if d := v.FieldByIndex(f.index); !d.IsZero() || f.typ.Kind() == reflect.Struct || f.numeric() {
			facts = append(facts, "default `"+format(d)+"`")
		}
		fmt.Fprintf(b, "%s.\n\n%s\n\n```toml\n%s = %s\n```\n", capital(strings.Join(facts, "; ")),
			wrap(f.doc, 90, ""), f.key, f.sample(v.FieldByIndex(f.index)))
	}
}

// numeric reports whether zero is a default worth telling: of numbers without
// an example.
func (f field) numeric() bool { return f.typ.Kind() != reflect.String && f.example == "" }

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

const exampleHead = `# The configuration of postrider. Every setting is here; those behind a # are not
# in force and show their default, or an example where there is none.
# "postrider config check" says what is wrong in this file.
`

// Example returns a commented configuration with every setting: those of c that
// differ from the defaults are in force, the others are commented out.
func Example(c *Config) string {
	var b strings.Builder
	b.WriteString(exampleHead)
	v, def := reflect.ValueOf(*c), reflect.ValueOf(*Default())
	exampleLeaves(&b, v, def)
	for _, f := range fieldsOf(v.Type()) {
		switch f.shape {
		case table:
			fmt.Fprintf(&b, "\n%s\n[%s]\n", wrap(f.doc, 76, "# "), f.key)
			exampleLeaves(&b, v.FieldByIndex(f.index), def.FieldByIndex(f.index))
		case list:
			exampleList(&b, f, v.FieldByIndex(f.index))
		}
	}
	return b.String()
}

// exampleList writes the elements: the first with all settings explained, the
// others with what differs. Without elements, one is commented out.
func exampleList(b *strings.Builder, f field, items reflect.Value) {
	zero := reflect.Zero(f.typ.Elem())
	fmt.Fprintf(b, "\n%s\n", wrap(f.doc, 76, "# "))
	if items.Len() == 0 {
		fmt.Fprintf(b, "#[[%s]]\n", f.key)
		exampleLeaves(b, zero, zero)
	}
	for i := range items.Len() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "[[%s]]\n", f.key)
		if i == 0 {
			exampleLeaves(b, items.Index(i), zero)
			continue
		}
		for _, l := range fieldsOf(zero.Type()) {
			if value := items.Index(i).FieldByIndex(l.index); !value.IsZero() {
				fmt.Fprintf(b, "%s = %s\n", l.key, format(value))
			}
		}
	}
}

func exampleLeaves(b *strings.Builder, v, def reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		if f.shape != leaf {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", wrap(f.doc, 76, "# "))
		if facts := f.facts(); facts != "" {
			fmt.Fprintf(b, "# %s\n", facts)
		}
		value := v.FieldByIndex(f.index)
		if reflect.DeepEqual(value.Interface(), def.FieldByIndex(f.index).Interface()) {
			fmt.Fprintf(b, "#%s = %s\n", f.key, f.sample(value))
			continue
		}
		fmt.Fprintf(b, "%s = %s\n", f.key, format(value))
	}
}

// facts says in one line what may be written.
func (f field) facts() string {
	if len(f.values) > 0 {
		return capital(orList(f.values)) + "."
	}
	if interval := f.interval(); interval != "" {
		return capital(interval) + "."
	}
	return ""
}

// wrap breaks text into lines of at most width characters, each after a prefix.
func wrap(text string, width int, prefix string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case column == 0:
			b.WriteString(prefix)
			column = len(prefix)
		case column+1+n > width:
			b.WriteString("\n" + prefix)
			column = len(prefix)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
