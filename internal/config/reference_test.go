package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// every calls visit for each setting with its section's struct type.
func every(visit func(section string, f field)) {
	t := reflect.TypeFor[Config]()
	for _, f := range fieldsOf(t) {
		switch f.shape {
		case leaf:
			visit("", f)
		case table:
			for _, g := range fieldsOf(f.typ) {
				visit(f.key, g)
			}
		case list:
			for _, g := range fieldsOf(f.typ.Elem()) {
				visit(f.key, g)
			}
		}
	}
}

func TestEveryFieldHasAKeyAndADescription(t *testing.T) {
	every(func(section string, f field) {
		if !strings.HasSuffix(f.doc, ".") {
			t.Errorf("%s.%s: got the description %q, want sentences", section, f.key, f.doc)
		}
	})
	for _, typ := range []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[Listener](), reflect.TypeFor[Limits](),
		reflect.TypeFor[SMTP](), reflect.TypeFor[POP3](), reflect.TypeFor[Store](), reflect.TypeFor[Passwords](), reflect.TypeFor[Log](), reflect.TypeFor[Admin](),
	} {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() && f.Tag.Get("toml") == "" {
				t.Errorf("%s.%s has no toml tag", typ.Name(), f.Name)
			}
		}
	}
}

func TestBoundsInTagsCanBeRead(t *testing.T) {
	every(func(section string, f field) {
		low, high := f.bound("min"), f.bound("max")
		if f.tag.Get("min") != "" && (low == nil || *low == 0 && strings.Trim(f.tag.Get("min"), "0sB") != "") {
			t.Errorf("%s.%s: min %q was not read", section, f.key, f.tag.Get("min"))
		}
		if low != nil && high != nil && *low >= *high {
			t.Errorf("%s.%s: min %d is not below max %d", section, f.key, *low, *high)
		}
	})
}

func TestDefaultsKeepTheirOwnBounds(t *testing.T) {
	def := reflect.ValueOf(*Default())
	for _, s := range fieldsOf(def.Type()) {
		if s.shape != table {
			continue
		}
		for _, f := range fieldsOf(s.typ) {
			if f.typ.Kind() == reflect.Slice {
				continue // empty: all, or none
			}
			if err := f.allows(def.FieldByIndex(s.index).FieldByIndex(f.index)); err != nil {
				t.Errorf("%s.%s: its default is not allowed: %v", s.key, f.key, err)
			}
		}
	}
}

func TestReferencePageInDocsIsCurrent(t *testing.T) {
	const path = "../../docs/CONFIGURATION.md"
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Reference() {
		t.Errorf("docs/CONFIGURATION.md is out of date; write it with: go test ./internal/config -run Reference -update")
	}
}

func exampleConfig() *Config {
	c := Default()
	c.Hostname = "mail.example.org"
	c.Listeners = []Listener{
		{Name: "smtp", Protocol: "smtp", Role: "mx", Address: "127.0.0.1:2525", Teach: true},
		{Name: "pop3", Protocol: "pop3", Address: "127.0.0.1:1110"},
	}
	return c
}

func TestTheExampleSaysWhatItWasMadeFrom(t *testing.T) {
	want := exampleConfig()
	got := mustParse(t, "postrider.toml", Example(want))
	got.origins = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEverySettingOfTheExampleIsValidWhenUncommented(t *testing.T) {
	var lines []string
	for line := range strings.Lines(Example(exampleConfig())) {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			line = line[1:]
		}
		lines = append(lines, line)
	}
	if _, err := Parse("example.toml", []byte(strings.Join(lines, ""))); err != nil {
		t.Error(err)
	}
}

func TestTheExampleHasEverySetting(t *testing.T) {
	here := map[string]bool{}
	section := ""
	for line := range strings.Lines(Example(exampleConfig())) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		} else if key, _, ok := strings.Cut(line, " = "); ok {
			here[section+"."+key] = true
		}
	}
	every(func(section string, f field) {
		if !here[section+"."+f.key] {
			t.Errorf("%s.%s is not in the example", section, f.key)
		}
	})
}
