package cli

import (
	"encoding/json"
	"net/smtp"
	"strings"
	"testing"

	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/sinktest"
)

// submit sends a message by the demo in its first account's name.
func submit(t *testing.T, r *demoReady, to string) {
	t.Helper()
	l, _ := r.service(config.ProtocolSMTP, config.RoleSubmission, config.TLSStartTLS)
	c, err := smtp.Dial(l.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := r.Accounts[0]
	if err := c.Auth(smtp.PlainAuth("", a.Address, a.Password, "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail(a.Address); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt(to); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err == nil {
		_, err = w.Write([]byte("From: " + a.Address + "\r\nSubject: onward\r\n\r\nHello elsewhere.\r\n"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDemoSendsMailForOthersWhereItIsTold(t *testing.T) {
	sink := sinktest.Start(t, sinktest.Options{})
	r, _ := startDemo(t, command(t, "demo", "--json", "--ports", "auto", "--relay-to", sink.Addr().String()))
	if r.RelayTo != sink.Addr().String() {
		t.Errorf("relay_to is %q, want %s", r.RelayTo, sink.Addr())
	}
	submit(t, &r, "bob@elsewhere.test")
	m := sink.Wait(1)[0]
	if m.From() != r.Accounts[0].Address || m.To()[0] != "bob@elsewhere.test" || !strings.Contains(string(m.Data), "\r\n\r\nHello elsewhere.\r\n") {
		t.Errorf("got %q for %v from %s", m.Data, m.To(), m.From())
	}
}

func TestTheDemosMailForOthersWaitsWhenItHasNowhereToGo(t *testing.T) {
	r, _ := startDemo(t, command(t, "demo", "--json", "--ports", "auto"))
	if r.RelayTo != "" {
		t.Errorf("relay_to is %q, want nothing", r.RelayTo)
	}
	submit(t, &r, "bob@elsewhere.test")
	out, err := command(t, "queue", "list", "--data", r.Data, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var row admin.QueueRow
	if err := json.Unmarshal(out, &row); err != nil || row.To != "bob@elsewhere.test" || row.State != "waiting" || row.Tries != 0 {
		t.Errorf("got %s, want bob's row, never tried", out)
	}
}

func TestTheGuideSaysWhatBecomesOfMailForOthers(t *testing.T) {
	for _, c := range []struct {
		r    demoReady
		want string
	}{
		{demoReady{Data: "/my data", waits: true}, "goes nowhere;\n--relay-to HOST:PORT would send it there. To see it:\n\n  postrider queue list --data '/my data'\n"},
		{demoReady{Data: "/data", RelayTo: "127.0.0.1:1025"}, "goes to 127.0.0.1:1025,"},
	} {
		var b strings.Builder
		if err := writeDemoGuide(&b, c.r); err != nil || !strings.Contains(b.String(), c.want) {
			t.Errorf("got %q %v, want it with %q", b.String(), err, c.want)
		}
	}
}
