package zone

import (
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"
)

// Write writes records as a part of a zone file: each line that is not to be there
// as it stands begins with ";".
func Write(w io.Writer, records []Record) error {
	var b strings.Builder
	why := ""
	for _, r := range records {
		if r.Why != why {
			if why != "" {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "; %s\n", r.Why)
			why = r.Why
		}
		if r.Aside != "" {
			fmt.Fprintf(&b, "; (%s)\n;", r.Aside)
		}
		b.WriteString(Line(r) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Line returns a record's line in a zone file, with spaces between its parts.
func Line(r Record) string { return strings.Join(strings.SplitN(r.RR.String(), "\t", 5), " ") }

// Data returns what follows name, time to live, class and type.
func Data(r Record) string { return strings.TrimPrefix(r.RR.String(), r.RR.Header().String()) }

func trimDot(s string) string { return strings.TrimSuffix(s, ".") }

// Type returns a record's type as a zone file has it.
func Type(r Record) string { return dns.TypeToString[r.RR.Header().Rrtype] }
