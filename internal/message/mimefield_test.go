package message

import (
	"strings"
	"testing"
)

func TestMediaTypesAreReadAsOthersWriteThem(t *testing.T) {
	for _, c := range []struct{ name, body, kind, boundary string }{
		{"plain", ` multipart/mixed; boundary=b`, "multipart/mixed", "b"},
		{"case", ` Multipart/Mixed; BOUNDARY=B`, "multipart/mixed", "B"},
		{"quoted", ` multipart/mixed; boundary="a b=(c);\"d"`, "multipart/mixed", `a b=(c);"d`},
		{"comments", ` (a) multipart/mixed (b;"c") ; boundary=b (d\)) ; charset=x (e)`, "multipart/mixed", "b"},
		{"continued", ` multipart/mixed; boundary*0=a; boundary*1=b`, "multipart/mixed", "ab"},
		{"no quotes", ` multipart/mixed; boundary=--=_x/y?z@:[w]`, "multipart/mixed", "--=_x/y?z@:[w]"},
		{"no quotes, more behind", " multipart/mixed;\tboundary = =_x ; charset=utf-8", "multipart/mixed", "=_x"},
		{"another parameter is malformed", ` multipart/mixed; name=a b; boundary="x;y"`, "multipart/mixed", "x;y"},
		{"no boundary", ` multipart/mixed; name=a b`, "multipart/mixed", ""},
		{"a leaf with a malformed parameter", ` text/plain; charset="x`, "text/plain", ""},

		{"blanks and no quotes", ` multipart/mixed; boundary==a b`, "multipart/mixed", ""},
		{"two boundaries", ` multipart/mixed; boundary==a; boundary=b`, "multipart/mixed", ""},
		{"a boundary and a continued one", ` multipart/mixed; boundary==a; boundary*0=b`, "multipart/mixed", ""},
		{"half a quote", ` multipart/mixed; boundary="a`, "multipart/mixed", ""},
		{"quotes within", ` multipart/mixed; boundary=a"b"`, "multipart/mixed", ""},
		{"an escape", ` multipart/mixed; x=a b; boundary="a\b"`, "multipart/mixed", ""},
		{"a comment without an end", ` multipart/mixed; boundary=a(b`, "", ""},
		{"a comment within", ` mult(x)ipart/mixed; boundary=a`, "", ""},
		{"no type", ` mixed; boundary=a`, "", ""},
		{"nothing", ` `, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if kind, boundary := mediaType(c.body); kind != c.kind || boundary != c.boundary {
				t.Errorf("got %q, %q, want %q, %q", kind, boundary, c.kind, c.boundary)
			}
		})
	}
}

func FuzzMediaType(f *testing.F) {
	for _, s := range []string{"a/b; boundary=x", "a/b; boundary==x;", "a/b (c;\"d) ; e=\"f", "a/b; c=d e; boundary=\"x;y\"", "[", "\\("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		kind, boundary := mediaType(body)
		if boundary != "" && kind == "" || kind != "" && !strings.Contains(kind, "/") {
			t.Fatalf("%q: got %q, %q", body, kind, boundary)
		}
		if text, ok := withoutComments(body); ok && len(text) > len(body) {
			t.Fatalf("%q: without comments %q", body, text)
		}
	})
}
