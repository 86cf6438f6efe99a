package tlspolicy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const good = "version: STSv1\r\nmode: enforce\r\nmx: mx.test\r\nmax_age: 100\r\n"

func TestPoliciesAreRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       STSPolicy
		bad        bool
	}{
		{name: "CRLF", text: good, want: STSPolicy{ModeEnforce, []string{"mx.test"}, 100 * time.Second}},
		{name: "LF, and none at the end", text: strings.TrimSpace(strings.ReplaceAll(good, "\r", "")), want: STSPolicy{ModeEnforce, []string{"mx.test"}, 100 * time.Second}},
		{name: "spaces", text: "version:STSv1  \nmode:   testing\t\nmx:\t*.Mail.Test.\nmax_age: 1 \n\n", want: STSPolicy{ModeTesting, []string{"*.mail.test"}, time.Second}},
		{name: "another order, and what nobody knows", text: "max_age: 7\nfuture: x\nmx: a.test\nmx: b.test\nmode: enforce\nversion: STSv1\n", want: STSPolicy{ModeEnforce, []string{"a.test", "b.test"}, 7 * time.Second}},
		{name: "the first of several", text: good + "mode: none\nmax_age: 5\nversion: STSv2\n", want: STSPolicy{ModeEnforce, []string{"mx.test"}, 100 * time.Second}},
		{name: "a year at most", text: strings.ReplaceAll(good, "100", "9999999999"), want: STSPolicy{ModeEnforce, []string{"mx.test"}, 31557600 * time.Second}},
		{name: "none without hosts", text: "version: STSv1\nmode: none\nmax_age: 5\n", want: STSPolicy{Mode: ModeNone, MaxAge: 5 * time.Second}},
		{name: "A-labels", text: strings.ReplaceAll(good, "mx.test", "bücher.test"), want: STSPolicy{ModeEnforce, []string{"xn--bcher-kva.test"}, 100 * time.Second}},
		{name: "empty", text: "", bad: true},
		{name: "no version", text: strings.ReplaceAll(good, "version: STSv1\r\n", ""), bad: true},
		{name: "another version", text: strings.ReplaceAll(good, "STSv1", "STSv2"), bad: true},
		{name: "no mode", text: strings.ReplaceAll(good, "mode: enforce\r\n", ""), bad: true},
		{name: "another mode", text: strings.ReplaceAll(good, "enforce", "Enforce"), bad: true},
		{name: "no mx", text: strings.ReplaceAll(good, "mx: mx.test\r\n", ""), bad: true},
		{name: "an mx that is an address", text: strings.ReplaceAll(good, "mx.test", "[192.0.2.1]"), bad: true},
		{name: "a wildcard within", text: strings.ReplaceAll(good, "mx.test", "mx.*.test"), bad: true},
		{name: "a wildcard for all", text: strings.ReplaceAll(good, "mx.test", "*."), bad: true},
		{name: "no max_age", text: strings.ReplaceAll(good, "max_age: 100\r\n", ""), bad: true},
		{name: "max_age below zero", text: strings.ReplaceAll(good, "100", "-1"), bad: true},
		{name: "max_age of eleven digits", text: strings.ReplaceAll(good, "100", "00000000001"), bad: true},
		{name: "a line without key", text: good + "nonsense\r\n", bad: true},
		{name: "CR alone", text: strings.ReplaceAll(good, "\r\n", "\r"), bad: true},
		{name: "too long", text: good + strings.Repeat("x: y\n", maxPolicy/5), bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParseSTSPolicy(c.text)
			if (err != nil) != c.bad {
				t.Fatalf("got %v, want an error: %v", err, c.bad)
			}
			if err == nil && (p.Mode != c.want.Mode || p.MaxAge != c.want.MaxAge || !slices.Equal(p.MX, c.want.MX)) {
				t.Errorf("got %+v, want %+v", p, c.want)
			}
		})
	}
}

func TestAWildcardStandsForOneLabel(t *testing.T) {
	p := STSPolicy{MX: []string{"mx.test", "*.wild.test"}}
	for host, want := range map[string]bool{
		"mx.test": true, "MX.test.": true, "a.wild.test": true, "wild.test": false, "a.b.wild.test": false,
		"a.mx.test": false, "xwild.test": false, "": false, ".wild.test": true,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}

func TestReportsGoWhereTheRecordSays(t *testing.T) {
	for rua, want := range map[string]string{
		"mailto:a@b.test":                                  "mailto:a@b.test",
		"mailto:a@b.test , https://c.test/x?y=z":           "mailto:a@b.test https://c.test/x?y=z",
		"mailto:a%2Bb@c.test":                              "mailto:a%2Bb@c.test",
		"mailto:a@b.test?subject=x":                        "mailto:a@b.test?subject=x",
		"http://a.test/,ftp://b.test,https:///x":           "",
		"https://user:pass@a.test/":                        "",
		"mailto:a%0D%0ABcc:x@b.test,mailto:x,mailto:,,a@b": "",
		"mailto:%FF@b.test,mailto:postmaster":              "",
		strings.Repeat("mailto:a@b.test,", 10):             strings.TrimSpace(strings.Repeat("mailto:a@b.test ", 5)),
	} {
		var got []string
		for _, to := range parseReportAddresses(rua) {
			got = append(got, to.text)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: got %q, want %q", rua, s, want)
		}
	}
}

func FuzzSTSPolicy(f *testing.F) {
	f.Add(good)
	f.Add("version:STSv1\nmode:none\nmax_age:0")
	f.Add("mx: *.a.test\nmx: bücher.test\nmode: testing\nversion: STSv1\nmax_age: 9999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseSTSPolicy(text)
		if err != nil {
			return
		}
		again, err := ParseSTSPolicy(strings.Join(p.lines(), "\n"))
		if err != nil && len(text) <= maxPolicy/4 || err == nil && (again.Mode != p.Mode || again.MaxAge != p.MaxAge || !slices.Equal(again.MX, p.MX)) {
			t.Errorf("%+v was written and read as %+v, %v", p, again, err)
		}
		p.Matches(text)
	})
}

func FuzzRecords(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=TLSRPTv1;rua=mailto:reports@example.test,https://a.test/b")
	f.Add("v=TLSRPTv1; rua=mailto:a%0d%0a@b.test")
	f.Fuzz(func(t *testing.T, text string) {
		sts, _ := fields(text, stsVersion)
		if id := stsID(sts); len(id) > 32 {
			t.Errorf("id %q", id)
		}
		rpt, _ := fields(text, rptVersion)
		for _, to := range parseReportAddresses(value(rpt, "rua")) {
			if to.post == nil && (to.mail.IsZero() || strings.ContainsAny(to.mail.String(), "\r\n\x00")) {
				t.Errorf("%q: mail to %q", text, to.mail)
			}
		}
	})
}
