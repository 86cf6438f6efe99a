package directory

import (
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// FuzzImport: no file stops the import but by its kind, every account made has
// a key of its own and a verifier that can be run, and each line is counted at
// most once.
func FuzzImport(f *testing.F) {
	f.Add("alice:{PLAIN}secret:1000:1000:Alice:/home:/bin/sh:userdb_quota_rule=*:storage=100M\n", "a.test", true)
	f.Add("address,password,quota\nalice@a.test,\"se\"\"cret\",1G\n", "", false)
	f.Add("\uFEFF# c\r\n\r\nalice@new.test,"+foreign[2].hash+"\r\nalice@new.test,x", "", true)
	f.Add("alice:"+foreign[0].hash+"\nalice::\n:\n,\n\"", "b.test", false)
	f.Add(strings.Repeat("x", MaxImportLine+10)+"\na@a.test:{CRYPT}"+foreign[5].hash, "a.test", true)
	f.Fuzz(func(t *testing.T, text, domain string, flag bool) {
		h := newHouse(t, Options{SCRAMIterations: -1})
		r, err := h.Import(h.ctx, strings.NewReader(text), ImportOptions{DefaultDomain: domain, CreateDomains: flag, Update: flag})
		if err != nil {
			h.fails("import", err, fault.Invalid)
			return
		}
		if lines := strings.Count(text, "\n") + 1; r.Added+r.Updated+r.Skipped+r.Failed > lines || len(r.Errors) > MaxImportErrors {
			t.Fatalf("%d lines give %+v", lines, r)
		}
		made := 0
		for account, err := range h.st.Accounts(h.ctx, "", "") {
			h.ok(err)
			made++
			if a := fromKey(account.Address); a.Key() != account.Address || a.Local == "" {
				t.Errorf("%q is not a key", account.Address)
			}
			if account.Password != "" {
				if _, err := parseVerifier(account.Password); err != nil {
					t.Errorf("the verifier %q can't be run: %v", account.Password, err)
				}
			}
			if account.SCRAM != "" {
				if _, err := parseSCRAM(account.SCRAM); err != nil {
					t.Errorf("the keys %q can't be used: %v", account.SCRAM, err)
				}
			}
			if account.Quota < 0 {
				t.Errorf("the quota is %d", account.Quota)
			}
		}
		if made != r.Added {
			t.Errorf("%d accounts are there, the result says %d", made, r.Added)
		}
	})
}

// FuzzVerifier: what is parsed is bounded and can be run, and no error repeats
// its input.
func FuzzVerifier(f *testing.F) {
	for _, row := range foreign {
		f.Add(row.hash, row.password)
		f.Add("{CRYPT}"+row.hash, row.password)
	}
	for _, hash := range badHashes {
		f.Add(hash, "secret")
	}
	f.Fuzz(func(t *testing.T, text, password string) {
		s, err := parseHash(text)
		if err != nil {
			if len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Errorf("the error %q repeats its input", err)
			}
			return
		}
		if s.hash == "" {
			return
		}
		v, err := parseVerifier(s.hash)
		if err != nil {
			t.Fatalf("parseHash accepts %q, parseVerifier says %v", s.hash, err)
		}
		if len(password) > MaxPassword {
			password = password[:MaxPassword]
		}
		switch v := v.(type) {
		case argon2Verifier:
			if v.Memory > MaxArgon2Memory || v.Time > MaxArgon2Time || v.work() > maxArgon2Work {
				t.Fatalf("%q costs %+v", s.hash, v.Argon2Params)
			}
			if v.work() > 1<<12 {
				return // bounded, but too slow for here
			}
			if again, err := parseVerifier(v.String()); err != nil || again.(argon2Verifier).String() != v.String() {
				t.Errorf("%q is written as %q, which gives %v, %v", s.hash, v, again, err)
			}
		case sha512Verifier:
			if v.rounds > MaxSHA512Rounds {
				t.Fatalf("%q has %d rounds", s.hash, v.rounds)
			}
			if v.rounds > 10_000 {
				return
			}
		case bcryptVerifier:
			if v[4:6] > "15" {
				t.Fatalf("%q has cost %s", s.hash, v[4:6])
			}
			if v[4:6] > "05" {
				return
			}
		}
		v.matches(password)
		if v.goodEnough(Argon2Params{Memory: MaxArgon2Memory, Time: MaxArgon2Time}) {
			t.Errorf("%q is good enough for anything", s.hash)
		}
	})
}

// FuzzResolve: every address gets an answer of a known kind, targets are
// accounts and each is named once, and what an address leads to does not depend
// on its case.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"alice@a.test", "ALICE+x@a.test", `"a b"@a.test`, "x@b.test", "loop@a.test", "postmaster@a.test", "Postmaster", "@a.test", "x@far.example", "ä+ö@bücher.test"} {
		f.Add(s, "+")
	}
	f.Add("a-b+c@a.test", "-+")
	f.Fuzz(func(t *testing.T, s, delimiters string) {
		a, _, err := mail.ParsePath("<"+s+">", true)
		if err != nil {
			return
		}
		h := newHouse(t, Options{Postmaster: "alice@a.test", Delimiters: delimiters})
		h.accounts("alice@a.test", "bob@b.test")
		h.raw("loop@a.test", "loop@a.test", "alice@a.test", "@b.test", "not an address", "nobody@a.test", "bob@b.test", "alice+x@a.test", "x@far.example")
		h.raw("@b.test", "bob@b.test", "loop@a.test", "bob+y@b.test")
		route, err := h.Resolve(h.ctx, a)
		targets := route.Targets
		if err != nil {
			if k := fault.KindOf(err); k != fault.NotFound && k != fault.Denied || targets != nil {
				t.Errorf("%q gives %v and %v", s, targets, err)
			}
			return
		}
		if len(route.Remote) > 1 || len(route.Remote) == 1 && route.Remote[0].Address.String() != "x@far.example" {
			t.Errorf("%q leads to %v", s, route.Remote)
		}
		seen := map[mail.AccountID]bool{}
		for _, target := range targets {
			if target.Account == 0 || seen[target.Account] || target.Address.Domain == "" {
				t.Errorf("%q leads to %+v", s, targets)
			}
			seen[target.Account] = true
		}
		upper := a
		upper.Local = strings.ToUpper(a.Local)
		if upper.Key() != a.Key() {
			return // not one of Unicode's pairs
		}
		again, err := h.Resolve(h.ctx, upper)
		if err != nil || len(again.Targets) != len(targets) {
			t.Errorf("%q leads to %d accounts, in upper case to %d, %v", s, len(targets), len(again.Targets), err)
		}
	})
}
