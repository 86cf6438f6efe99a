package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// protocols are the packages whose sessions do no input or output of their own
// and read no clock (package session).
var protocols = []string{"smtp", "pop3"}

// closedTo is what protocols may not import: these, and what lies below them.
var closedTo = []string{"net", "os", "crypto/tls", "log", "syscall"}

// openTo are the exceptions.
var openTo = []string{"net/netip"}

// clock is what of package time protocols may not call.
var clock = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

// warrants are the functions of package store that say on whose account mail goes
// onward, and which rooms may call them: rooms below "store/" are the engines.
var warrants = map[string]string{
	"AccountWarrant": "receive",
	"ClientWarrant":  "receive",
	"ServerWarrant":  "receive",
	"AliasWarrant":   "receive",
	"StoredWarrant":  "store/",
}

// checkWarrants holds the making of warrants to the one package that establishes who
// sends: without a warrant nothing comes into the queue.
func checkWarrants(set *token.FileSet, all []pkg) (problems []string) {
	for _, p := range all {
		for _, f := range p.files {
			name := localName(f, module+"internal/store")
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok || name == "" {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				room := warrants[sel.Sel.Name]
				if !ok || x.Name != name || room == "" || p.room == room || strings.HasPrefix(p.room, "store/") {
					return true
				}
				problems = append(problems, fmt.Sprintf("%s: uses store.%s, which is for %s", set.Position(n.Pos()), sel.Sel.Name, room))
				return true
			})
		}
	}
	return problems
}

// checkProtocols holds the protocols to being machines without sockets, clock
// and goroutines.
func checkProtocols(set *token.FileSet, all []pkg) (problems []string) {
	for _, p := range all {
		if !slices.Contains(protocols, p.room) {
			continue
		}
		for _, f := range p.files {
			problems = append(problems, checkClosed(f)...)
			problems = append(problems, checkClock(set, f)...)
		}
	}
	return problems
}

func checkClosed(f file) (problems []string) {
	for _, imported := range imports(f) {
		for _, closed := range closedTo {
			below := imported == closed || strings.HasPrefix(imported, closed+"/")
			if below && !slices.Contains(openTo, imported) {
				problems = append(problems, fmt.Sprintf("%s imports %s", f.name, imported))
			}
		}
	}
	return problems
}

func checkClock(set *token.FileSet, f file) (problems []string) {
	name := localName(f, "time")
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			problems = append(problems, fmt.Sprintf("%s: starts a goroutine", set.Position(n.Pos())))
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && name != "" && x.Name == name && slices.Contains(clock, n.Sel.Name) {
				problems = append(problems, fmt.Sprintf("%s: uses time.%s", set.Position(n.Pos()), n.Sel.Name))
			}
		}
		return true
	})
	return problems
}

// localName returns what a file calls an imported package, or "".
func localName(f file, imported string) string {
	for _, s := range f.syntax.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err != nil || p != imported {
			continue
		}
		if s.Name != nil {
			return s.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// checkComments wants exactly one comment for a package, that begins as it
// should and goes on to say something.
func checkComments(all []pkg) (problems []string) {
	for _, p := range all {
		var docs []string
		for _, f := range p.files {
			if f.syntax.Doc != nil {
				docs = append(docs, f.syntax.Doc.Text())
			}
		}
		name, want := p.files[0].syntax.Name.Name, "Package "
		if name == "main" {
			name, want = path.Base(p.room), "Command "
		}
		want += name + " "
		switch {
		case len(docs) != 1:
			problems = append(problems, fmt.Sprintf("%s: has %d package comments, want one", p.room, len(docs)))
		case !strings.HasPrefix(docs[0], want) || len(docs[0]) < len(want)+20:
			problems = append(problems, fmt.Sprintf("%s: its comment should begin with %q and say its job", p.room, want))
		}
	}
	return problems
}

// checkFiles bounds the length of files, and forbids what runs before main and
// what needs a C compiler.
func checkFiles(all []pkg) (problems []string) {
	for _, p := range all {
		for _, f := range p.files {
			if f.lines > MaxLines {
				problems = append(problems, fmt.Sprintf("%s: %d lines, at most %d", f.name, f.lines, MaxLines))
			}
			if slices.Contains(imports(f), "C") {
				problems = append(problems, f.name+": uses cgo")
			}
			for _, d := range f.syntax.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					problems = append(problems, f.name+": has an init function")
				}
			}
		}
	}
	return problems
}
