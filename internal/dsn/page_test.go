package dsn

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// page is the part of docs/DELIVERY.md that is made from the tables here.
func page(t *testing.T) string {
	var b strings.Builder
	b.WriteString("This is what a person reads when an address does not exist:\n\n```text\n")
	r := parsed(t, written(t, failure()))
	fmt.Fprintf(&b, "Subject: %s\n\n%s```\n\n", r.header.Get("Subject"), strings.ReplaceAll(r.parts[0].content, "\r\n", "\n"))
	b.WriteString("and this, what a program reads:\n\n```text\n" + strings.ReplaceAll(r.parts[1].content, "\r\n", "\n") + "```\n\n")
	b.WriteString("What is said to have happened, and what can be done about it, is found by the enhanced code (RFC 3463, without its class),\n" +
		"by words in the answer, or by the basic code and the stage at which it came:\n\n| | codes | what happened | what its reader can do |\n| --- | --- | --- | --- |\n")
	for _, e := range explanations {
		codes := append(append([]string{}, e.Codes...), e.Vague...)
		if e.Ours {
			codes = append(codes, "of our own")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.Name, strings.Join(codes, ", "), e.What, e.Do)
	}
	return b.String()
}

func TestPageHasTheNotificationsAsTheyAre(t *testing.T) {
	const path, begin, end = "../../docs/DELIVERY.md", "<!-- made from the tables in internal/dsn; make docs writes it -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for what is made", path)
	}
	switch made := page(t); {
	case old == made:
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+made+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the tables say; make docs writes it", path)
	}
}
