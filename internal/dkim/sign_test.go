package dkim

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"postrider/internal/fault"
)

// independently verifies a message with a library that has nothing of ours.
func (s *site) independently(message string) []*msgauth.Verification {
	s.t.Helper()
	all, err := msgauth.VerifyWithOptions(strings.NewReader(message), &msgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return s.dns.txt(s.t.Context(), name) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestWhatWeSignOthersVerify(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	for _, c := range []struct{ name, message string }{
		{"letter", letter},
		{"no body", "From: a@example.org\r\n\r\n"},
		{"blank body", "From: a@example.org\r\n\r\n\r\n \r\n"},
		{"no line end", "From: a@example.org\r\n\r\nbody"},
		{"long body", "From: a@example.org\r\n\r\n" + strings.Repeat("some words here \t \r\n\r\n", 20_000) + "end\r\n"},
		{"utf-8", "From: Jörg <jörg@example.org>\r\nSubject: größe\r\n\r\ngrüße\r\n"},
		{"repeated fields", "From: a@example.org\r\nTo: b@example.net\r\nTo: c@example.net\r\nList-Id: <l.example.org>\r\n\r\nx\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed := s.sign("example.org", c.message)
			if n := strings.Count(signed, fieldDKIM+":"); n != 2 {
				t.Fatalf("%d signatures, want 2:\n%s", n, signed)
			}
			for _, v := range s.independently(signed) {
				if v.Err != nil {
					t.Errorf("the library: %v\n%.1500s", v.Err, signed)
				}
			}
			for _, v := range s.verify(signed) {
				if v.Value != "pass" {
					t.Errorf("%s: %s, %s", v.Algorithm, v.Value, v.Reason)
				}
			}
		})
	}
}

func TestASignatureIsFoldedAndSaysWhatItShould(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	fields, err := NewSigner(s.keys, Settings{Now: s.clock(), Expire: time.Hour}).
		Sign(t.Context(), "example.org", strings.NewReader(letter), int64(len(letter)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(fields), "\r\n") || strings.Contains(strings.ReplaceAll(string(fields), "\r\n", ""), "\n") {
		t.Errorf("line ends are not CRLF: %q", fields)
	}
	for line := range strings.SplitSeq(string(fields), "\r\n") {
		if len(line) > 78 || line != strings.TrimRight(line, " ") {
			t.Errorf("line %q", line)
		}
	}
	h := parseHeader(fields)
	if len(h.fields) != 2 {
		t.Fatalf("%d fields", len(h.fields))
	}
	tags, err := parseTags(string(h.fields[0].Body))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": "example.org", "s": "k1-rsa", "t": "1795867200", "x": "1795870800", "i": "",
	} {
		if tags[name] != want {
			t.Errorf("%s=%q, want %q", name, tags[name], want)
		}
	}
	signed := map[string]int{}
	for _, name := range tags.list("h") {
		signed[strings.ToLower(name)]++
	}
	for name, n := range map[string]int{"from": 2, "to": 2, "cc": 1, "reply-to": 1, "subject": 2, "sender": 0, "list-id": 0, "received": 0} {
		if signed[name] != n {
			t.Errorf("h= has %s %d times, want %d", name, signed[name], n)
		}
	}
}

func TestNothingIsSignedWithoutAKey(t *testing.T) {
	s := newSite(t)
	s.pair("example.org", "k1") // pending
	for _, domain := range []string{"example.org", "example.net", ""} {
		if got := s.sign(domain, letter); got != letter {
			t.Errorf("%s: signed with a key that is not active", domain)
		}
	}
}

func TestTheAuthorsDomainSigns(t *testing.T) {
	s := newSite(t)
	other := strings.Replace(letter, "alice@example.org", "alice@example.net", 1)
	for _, step := range []struct {
		message string
		keys    bool
		want    int
	}{{letter, false, 0}, {letter, true, 2}, {other, true, 0}} {
		if step.keys {
			s.signing("example.org")
		}
		fields, err := s.signer().SignAuthor(t.Context(), strings.NewReader(step.message), int64(len(step.message)))
		if err != nil || strings.Count(string(fields), "d=example.org;") != step.want {
			t.Errorf("keys %v: %v\n%s", step.keys, err, fields)
		}
	}
}

func TestARetiredKeyDoesNotSign(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	s.sign("example.org", letter) // the keys have been read
	if err := s.keys.Retire(t.Context(), "example.org", "k1-rsa"); err != nil {
		t.Fatal(err)
	}
	if got := s.sign("example.org", letter); strings.Contains(got, "k1-rsa") || !strings.Contains(got, "k1-ed25519") {
		t.Errorf("signed as\n%s", got)
	}
}

// TestAnyChangeBreaksASignature also holds that fields added on the way are noticed.
func TestAnyChangeBreaksASignature(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	signed := s.sign("example.org", letter)
	for _, c := range []struct{ name, old, new, want string }{
		{"a word of the body", "dot", "dots", "fail"},
		{"a line at the end", "end\r\n", "end\r\nmore\r\n", "fail"},
		{"the subject", "Two", "Three", "fail"},
		{"another From on top", "Received:", "From: mallory@example.com\r\nReceived:", "fail"},
		{"another From below", "\r\n\r\nA line", "\r\nFrom: mallory@example.com\r\n\r\nA line", "fail"},
		{"a Cc", "Received:", "Cc: x@example.com\r\nReceived:", "fail"},
		{"a Content-Type", "Received:", "Content-Type: text/html\r\nReceived:", "fail"},
		{"white space", "A line  with\twhite", "A\tline with  white", "pass"},
		{"a hop", "Received:", "Received: from c by d; Sat, 28 Nov 2026 12:00:01 +0000\r\nReceived:", "pass"},
		{"a mailing list's field", "Received:", "List-Id: <l.example.net>\r\nReceived:", "pass"},
		{"a field's case and folds", "To: Bob <bob@example.net>,\r\n\tCarol", "TO:Bob\r\n <bob@example.net>, Carol", "pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(signed, c.old, c.new, 1)
			if changed == signed {
				t.Fatal("nothing changed")
			}
			for _, v := range s.verify(changed) {
				if v.Value != c.want {
					t.Errorf("%s: %s (%s), want %s", v.Algorithm, v.Value, v.Reason, c.want)
				}
			}
			for i, v := range s.independently(changed) {
				if (v.Err == nil) != (c.want == "pass") {
					t.Errorf("the library, signature %d: %v, want %s", i, v.Err, c.want)
				}
			}
		})
	}
}

func TestVerdictsHaveTheWordsOfTheStandard(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	signed := s.sign("example.org", letter)
	rsa := keyName("k1-rsa", "example.org")
	good := s.dns[rsa]
	for _, c := range []struct {
		name     string
		records  []string
		old, new string
		want     string
	}{
		{"good", good, "", "", "pass"},
		{"nobody knows", nil, "", "", "temperror"},
		{"no key", []string{}, "", "", "permerror"},
		{"revoked", []string{"v=DKIM1; p="}, "", "", "permerror"},
		{"two keys", append(good, good...), "", "", "permerror"},
		{"not for mail", []string{good[0] + "; s=tlsrpt"}, "", "", "permerror"},
		{"another algorithm", s.dns[keyName("k1-ed25519", "example.org")], "", "", "permerror"},
		{"another key", []string{otherKey}, "", "", "fail"},
		{"sha-1", good, "a=rsa-sha256", "a=rsa-sha1", "permerror"},
		{"version", good, "v=1", "v=2", "permerror"},
		{"a part of the body", good, "v=1;", "v=1; l=3;", "policy"},
		{"expired", good, "v=1;", "v=1; x=1795867200;", "permerror"},
		{"identity of another", good, "v=1;", "v=1; i=@example.net;", "permerror"},
		{"two tags", good, "v=1;", "v=1; v=1;", "permerror"},
		{"no domain", good, "d=example.org", "d=", "permerror"},
		{"a domain that is none", good, "d=example.org", "d=exa*mple.org", "permerror"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.dns[rsa] = c.records
			defer func() { s.dns[rsa] = good }()
			got := s.verify(strings.Replace(signed, c.old, c.new, 1))
			if got[0].Value != c.want {
				t.Errorf("%s (%s), want %s", got[0].Value, got[0].Reason, c.want)
			}
			if got[1].Value != "pass" {
				t.Errorf("the other signature: %s (%s)", got[1].Value, got[1].Reason)
			}
		})
	}
}

const otherKey = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
	"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi" +
	"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"

func TestAnExpiredSignatureFails(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	fields, err := NewSigner(s.keys, Settings{Now: s.clock(), Expire: time.Hour}).
		Sign(t.Context(), "example.org", strings.NewReader(letter), int64(len(letter)))
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Hour + time.Second)
	if got := s.verify(string(fields) + letter)[0]; got.Value != "fail" || got.Reason != "it has expired" {
		t.Errorf("%s (%s)", got.Value, got.Reason)
	}
}

func TestOnlySoManySignaturesAreLookedAt(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	signed := letter
	for range maxSignatures {
		signed = s.sign("example.org", signed)
	}
	if got := len(s.verify(signed)); got != maxSignatures {
		t.Errorf("%d verified, want %d", got, maxSignatures)
	}
}

func TestAHeaderThatIsTooLongIsNotSigned(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	long := "From: a@example.org\r\nX: " + strings.Repeat("y\r\n ", MaxHeader/4) + "\r\n\r\nbody\r\n"
	_, err := s.signer().Sign(t.Context(), "example.org", strings.NewReader(long), int64(len(long)))
	if !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v", err)
	}
}

//go:embed testdata/rfc8463.txt
var rfc8463 string

// endless is content without an end, that fails at an octet.
type endless struct{ fails int64 }

func (e endless) ReadAt(p []byte, at int64) (int, error) {
	head := "From: a@example.org\r\n\r\n"
	for i := range p {
		switch n := at + int64(i); {
		case n >= e.fails:
			return i, errors.New("the disk is broken")
		case n < int64(len(head)):
			p[i] = head[n]
		default:
			p[i] = "word \r\n"[n%7]
		}
	}
	return len(p), nil
}

func TestContentThatCanNotBeReadIsNotSigned(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	for _, at := range []int64{0, 10, 100, 1 << 20} {
		fields, err := s.signer().Sign(t.Context(), "example.org", endless{at}, 2<<20)
		if err == nil || fields != nil {
			t.Errorf("broken at %d: %v", at, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.signer().Sign(ctx, "example.org", endless{1 << 40}, 1<<40); err == nil {
		t.Error("went on after it was told to stop")
	}
}

func TestMemoryDoesNotGrowWithAMessage(t *testing.T) {
	s := newSite(t)
	s.signing("example.org")
	octets := func(size int64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.signer().Sign(t.Context(), "example.org", endless{size}, size); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	octets(1 << 20)
	if small, large := octets(1<<20), octets(16<<20); large > small+256<<10 {
		t.Errorf("%d octets for 1 MiB, %d for 16 MiB", small, large)
	}
}

// TestSignaturesOfTheStandard verifies the message of RFC 8463, appendix A, which
// has a signature of each algorithm.
func TestSignaturesOfTheStandard(t *testing.T) {
	d := dnsTable{
		"brisbane._domainkey.football.example.com": {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
		"test._domainkey.football.example.com": {"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" +
			"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
			"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
			"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"},
	}
	v := Verifier{TXT: d.txt, Now: func() time.Time { return testTime }}
	message := strings.ReplaceAll(rfc8463, "\n", "\r\n")
	all, err := v.Verify(t.Context(), strings.NewReader(message), int64(len(message)))
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, one := range all {
		if one.Value != "pass" {
			t.Errorf("%s: %s (%s)", one.Algorithm, one.Value, one.Reason)
		}
	}
}

func TestMemoryDoesNotGrowWithBlankLines(t *testing.T) {
	sum := sha256.New()
	b := newBody(relaxed, sum)
	_, _ = io.WriteString(b, "x")
	blank := []byte(strings.Repeat(" \t\r\n", 1000))
	if n := testing.AllocsPerRun(1000, func() { _, _ = b.Write(blank) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	b.end()
	want := sha256.Sum256([]byte("x\r\n"))
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != base64.StdEncoding.EncodeToString(want[:]) {
		t.Errorf("got %s", got)
	}
}

func TestTheDomainThatSignsIsTheOnlyOneInFrom(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"one author", "From: Alice <alice@Example.ORG>\r\n\r\n", "example.org"},
		{"a subdomain is its own", "From: a@sub.example.org\r\n\r\n", "sub.example.org"},
		{"two authors of one domain", "From: a@example.org, b@example.org\r\n\r\n", "example.org"},
		{"two domains", "From: a@example.org, b@example.net\r\n\r\n", ""},
		{"two fields", "From: a@example.org\r\nFrom: a@example.org\r\n\r\n", ""},
		{"none", "To: a@example.org\r\n\r\n", ""},
		{"nonsense", "From: nobody\r\n\r\n", ""},
		{"a literal", "From: a@[192.0.2.1]\r\n\r\n", ""},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parseHeader([]byte(c.header)).author(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
