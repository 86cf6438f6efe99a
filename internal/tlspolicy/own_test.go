package tlspolicy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postrider/internal/tlspolicy"
)

func TestOurOwnPolicyIsOneThatWeCanRead(t *testing.T) {
	o := tlspolicy.OwnPolicy{Mode: tlspolicy.ModeEnforce, MX: []string{"mx1.example.test", "*.mail.example.test"}, MaxAge: time.Hour}
	if want := "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmx: *.mail.example.test\r\nmax_age: 3600\r\n"; o.File() != want {
		t.Errorf("got %q, want %q", o.File(), want)
	}
	if _, err := tlspolicy.ParseSTSPolicy(o.File()); err != nil {
		t.Error(err)
	}
	same, other := o, o
	other.Mode = tlspolicy.ModeTesting
	if o.ID() != same.ID() || o.ID() == other.ID() || len(o.ID()) > 32 || o.TXT() != "v=STSv1; id="+o.ID()+";" {
		t.Errorf("got the ids %s and %s, the record %s", o.ID(), other.ID(), o.TXT())
	}
	if week := (tlspolicy.OwnPolicy{Mode: tlspolicy.ModeNone}).File(); !strings.Contains(week, "max_age: 604800\r\n") {
		t.Errorf("got %q", week)
	}
}

func TestTheHandlerServesOurOwnPoliciesAndNothingElse(t *testing.T) {
	own := tlspolicy.OwnPolicy{Mode: tlspolicy.ModeEnforce, MX: []string{"mx1.example.test"}}
	h := tlspolicy.Handler(func(domain string) (tlspolicy.OwnPolicy, bool) { return own, domain == "example.test" })
	for _, c := range []struct {
		method, host, path string
		want               int
	}{
		{"GET", "mta-sts.example.test", "/.well-known/mta-sts.txt", http.StatusOK},
		{"GET", "MTA-STS.Example.test.:8443", "/.well-known/mta-sts.txt", http.StatusOK},
		{"GET", "example.test", "/.well-known/mta-sts.txt", http.StatusNotFound},
		{"GET", "mta-sts.other.test", "/.well-known/mta-sts.txt", http.StatusNotFound},
		{"GET", "mta-sts.", "/.well-known/mta-sts.txt", http.StatusNotFound},
		{"GET", "mta-sts.example.test", "/", http.StatusNotFound},
		{"POST", "mta-sts.example.test", "/.well-known/mta-sts.txt", http.StatusMethodNotAllowed},
	} {
		r := httptest.NewRequest(c.method, c.path, http.NoBody)
		r.Host = c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s%s: got %d, want %d", c.method, c.host, c.path, w.Code, c.want)
		}
		if w.Code == http.StatusOK && (w.Body.String() != own.File() || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")) {
			t.Errorf("%s: got %q, %v", c.host, w.Body, w.Header())
		}
	}
}
