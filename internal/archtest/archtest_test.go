package archtest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const root = "../.."

func loadTree(t *testing.T) ([]pkg, func() []string) {
	t.Helper()
	all, set, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return all, func() []string { return checkProtocols(set, all) }
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func architecture(t *testing.T) string { return readPage(t, "ARCHITECTURE.md") }

func readPage(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestLibrariesAreThoseOfTheList(t *testing.T) {
	libraries, err := readBlock(architecture(t), "libraries")
	if err != nil {
		t.Fatalf("docs/ARCHITECTURE.md: %v", err)
	}
	all, _ := loadTree(t)
	report(t, checkLibraries(libraries, all))
}

func TestImportsAreThoseOfTheTable(t *testing.T) {
	table, err := readTable(architecture(t))
	if err != nil {
		t.Fatalf("docs/ARCHITECTURE.md: %v", err)
	}
	all, _ := loadTree(t)
	report(t, checkTable(table, all))
}

func TestPagesNameOnlyWhatIsThere(t *testing.T) {
	all, _ := loadTree(t)
	settings := []string{"outbound.accept", "pop3.lock", "smtp.max_received"}
	for _, page := range []string{"ARCHITECTURE.md", "FLOW.md"} {
		for _, p := range checkNames(readPage(t, page), settings, all) {
			t.Errorf("docs/%s: %s", page, p)
		}
	}
}

func TestProtocolsDoNoInputOrOutputAndReadNoClock(t *testing.T) {
	_, check := loadTree(t)
	report(t, check())
}

func TestOnlyReceiveMakesWarrants(t *testing.T) {
	all, set, err := load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkWarrants(set, all))
}

func TestEveryPackageSaysItsJob(t *testing.T) {
	all, _ := loadTree(t)
	report(t, checkComments(all))
}

func TestFilesAreShortAndRunNothingBeforeMain(t *testing.T) {
	all, _ := loadTree(t)
	report(t, checkFiles(all))
}

// broken is a tree that breaks every rule once.
var broken = fstest.MapFS{
	"cmd/tool/main.go":          {Data: []byte("// Package main is misnamed here.\npackage main\n\nimport (\n\t_ \"example.org/good/part\"\n\t_ \"example.org/bad\"\n\t_ \"postrider/internal/smtp\"\n)\n")},
	"internal/fault/fault.go":   {Data: []byte("// Package fault has one job and says it here.\npackage fault\n")},
	"internal/fault/b_test.go":  {Data: []byte("package fault\n\nimport _ \"postrider/internal/smtp\"\n")},
	"internal/smtp/a.go":        {Data: []byte("// Package smtp has one job and says it here.\npackage smtp\n\nimport (\n\t_ \"net/http\"\n\t_ \"net/netip\"\n\t_ \"postrider/internal/fault\"\n\t\"postrider/internal/store\"\n\tclock \"time\"\n)\n\nvar x = clock.Now\n\nfunc f() { go f() }\n\nvar y = store.AliasWarrant\n")},
	"internal/store/store.go":   {Data: []byte("package store\n\nimport \"C\"\n\nfunc init() {}\n")},
	"internal/store/x/x.go":     {Data: []byte("// Package x is.\npackage x\n")},
	"internal/store/testdata/a": {Data: []byte("not Go")},
	"internal/fault/long.go":    {Data: []byte("package fault\n" + strings.Repeat("\n", MaxLines))},
}

const brokenPage = "text\n```imports\nfault ←\nsmtp, store ← fault # remark\ncmd/tool ← everything\nimap ← fault\n```\n"

func TestRulesFindWhatBreaksThem(t *testing.T) {
	all, set, err := load(broken)
	if err != nil {
		t.Fatal(err)
	}
	table, err := readTable(brokenPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		got, want []string
	}{
		{"table", checkTable(table, all), []string{
			"imap: in the table, but not in the tree",
			"internal/smtp/a.go imports store, which the table does not allow",
			"store/x: not in the table",
		}},
		{"libraries", checkLibraries([]string{"example.org/good", "example.org/unused"}, all), []string{
			"cmd/tool/main.go imports example.org/bad, which is not in the list",
			"example.org/unused: in the list, but nothing imports it",
		}},
		{"names", checkNames("smtp.f, smtp.x, smtp.g, smtp.f.x, pop3.lock, smtp.set, e.g.x", []string{"smtp.set"}, all), []string{
			"smtp.g is not there",
			"smtp.f.x is not there",
		}},
		{"protocols", checkProtocols(set, all), []string{
			"internal/smtp/a.go imports net/http",
			"internal/smtp/a.go:12:9: uses time.Now",
			"internal/smtp/a.go:14:12: starts a goroutine",
		}},
		{"warrants", checkWarrants(set, all), []string{
			"internal/smtp/a.go:16:9: uses store.AliasWarrant, which is for receive",
		}},
		{"comments", checkComments(all), []string{
			`cmd/tool: its comment should begin with "Command tool " and say its job`,
			"store: has 0 package comments, want one",
			`store/x: its comment should begin with "Package x " and say its job`,
		}},
		{"files", checkFiles(all), []string{
			"internal/fault/long.go: 801 lines, at most 800",
			"internal/store/store.go: uses cgo",
			"internal/store/store.go: has an init function",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !slices.Equal(c.got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(c.got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestTableIsRefusedWhenItCanNotBeRead(t *testing.T) {
	for _, c := range []struct{ name, page string }{
		{"no block", "# Title\n```\na ← b\n```\n"},
		{"block without end", "\n```imports\na ← b\n"},
		{"line without arrow", "\n```imports\na <- b\n```\n"},
		{"room twice", "\n```imports\na ← b\na ←\n```\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if table, err := readTable(c.page); err == nil {
				t.Errorf("got %v, want an error", table)
			}
		})
	}
}
