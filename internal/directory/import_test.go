package directory

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/internal/fault"
	"postrider/internal/store/storetest"
)

// imported runs an import that must not end with an error.
func (h *house) imported(text string, o ImportOptions) ImportResult {
	h.t.Helper()
	r, err := h.Import(h.ctx, strings.NewReader(text), o)
	h.ok(err)
	return r
}

// counted asks for a result's numbers, and for errors at these lines.
func (h *house) counted(r ImportResult, added, updated, skipped int, lines ...int) {
	h.t.Helper()
	var at []int
	for _, e := range r.Errors {
		at = append(at, e.Line)
	}
	if r.Added != added || r.Updated != updated || r.Skipped != skipped || r.Failed != len(lines) || fmt.Sprint(at) != fmt.Sprint(lines) {
		h.t.Fatalf("got %+v, want %d added, %d updated, %d skipped, errors at %v", r, added, updated, skipped, lines)
	}
}

func (h *house) quota(address string, want int64) {
	h.t.Helper()
	account, err := h.Lookup(h.ctx, address)
	h.ok(err)
	if account.Quota != want {
		h.t.Errorf("%s has quota %d, want %d", address, account.Quota, want)
	}
}

func TestImportReadsDovecotsPasswdFile(t *testing.T) {
	h := newHouse(t, Options{})
	text := "\uFEFF# users\r\n\r\n" +
		"alice:{PLAIN}secret:1000:1000:Alice, A.:/home/alice:/bin/sh:userdb_quota_rule=*:storage=100M userdb_mail=maildir:~/Maildir\r\n" +
		"bob@b.test:{SHA512-CRYPT}" + foreign[5].hash + ":::::: userdb_quota_rule=*:bytes=5G:messages=10\n" +
		"  # indented comment\n" +
		"carol:" + foreign[2].hash + "\n" +
		"dave::1000:1000::::quota_rule=*:storage=2048 userdb_quota_rule2=Trash:storage=+10%\n" +
		"erin:{ARGON2ID}" + foreign[0].hash + ":::::"
	r := h.imported(text, ImportOptions{DefaultDomain: "A.test"})
	h.counted(r, 5, 0, 0)
	h.quota("alice@a.test", 100<<20)
	h.quota("bob@b.test", 5<<30)
	h.quota("carol@a.test", 0)
	h.quota("dave@a.test", 2<<20)
	h.ok(h.login("alice@a.test", "secret"))
	h.ok(h.login("bob@b.test", foreign[5].password))
	h.ok(h.login("carol@a.test", foreign[2].password))
	h.ok(h.login("erin@a.test", foreign[0].password))
	h.fails("an account without password", h.login("dave@a.test", ""), fault.Denied)
}

func TestImportReadsCSV(t *testing.T) {
	for name, text := range map[string]string{
		"with header":            "address,password,quota\nalice@a.test,secret,1G\n\"bob@a.test\",\"pass, \"\"word\"\"\",\n",
		"columns in any order":   "Quota,Name,PASSWORD, E-Mail,Email\n1G,A,secret,x,alice@a.test\n,B,\"pass, \"\"word\"\"\",x,bob@a.test\n",
		"without header":         "alice@a.test,secret,1073741824\r\nbob@a.test,\"pass, \"\"word\"\"\"\r\n",
		"without end of line":    "alice@a.test,secret,1GB\nbob@a.test,\"pass, \"\"word\"\"\"",
		"with a byte order mark": "\uFEFFaddress,password,quota\nalice@a.test,secret,1 GiB\nbob@a.test,\"pass, \"\"word\"\"\",0\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{})
			h.counted(h.imported(text, ImportOptions{}), 2, 0, 0)
			h.quota("alice@a.test", 1<<30)
			h.quota("bob@a.test", 0)
			h.ok(h.login("alice@a.test", "secret"))
			h.ok(h.login("bob@a.test", `pass, "word"`))
		})
	}
}

func TestImportTellsPasswordsFromHashesInCSV(t *testing.T) {
	h := newHouse(t, Options{})
	text := "address,password\n" +
		"a@a.test,$ecret\n" +
		"b@a.test,{curly}\n" +
		"c@a.test," + foreign[2].hash + "\n" +
		"d@a.test,{PLAIN}$1$x\n" +
		"e@a.test,$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n" +
		"f@a.test,{SSHA512}abc\n" +
		"g@a.test,$Big$Cash\n" +
		"h@a.test,\"{ARGON2ID}" + foreign[0].hash + "\"\n"
	h.counted(h.imported(text, ImportOptions{Format: FormatCSV}), 6, 0, 0, 6, 7)
	for login, password := range map[string]string{
		"a@a.test": "$ecret", "b@a.test": "{curly}", "c@a.test": foreign[2].password,
		"d@a.test": "$1$x", "g@a.test": "$Big$Cash", "h@a.test": foreign[0].password,
	} {
		h.ok(h.login(login, password))
	}
}

func TestImportReportsLinesWithoutTheirSecrets(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alias-target@a.test")
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"alias-target@a.test"}))
	bad := []string{
		"nocolon",
		"x@@a.test:{PLAIN}geheim",
		"x:{PLAIN}geheim",
		"x@far.example:{PLAIN}geheim",
		"x@a.test:geheim",
		"x@a.test:{SSHA}geheim",
		"x@a.test:{CRYPT}geheim",
		"x@a.test:$argon2id$v=19$m=4194304,t=1,p=1$Z2VoZWltZ2VoZWlt$geheimgeheimgeheimgeheim",
		"x@a.test:{SHA512-CRYPT}$6$rounds=1000000000$geheim$" + strings.Repeat("a", 86),
		"alias@a.test:{PLAIN}geheim",
		"x@a.test:{PLAIN}geheim:::::: userdb_quota_rule=*:storage=geheim",
		"x@a.test:{PLAIN}geheim:::::: userdb_quota_rule=*:storage=99999999999T",
		"x@a.test:{PLAIN}geheim:::::: userdb_quota_rule=*:bytes=-1",
		"x@[127.0.0.1]:{PLAIN}geheim",
		"x@a.test:{PLAIN}geheim\x00",
		"x@a.test:{PLAIN}" + strings.Repeat("geheim", 2000),
		"x@a.test:{PLAIN}" + strings.Repeat("geheim", 200),
	}
	text := "ok@a.test:{PLAIN}geheim\n" + strings.Join(bad, "\n") + "\nlast@a.test:{PLAIN}geheim\n"
	r := h.imported(text, ImportOptions{Format: FormatPasswd})
	var lines []int
	for i := range bad {
		lines = append(lines, i+2)
	}
	h.counted(r, 2, 0, 0, lines...)
	for _, e := range r.Errors {
		if strings.Contains(e.Error(), "geheim") || strings.Contains(e.Error(), "Z2Vo") {
			t.Errorf("the error repeats the secret: %v", e)
		}
	}
	if strings.Contains(h.log.String(), "geheim") {
		t.Errorf("the log has the secret: %s", h.log)
	}
}

func TestImportSkipsOrUpdatesWhatIsThere(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.SetQuota(h.ctx, "alice@a.test", 7))
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", true))
	text := "alice@a.test,other,\nbob@a.test,one,5\nBOB@a.test,two,6\n"
	h.counted(h.imported(text, ImportOptions{}), 1, 0, 2)
	h.ok(h.login("bob@a.test", "one"))
	h.counted(h.imported(text, ImportOptions{Update: true}), 0, 3, 0)
	h.ok(h.login("bob@a.test", "two"))
	h.quota("bob@a.test", 6)
	h.quota("alice@a.test", 7)
	h.fails("an account that stays disabled", h.login("alice@a.test", "other"), fault.Denied)
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", false))
	h.ok(h.login("alice@a.test", "other"))
	h.counted(h.imported("bob@a.test,,0\n", ImportOptions{Update: true}), 0, 1, 0)
	h.quota("bob@a.test", 0)
	h.ok(h.login("bob@a.test", "two"))
}

func TestImportMakesDomainsWhenAsked(t *testing.T) {
	h := newHouse(t, Options{})
	text := "alice@new.test,x\nbob@new.test,x\ncarol@Bücher.test,x\ndave@[127.0.0.1],x\n"
	h.counted(h.imported(text, ImportOptions{}), 0, 0, 0, 1, 2, 3, 4)
	h.counted(h.imported(text, ImportOptions{CreateDomains: true}), 3, 0, 0, 4)
	h.lead("carol@xn--bcher-kva.test", "carol@xn--bcher-kva.test")
}

func TestImportBatchesTenThousandHashedAccounts(t *testing.T) {
	h := newHouse(t, Options{})
	const many = 10_000
	var b strings.Builder
	for i := range many {
		fmt.Fprintf(&b, "u%d@a.test:{BLF-CRYPT}%s\n", i, foreign[2].hash)
	}
	h.costs("hashed accounts", 0, func() {
		h.counted(h.imported(b.String(), ImportOptions{}), many, 0, 0)
	})
	h.ok(h.login("u9999@a.test", foreign[2].password))
}

func TestImportErrorsAreBounded(t *testing.T) {
	h := newHouse(t, Options{})
	r := h.imported("good@a.test:{PLAIN}x\n"+strings.Repeat("bad\n", MaxImportErrors+5), ImportOptions{})
	if len(r.Errors) != MaxImportErrors || r.Failed != MaxImportErrors+5 || r.Added != 1 {
		t.Errorf("%d errors kept, %d failed, %d added", len(r.Errors), r.Failed, r.Added)
	}
}

func TestImportLeavesOutWhatTheStoreRefuses(t *testing.T) {
	h := newHouse(t, Options{})
	inner := h.st
	h.Directory.st = refusing{inner}
	text := "a@a.test,x\nrefused@a.test,x\nb@a.test,x\n"
	h.counted(h.imported(text, ImportOptions{}), 2, 0, 0, 2)
	h.ok(h.login("b@a.test", "x"))
}

func TestImportEndsWithTheStoresOrReadersError(t *testing.T) {
	h := newHouse(t, Options{})
	h.st.FailNext(storetest.OpChange, fault.New(fault.ReadOnly, "test", nil))
	r, err := h.Import(h.ctx, strings.NewReader("a@a.test,x\n"), ImportOptions{})
	h.fails("a store that takes nothing", err, fault.ReadOnly)
	h.counted(r, 0, 0, 0)

	broken := io.MultiReader(strings.NewReader("a@a.test,x\nb@a.test,x\n"), iotest.ErrReader(errors.New("unreadable")))
	r, err = h.Import(h.ctx, broken, ImportOptions{})
	if err == nil || !strings.Contains(err.Error(), "unreadable") {
		t.Errorf("a broken reader gives %v", err)
	}
	h.counted(r, 2, 0, 0)

	_, err = h.Import(h.ctx, strings.NewReader("x"), ImportOptions{Format: "xml"})
	h.fails("no such format", err, fault.Invalid)
	_, err = h.Import(h.ctx, strings.NewReader("x"), ImportOptions{DefaultDomain: "a..b"})
	h.fails("no such domain", err, fault.Invalid)
	h.counted(h.imported("", ImportOptions{}), 0, 0, 0)
	h.counted(h.imported("\n# nothing\n\n", ImportOptions{}), 0, 0, 0)
}

func TestQuotasHaveUnits(t *testing.T) {
	for _, row := range []struct {
		in   string
		want int64
	}{
		{"0", 0},
		{"1", 1},
		{"1b", 1},
		{"2k", 2048},
		{"2KB", 2048},
		{"2KiB", 2048},
		{"3M", 3 << 20},
		{"1g", 1 << 30},
		{" 5 T ", 5 << 40},
		{"8388607T", 8388607 << 40},
		{"", -1},
		{"-1", -1},
		{"+1", -1},
		{"1.5G", -1},
		{"M", -1},
		{"8388608T", -1},
		{"9223372036854775808", -1},
		{"1X", -1},
		{"10%", -1},
		{"1MG", -1},
		{"1I", -1},
		{"0x10", -1},
	} {
		got, err := parseQuota(row.in, 1)
		if err != nil {
			got = -1
		}
		if got != row.want {
			t.Errorf("parseQuota(%q) = %d, %v, want %d", row.in, got, err, row.want)
		}
	}
}
