package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// everything stands in the table for a package that may import all others.
const everything = "everything"

// table is who may import whom, by room.
type table map[string][]string

// readTable reads the table from a page's block "imports". A line is a list of rooms, "←", and a list of the rooms that these may
// import, or "everything", or nothing; what follows "#" is a remark.
func readTable(page string) (table, error) {
	lines, err := readBlock(page, "imports")
	if err != nil {
		return nil, err
	}
	t := table{}
	for _, line := range lines {
		left, right, ok := strings.Cut(line, "←")
		if !ok {
			return nil, fmt.Errorf("no ← in the line %q", line)
		}
		for _, room := range rooms(left) {
			if _, twice := t[room]; twice {
				return nil, fmt.Errorf("%s stands twice on the left", room)
			}
			t[room] = rooms(right)
		}
	}
	return t, nil
}

// readBlock returns the lines of a page's code block without remarks.
func readBlock(page, name string) ([]string, error) {
	_, block, ok := strings.Cut(page, "\n```"+name+"\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !ok || !closed {
		return nil, fmt.Errorf("the page has no block that begins with ```%s", name)
	}
	var lines []string
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// rooms splits a list.
func rooms(list string) []string {
	var all []string
	for room := range strings.SplitSeq(list, ",") {
		if room = strings.TrimSpace(room); room != "" {
			all = append(all, room)
		}
	}
	return all
}

// allows reports whether the table has the edge.
func (t table) allows(from, to string) bool {
	return slices.Contains(t[from], to) || slices.Contains(t[from], everything)
}

// checkTable holds the packages' imports of each other to the table, and the
// table to the packages that are there.
func checkTable(t table, all []pkg) (problems []string) {
	there := map[string]bool{}
	for _, p := range all {
		there[p.room] = true
		if _, ok := t[p.room]; !ok {
			problems = append(problems, p.room+": not in the table")
			continue
		}
		for _, f := range p.files {
			for _, path := range imports(f) {
				to, ours := strings.CutPrefix(path, module)
				to = strings.TrimPrefix(to, "internal/")
				if ours && !t.allows(p.room, to) {
					problems = append(problems, fmt.Sprintf("%s imports %s, which the table does not allow", f.name, to))
				}
			}
		}
	}
	for room, targets := range t {
		for _, r := range append([]string{room}, targets...) {
			if r != everything && !there[r] {
				problems = append(problems, r+": in the table, but not in the tree")
			}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// checkLibraries holds the packages' imports from elsewhere to a list of
// libraries, each a path below which all may be imported, and the list to what
// is imported.
func checkLibraries(libraries []string, all []pkg) (problems []string) {
	used := map[string]bool{}
	for _, p := range all {
		for _, f := range p.files {
			for _, path := range imports(f) {
				host, _, _ := strings.Cut(path, "/")
				if !strings.Contains(host, ".") {
					continue // ours, or the standard library's
				}
				i := slices.IndexFunc(libraries, func(l string) bool { return path == l || strings.HasPrefix(path, l+"/") })
				if i < 0 {
					problems = append(problems, f.name+" imports "+path+", which is not in the list")
					continue
				}
				used[libraries[i]] = true
			}
		}
	}
	for _, l := range libraries {
		if !used[l] {
			problems = append(problems, l+": in the list, but nothing imports it")
		}
	}
	return problems
}
