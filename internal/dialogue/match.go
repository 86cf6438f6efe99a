package dialogue

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// values are what {name} stands for.
type values map[string]string

// derive takes what the setup has, and what follows from it.
func (v values) derive(vars map[string]string) {
	encode := base64.StdEncoding.EncodeToString
	for name, value := range vars {
		v[name+"-base64"] = encode([]byte(value))
		if who, ok := strings.CutSuffix(name, "-password"); ok {
			v[who+"-plain"] = encode([]byte("\x00" + who + "@example.test\x00" + value)) // RFC 4616 §2
		}
	}
	maps.Copy(v, vars)
}

var nameForm = regexp.MustCompile(`\{([a-z][a-z0-9-]*)\}`)

// fill puts values in place of their names.
func (v values) fill(text string) (string, error) {
	var err error
	filled := nameForm.ReplaceAllStringFunc(text, func(s string) string {
		value, ok := v[s[1:len(s)-1]]
		if !ok {
			err = fmt.Errorf("%s has no value: no server line before has it, nor has the setup", s)
		}
		return value
	})
	return filled, err
}

// match reports whether line is what pattern describes, and learns the values
// of names that it had none for.
func (v values) match(pattern, line string) (bool, error) {
	re, names, err := v.compile(pattern)
	if err != nil {
		return false, err
	}
	m := re.FindStringSubmatch(line)
	if m == nil {
		return false, nil
	}
	learnt := values{}
	for i, name := range names {
		if old, ok := learnt[name]; ok && old != m[i+1] {
			return false, nil
		}
		learnt[name] = m[i+1]
	}
	maps.Copy(v, learnt)
	return true, nil
}

// compile makes a regular expression of a pattern; names are those of its
// groups.
func (v values) compile(pattern string) (*regexp.Regexp, []string, error) {
	var re, literal strings.Builder
	var names []string
	flush := func() {
		re.WriteString(regexp.QuoteMeta(literal.String()))
		literal.Reset()
	}
	re.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		name := nameForm.FindStringSubmatchIndex(rest)
		switch {
		case len(rest) > 1 && rest[0] == '\\' && strings.IndexByte(`*{\`, rest[1]) >= 0:
			literal.WriteByte(rest[1])
			i++
		case rest[0] == '*':
			flush()
			re.WriteString(`.*`)
		case name != nil && name[0] == 0:
			key := rest[name[2]:name[3]]
			if value, ok := v[key]; ok {
				literal.WriteString(value)
			} else {
				flush()
				re.WriteString(`([!-~]+)`)
				names = append(names, key)
			}
			i += name[1] - 1
		default:
			literal.WriteByte(rest[0])
		}
	}
	flush()
	re.WriteString(`\z`)
	compiled, err := regexp.Compile(re.String())
	return compiled, names, err
}
