// Package archtest holds the tree to its architecture: who imports whom, by the
// table in docs/ARCHITECTURE.md; that protocols do no input or output and read no
// clock; that every package says what its job is, and no file grows too long.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// MaxLines is how many lines a file may have that is no test.
const MaxLines = 800

// module is the path under which the tree's packages are imported.
const module = "postrider/"

// pkg is a package of the tree without its tests, for every system at once.
type pkg struct {
	// room is its name in the table: the folder, without "internal/".
	room  string
	files []file
}

type file struct {
	name   string // path in the tree
	lines  int
	syntax *ast.File
}

// load reads the packages below cmd and internal, by ascending room. Folders
// named testdata are left out.
func load(tree fs.FS) ([]pkg, *token.FileSet, error) {
	rooms, set := map[string]*pkg{}, token.NewFileSet()
	for _, top := range []string{"cmd", "internal"} {
		err := fs.WalkDir(tree, top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return fs.SkipDir
			case d.IsDir(), path.Ext(name) != ".go", strings.HasSuffix(name, "_test.go"):
				return nil
			}
			f, err := parse(tree, set, name)
			if err != nil {
				return err
			}
			room := strings.TrimPrefix(path.Dir(name), "internal/")
			if rooms[room] == nil {
				rooms[room] = &pkg{room: room}
			}
			rooms[room].files = append(rooms[room].files, f)
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("read the tree: %w", err)
		}
	}
	all := make([]pkg, 0, len(rooms))
	for _, p := range rooms {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pkg) int { return strings.Compare(a.room, b.room) })
	return all, set, nil
}

func parse(tree fs.FS, set *token.FileSet, name string) (file, error) {
	src, err := fs.ReadFile(tree, name)
	if err != nil {
		return file{}, err
	}
	syntax, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	return file{name: name, lines: strings.Count(string(src), "\n"), syntax: syntax}, nil
}

// imports returns what a file imports.
func imports(f file) []string {
	var paths []string
	for _, s := range f.syntax.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}
