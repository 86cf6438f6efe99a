package archtest

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// names returns what each package declares, by the name of the package: "Name",
// and for methods, interfaces and structs "Type.Member".
func names(all []pkg) map[string]map[string]bool {
	declared := map[string]map[string]bool{}
	for _, p := range all {
		in := map[string]bool{}
		declared[path.Base(p.room)] = in
		for _, f := range p.files {
			for _, d := range f.syntax.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					in[receiver(d)+d.Name.Name] = true
				case *ast.GenDecl:
					addSpecs(in, d)
				}
			}
		}
	}
	return declared
}

// receiver returns "Type." for a method.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if i, ok := t.(*ast.Ident); ok {
		return i.Name + "."
	}
	return ""
}

func addSpecs(in map[string]bool, d *ast.GenDecl) {
	if d.Tok == token.IMPORT {
		return
	}
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.ValueSpec:
			for _, n := range s.Names {
				in[n.Name] = true
			}
		case *ast.TypeSpec:
			in[s.Name.Name] = true
			for _, m := range members(s.Type) {
				in[s.Name.Name+"."+m] = true
			}
		}
	}
}

func members(t ast.Expr) (all []string) {
	var fields *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	}
	if fields == nil {
		return nil
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			all = append(all, n.Name)
		}
	}
	return all
}

var dotted = regexp.MustCompile(`\b([a-z][a-z0-9]*)((?:\.[A-Za-z]\w*)+)`)

// checkNames reports what a page names as package.Name or package.Type.Member
// and is not there. Settings are names of the configuration, such as pop3.lock.
func checkNames(page string, settings []string, all []pkg) (problems []string) {
	declared := names(all)
	for _, m := range dotted.FindAllStringSubmatch(page, -1) {
		in, ours := declared[m[1]]
		name := strings.TrimPrefix(m[2], ".")
		if !ours || slices.Contains(settings, m[0]) || in[name] {
			continue
		}
		problems = append(problems, m[0]+" is not there")
	}
	return problems
}
