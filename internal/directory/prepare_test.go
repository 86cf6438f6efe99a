package directory

import (
	"slices"
	"strings"
	"testing"

	"postrider/internal/fault"
)

func TestPasswordsArePrepared(t *testing.T) {
	long := strings.Repeat("é", MaxPassword/2)
	for _, row := range []struct {
		name, raw string
		want      string // "": it is refused
	}{
		{"ASCII", `a"b'c\ d`, `a"b'c\ d`},
		{"spaces", "   ", "   "},
		{"spaces around", " x ", " x "},
		{"case stays", "PassWort", "PassWort"},
		{"composed", "caf\u00e9", "caf\u00e9"},
		{"decomposed", "cafe\u0301", "caf\u00e9"},
		{"another space", "a\u00a0b\u3000c", "a b c"},
		{"wide letters stay", "\uff41", "\uff41"},
		{"emoji", "😀", "😀"},
		{"the longest", strings.Repeat("x", MaxPassword), strings.Repeat("x", MaxPassword)},
		{"the longest of é", long, long},
		{"empty", "", ""},
		{"one octet too long", strings.Repeat("x", MaxPassword+1), ""},
		{"too long when it is prepared", strings.Repeat("\u0958", MaxPassword/3), ""}, // NFC makes two of it
		{"NUL", "a\x00", ""},
		{"line end", "a\r\n", ""},
		{"tab", "a\tb", ""},
		{"C1 control character", "a\u0085", ""},
		{"zero width", "a\u200bb", ""},
		{"not UTF-8", "a\xff", ""},
		{"unassigned", "\u0378", ""},
	} {
		got, err := preparePassword(row.raw)
		if got != row.want || (err != nil) != (row.want == "") {
			t.Errorf("%s: got %.40q, %v, want %.40q", row.name, got, err, row.want)
		}
		if err != nil && len(row.raw) > 3 && strings.Contains(err.Error(), row.raw) {
			t.Errorf("%s: the error repeats the password: %v", row.name, err)
		}
	}
}

func TestPasswordsOfAnyKindLogIn(t *testing.T) {
	h := newHouse(t, Options{})
	for name, password := range map[string]string{
		"spaces": "     ", "quotes": `"'` + "`" + `"\'`, "kilobyte": strings.Repeat("0123456789abcdef", 64),
		"utf8": "Grüße, 世界 😀", "colon": "a:b:c", "percent": "%s%n%00", "filter": "*)(uid=*", "sql": "a' OR '1'='1",
	} {
		_, err := h.AddAccount(h.ctx, NewAccount{Address: name + "@a.test", Password: password})
		h.ok(err)
		h.now = h.now.Add(1)
		h.costs(name, 1, func() { h.ok(h.login(name+"@a.test", password)) })
		h.fails(name+" and a space", h.login(name+"@a.test", password+" "), fault.Denied)
		h.fails(name+" without its last octet", h.login(name+"@a.test", password[:len(password)-1]), fault.Denied)
	}
	h.fails("too long", h.SetPassword(h.ctx, "spaces@a.test", strings.Repeat("x", MaxPassword+1)), fault.Invalid)
	h.fails("control character", h.SetPassword(h.ctx, "spaces@a.test", "a\tb"), fault.Invalid)
}

func TestNormalFormsOfAPasswordAreOnePassword(t *testing.T) {
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	h := newHouse(t, Options{CacheTTL: -1})
	h.accounts("alice@a.test", "bob@a.test")
	h.ok(h.SetPassword(h.ctx, "alice@a.test", decomposed))
	h.ok(h.SetPassword(h.ctx, "bob@a.test", composed))
	for _, login := range []string{"alice@a.test", "bob@a.test"} {
		h.costs(login+" composed", 1, func() { h.ok(h.login(login, composed)) })
		h.costs(login+" decomposed", 1, func() { h.ok(h.login(login, decomposed)) })
		h.fails("without accent", h.login(login, "cafe"), fault.Denied)
	}
	h.accounts("disabled@a.test")
	h.ok(h.SetPassword(h.ctx, "disabled@a.test", composed))
	h.ok(h.SetDisabled(h.ctx, "disabled@a.test", true))
	_, err := h.AddAccount(h.ctx, NewAccount{Address: "nologin@a.test"})
	h.ok(err)
	for _, row := range []struct{ name, login, password string }{
		{"wrong", "alice@a.test", "e\u0301"},
		{"disabled", "disabled@a.test", decomposed},
		{"no password", "nologin@a.test", decomposed},
		{"unknown", "nobody@a.test", decomposed},
	} {
		h.costs(row.name, 2, func() { h.fails(row.name, h.login(row.login, row.password), fault.Denied) })
	}
}

func TestImportedHashOfAnUnpreparedPasswordIsGoodAndReplaced(t *testing.T) {
	const raw = "cafe\u0301"
	h := newHouse(t, Options{CacheTTL: -1})
	h.accounts("alice@a.test")
	h.put("alice@a.test", newArgon2(cheap, raw).String())
	h.costs("prepared, raw, and the new one", 3, func() { h.ok(h.login("alice@a.test", raw)) })
	h.costs("afterwards", 1, func() { h.ok(h.login("alice@a.test", raw)) })
	h.costs("afterwards, composed", 1, func() { h.ok(h.login("alice@a.test", "caf\u00e9")) })
}

func TestLoginNamesArePrepared(t *testing.T) {
	for _, row := range []struct {
		name string
		want []string
	}{
		{"Alice@A.Test", []string{"alice@a.test"}},
		{" alice@a.test\t", []string{"alice@a.test"}},
		{"A\u0308lice@a.test", []string{"\u00e4lice@a.test"}},
		{"ａＬice@a.test", []string{"ａｌice@a.test", "alice@a.test"}},
		{"ｱ@a.test", []string{"ｱ@a.test", "ア@a.test"}},
		{`"a b"@a.test`, []string{"a b@a.test"}},
		{"alice", nil},
		{"al\x00ice@a.test", nil},
		{"*)(uid=*", nil},
	} {
		if got := loginKeys(row.name); !slices.Equal(got, row.want) {
			t.Errorf("%q is looked up as %q, want %q", row.name, got, row.want)
		}
	}
	for _, same := range [][]string{
		{"Nobody@a.test", " nobody@A.TEST ", "ｎobody@a.test"},
		{"Ünknown", "u\u0308nknown", "ÜNKNOWN "},
	} {
		for _, name := range same {
			if got, want := sameName(name), sameName(same[0]); got != want {
				t.Errorf("%q is %q, and %q is %q", name, got, same[0], want)
			}
		}
	}
}
