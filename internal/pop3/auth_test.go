package pop3

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

func TestAuthLogsInWithEachMechanism(t *testing.T) {
	for _, row := range []struct {
		name  string
		lines []string
		want  string // all that comes back
	}{
		{"PLAIN", []string{"AUTH PLAIN", b64(plainMessage)}, "+ \r\n+OK 1 message (24 octets)\r\n"},
		{"PLAIN, initial response", []string{"AUTH PLAIN " + b64(plainMessage)}, "+OK 1 message (24 octets)\r\n"},
		{"PLAIN, any case", []string{"auth PLAIN  " + b64(plainMessage)}, "+OK 1 message (24 octets)\r\n"},
		{
			"LOGIN",
			[]string{"AUTH LOGIN", b64("alice@example.test"), b64(fakePassword)},
			"+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n+OK 1 message (24 octets)\r\n",
		},
		{
			"OAUTHBEARER",
			[]string{"AUTH OAUTHBEARER " + b64("n,a=alice@example.test,\x01auth=Bearer token\x01\x01")},
			"+OK 1 message (24 octets)\r\n",
		},
		{
			"OAUTHBEARER, wrong token",
			[]string{"AUTH OAUTHBEARER " + b64("n,a=alice@example.test,\x01auth=Bearer no\x01\x01"), "AQ=="},
			"+ " + b64(`{"status":"invalid_token","schemes":"bearer"}`) + "\r\n-ERR [AUTH] the name or the password is wrong\r\n",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newFake(two)
			c := connect(t, b, nil, false)
			if got := c.say(row.lines...); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if in := strings.Contains(row.want, "+OK"); in != (b.opens == 1) || b.logins != 1 {
				t.Errorf("got %d logins and %d maildrops opened", b.logins, b.opens)
			}
		})
	}
}

// boundConn returns a connection with TLS from the first octet.
func boundConn() *session.Conn {
	conn := newConn(false)
	conn.Listener.StartTLS, conn.Listener.PlaintextAuth = false, false
	conn.TLS = &session.TLS{Version: "TLS 1.3", Binding: func(kind string) []byte { return []byte("binding of " + kind) }}
	return conn
}

// TestAuthScramWithAnotherClient speaks with an independent client.
func TestAuthScramWithAnotherClient(t *testing.T) {
	exporter := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte("binding of tls-exporter")}
	for _, row := range []struct {
		name, mechanism, password string
		conn                      *session.Conn
		begin                     func(*scram.Client) *scram.ClientConversation
		want                      string // the last answer
	}{
		{"without TLS", "SCRAM-SHA-256", fakePassword, newConn(false), (*scram.Client).NewConversation, "+OK 1 message (24 octets)\r\n"},
		{"wrong password", "SCRAM-SHA-256", "wrong", newConn(false), (*scram.Client).NewConversation, "-ERR [AUTH] the name or the password is wrong\r\n"},
		{
			"PLUS under TLS", "SCRAM-SHA-256-PLUS", fakePassword, boundConn(),
			func(c *scram.Client) *scram.ClientConversation { return c.NewConversationWithChannelBinding(exporter) },
			"+OK 1 message (24 octets)\r\n",
		},
		{
			"downgraded under TLS", "SCRAM-SHA-256", fakePassword, boundConn(),
			(*scram.Client).NewConversationAdvertisingChannelBinding,
			"-ERR channel binding was offered here, and the client has not seen that\r\n",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			client, err := scram.SHA256.NewClientUnprepped("alice@example.test", row.password, "")
			if err != nil {
				t.Fatal(err)
			}
			c := connectWith(t, newFake(two), nil, row.conn)
			conversation := row.begin(client)
			got := c.say("AUTH " + row.mechanism)
			challenge := ""
			for strings.HasPrefix(got, "+ ") {
				octets, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(got[2:]))
				challenge = string(octets)
				message, err := conversation.Step(challenge)
				if err != nil {
					t.Fatalf("the client says: %v", err)
				}
				got = c.say(b64(message))
			}
			if got != row.want || conversation.Valid() != strings.HasPrefix(row.want, "+OK") {
				t.Errorf("got %q, the client content %t; want %q", got, conversation.Valid(), row.want)
			}
		})
	}
}

func TestAuthThatIsNone(t *testing.T) {
	for _, row := range []struct {
		name  string
		lines []string
		want  string // how the last answer begins
		asked int    // how often the Authenticator
	}{
		{"unknown mechanism", []string{"AUTH DIGEST-MD5"}, "-ERR that mechanism is not offered; AUTH", 0},
		{"odd mechanism", []string{"AUTH \xff*"}, "-ERR that mechanism is not offered; AUTH", 0},
		{"mechanism that needs TLS", []string{"AUTH SCRAM-SHA-256-PLUS"}, "-ERR use STLS first", 0},
		{"cancelled", []string{"AUTH PLAIN", "*"}, "-ERR the login is cancelled", 0},
		{"cancelled later", []string{"AUTH LOGIN", b64("alice@example.test"), "*"}, "-ERR the login is cancelled", 0},
		{"star as initial response", []string{"AUTH PLAIN *"}, "-ERR that is not base64", 0},
		{"empty initial response", []string{"AUTH PLAIN ="}, "-ERR PLAIN takes", 0},
		{"equals sign as response", []string{"AUTH PLAIN", "="}, "-ERR PLAIN takes", 0},
		{"empty response", []string{"AUTH PLAIN", ""}, "-ERR PLAIN takes", 0},
		{"no padding", []string{"AUTH PLAIN AGEAYg"}, "-ERR that is not base64", 0},
		{"stray bits", []string{"AUTH PLAIN AGEAYh=="}, "-ERR that is not base64", 0},
		{"space within", []string{"AUTH PLAIN AGEA Yg=="}, "-ERR that is not base64", 0},
		{"space behind", []string{"AUTH PLAIN", b64(plainMessage) + " "}, "-ERR that is not base64", 0},
		{"base64 of URLs", []string{"AUTH PLAIN", "AGEA_-=="}, "-ERR that is not base64", 0},
		{"NUL", []string{"AUTH PLAIN", "AGEAYg==\x00"}, "-ERR that is not base64", 0},
		{"NUL in the command", []string{"AUTH PLAIN AGEAYg==\x00"}, "-ERR control characters", 0},
		{"NULs missing", []string{"AUTH PLAIN " + b64("alice@example.test")}, "-ERR PLAIN takes", 0},
		{"as another", []string{"AUTH PLAIN " + b64("bob@example.test"+plainMessage)}, "-ERR [AUTH]", 1},
		{"password of 1 kB", []string{"AUTH PLAIN " + b64("\x00alice@example.test\x00"+strings.Repeat("p", 1024))}, "-ERR [AUTH]", 1},
		{"LDAP in the name", []string{"AUTH PLAIN " + b64("\x00*)(uid=*\x00x")}, "-ERR [AUTH]", 1},
		{"SQL in the name", []string{"AUTH PLAIN " + b64("\x00a' OR '1'='1\x00x")}, "-ERR [AUTH]", 1},
		{"HTTP in the middle", []string{"AUTH PLAIN", "GET / HTTP/1.1"}, "-ERR that is not base64", 0},
		{"command in the middle", []string{"AUTH PLAIN", "QUIT"}, "-ERR PLAIN takes", 0}, // it is base64
		{"initial response where the server begins", []string{"AUTH CRAM-MD5 AAAA"}, "-ERR CRAM-MD5 begins", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newFake(two)
			b.digest = true
			c := connect(t, b, nil, false)
			replies := strings.SplitAfter(strings.TrimSuffix(c.say(row.lines...), "\r\n"), "\r\n")
			if got := replies[len(replies)-1]; !strings.HasPrefix(got, row.want) || len(replies) != len(row.lines) {
				t.Errorf("got %q, want %q at the end", replies, row.want)
			}
			if b.logins != row.asked {
				t.Errorf("the authenticator was asked %d times, want %d", b.logins, row.asked)
			}
			c.want("AUTH PLAIN "+b64(plainMessage), "+OK 1 message")
		})
	}
}

// TestAuthLinesAreBounded: AUTH and its responses may be long, nothing else may.
func TestAuthLinesAreBounded(t *testing.T) {
	most := MaxAuthLine - len("\r\n")
	response := func(octets int) string { return strings.Repeat("A", octets) }
	for _, row := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"command as long as may be", []string{"AUTH PLAIN " + response(most-len("AUTH PLAIN ")-3)}, "-ERR PLAIN takes"},
		{"command of an octet more", []string{"AUTH PLAIN " + response(most-len("AUTH PLAIN ")+1)}, "-ERR that line is too long"},
		{"response as long as may be", []string{"AUTH PLAIN", response(most - most%4)}, "-ERR PLAIN takes"},
		{"response of an octet more", []string{"AUTH PLAIN", response(most + 1)}, "-ERR that line is too long"},
		{"response of 12,289 octets", []string{"AUTH PLAIN", response(12_289)}, "-ERR that line is too long"},
		{"other command as long as may be", []string{"NOOP " + response(wire.MaxLine-len("NOOP \r\n"))}, "-ERR log in first"},
		{"other command of an octet more", []string{"NOOP " + response(wire.MaxLine-len("NOOP \r\n")+1)}, "-ERR that line is too long"},
		{"PASS", []string{"PASS " + response(wire.MaxLine)}, "-ERR that line is too long"},
		{"unknown word", []string{response(wire.MaxLine)}, "-ERR that line is too long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newFake(two)
			s := New(b, b, nil)
			s.Start(newConn(false))
			var step session.Step
			for _, l := range row.lines {
				step = s.Line(line(l))
			}
			if got := string(step.Reply); !strings.HasPrefix(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAResponseWithAFlawEndsTheLogin(t *testing.T) {
	for _, flaw := range []wire.Flaw{wire.TooLong, wire.BareLF, wire.BareCR} {
		for _, teach := range []bool{false, true} {
			b := newFake(two)
			s := New(b, b, nil)
			s.Start(newConn(teach))
			s.Line(line("AUTH PLAIN"))
			step := s.Line(wire.Line{Bytes: []byte(b64(plainMessage)), Flaws: flaw})
			tolerated := teach && flaw != wire.TooLong
			if got := string(step.Reply); strings.HasPrefix(got, "+OK") != tolerated {
				t.Errorf("flaw %d, teach %t: got %q", flaw, teach, got)
			}
			if got := string(s.Line(line("CAPA")).Reply); !strings.HasPrefix(got, "+OK cap") {
				t.Errorf("flaw %d, teach %t: got %q for the next command", flaw, teach, got)
			}
		}
	}
}

func TestAuthAfterTheLogin(t *testing.T) {
	c := login(t, newFake(two), nil)
	for _, line := range []string{"AUTH", "AUTH PLAIN", "AUTH PLAIN " + b64(plainMessage), "APOP a b", "STLS"} {
		c.want(line, "-ERR you are logged in already")
	}
}

func TestAuthForgetsTheUser(t *testing.T) {
	c := connect(t, newFake(two), nil, false)
	c.say("USER alice@example.test", "AUTH PLAIN", "*")
	c.want("PASS "+fakePassword, "-ERR say who you are")
}

// TestFailedAuthIsCounted: each way of logging in counts with the others.
func TestFailedAuthIsCounted(t *testing.T) {
	b := newFake(two)
	b.digest = true
	c := connect(t, b, &Options{MaxLogins: 4}, false)
	got := c.say("USER a", "PASS a", "AUTH PLAIN "+b64("\x00a\x00b"), "APOP a "+strings.Repeat("0", 32), "AUTH LOGIN", b64("a"), b64("b"), "NOOP")
	if strings.Count(got, "-ERR [AUTH]") != 4 || !strings.HasSuffix(got, "; too many attempts\r\n") || !c.closed() {
		t.Errorf("got %q, closed %t; want four refusals and the end", got, c.closed())
	}
}

func TestFailuresOfEachWayToLogIn(t *testing.T) {
	ways := map[string][]string{
		"PASS": {"USER alice@example.test", "PASS " + fakePassword},
		"AUTH": {"AUTH PLAIN " + b64(plainMessage)},
		"APOP": {"APOP alice@example.test " + strings.Repeat("0", 32)},
	}
	for name, lines := range ways {
		for _, row := range []struct {
			kind fault.Kind
			want string
		}{
			{fault.Denied, "-ERR [AUTH] the name or the password is wrong"},
			{fault.Busy, "-ERR [SYS/TEMP] too many failed logins from your address; try again later"},
			{fault.Transient, "-ERR [SYS/TEMP] "},
			{fault.Internal, "-ERR [SYS/TEMP] "},
		} {
			b := newFake(two)
			b.digest = true
			b.loginErr = fault.New(row.kind, "log in mallory", errors.New("the detail"))
			got := connect(t, b, nil, false).say(lines...)
			if last := strings.TrimPrefix(got, "+OK and now PASS with the password\r\n"); !strings.HasPrefix(last, row.want) || strings.Contains(got, "mallory") {
				t.Errorf("%s, %v: got %q, want %q", name, row.kind, last, row.want)
			}
		}
	}
	for kind, want := range map[fault.Kind]string{
		fault.Busy: "-ERR [SYS/TEMP] too many failed logins", fault.Internal: "-ERR [SYS/TEMP] something failed",
	} {
		b := newFake(two)
		b.beginErr = fault.New(kind, "begin", nil)
		connect(t, b, nil, false).want("AUTH PLAIN", want)
	}
}

// TestNoLoginIsNobodys: an Authenticator that names nobody lets nobody in.
func TestNoLoginIsNobodys(t *testing.T) {
	b := newFake(two)
	s := New(b, b, nil).(*Session)
	s.Start(newConn(false))
	if got := string(s.enter(sasl.Identity{}, nil).Reply); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") || b.opens != 0 {
		t.Errorf("got %q and %d maildrops opened", got, b.opens)
	}
}

func TestALockedMaildropIsInUseAfterAuthToo(t *testing.T) {
	b := newFake(two)
	login(t, b, nil)
	connect(t, b, nil, false).want("AUTH PLAIN "+b64(plainMessage), "-ERR [IN-USE] ")
}

func TestApop(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		b := newFake(two)
		b.digest = true
		s := New(b, b, nil).(*Session)
		greeting := string(s.Start(newConn(false)).Reply)
		at := strings.IndexByte(greeting, '<')
		timestamp := strings.TrimSuffix(greeting[at:], "\r\n")
		if !strings.HasSuffix(timestamp, "@mail.example.test>") || seen[timestamp] {
			t.Fatalf("got greeting %q", greeting)
		}
		seen[timestamp] = true
		sum := md5.Sum([]byte(timestamp + fakePassword))
		digest := hex.EncodeToString(sum[:])
		for _, row := range []struct{ line, want string }{
			{"APOP alice@example.test", "-ERR APOP takes"},
			{"APOP alice@example.test " + digest[1:], "-ERR APOP takes"},
			{"APOP alice@example.test " + strings.ToUpper(digest), "-ERR APOP takes"},
			{"APOP " + digest, "-ERR APOP takes"},
			{"APOP \xff " + digest, "-ERR that name is not UTF-8"},
			{"APOP " + strings.Repeat("u", maxUser+1) + " " + digest, "-ERR that name is too long"},
			{"APOP mallory@example.test " + digest, "-ERR [AUTH]"},
			{"APOP alice@example.test " + strings.Repeat("0", 32), "-ERR [AUTH]"},
			{"APOP alice@example.test " + digest, "+OK 1 message (24 octets)"},
		} {
			if got := string(s.Line(line(row.line)).Reply); !strings.HasPrefix(got, row.want) {
				t.Errorf("%s: got %q, want %q", row.line, got, row.want)
			}
		}
		if b.logins != 3 {
			t.Errorf("the authenticator was asked %d times, want 3", b.logins)
		}
	}
}

func TestNoTimestampWhereNobodyCouldUseIt(t *testing.T) {
	b := newFake(two)
	s := New(b, b, nil)
	if got := string(s.Start(newConn(false)).Reply); strings.ContainsAny(got, "<>") {
		t.Errorf("got greeting %q", got)
	}
	if got := string(s.Line(line("APOP a " + strings.Repeat("0", 32))).Reply); got != "-ERR APOP is not offered here\r\n" || b.logins != 0 {
		t.Errorf("got %q, and the authenticator was asked %d times", got, b.logins)
	}
}

func TestAuthCramMD5(t *testing.T) {
	b := newFake(two)
	b.digest = true
	c := connect(t, b, nil, false)
	challenge, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(c.say("AUTH CRAM-MD5"), "+ ")))
	mac := hmac.New(md5.New, []byte(fakePassword))
	mac.Write(challenge)
	c.want(b64("alice@example.test "+hex.EncodeToString(mac.Sum(nil))), "+OK 1 message (24 octets)")
}

// TestLinesWithSecretsAreMarked: also where a command has no business.
func TestLinesWithSecretsAreMarked(t *testing.T) {
	for _, in := range []bool{false, true} {
		b := newFake(two)
		s := New(b, b, &Options{MaxLogins: 100})
		s.Start(newConn(false))
		if in {
			s.Line(line("AUTH PLAIN " + b64(plainMessage)))
		}
		for _, l := range []string{"PASS x", "pass", "APOP a b", "AUTH PLAIN AAAA", "AUTH PLAIN =", "AUTH x y", "AUTH PLAIN \x00"} {
			if !s.Line(line(l)).Secret {
				t.Errorf("logged in %t: %q is for the transcript", in, l)
			}
		}
		for _, l := range []string{"CAPA", "STAT", "XYZ"} {
			if s.Line(line(l)).Secret {
				t.Errorf("logged in %t: %q is a secret", in, l)
			}
		}
	}
	b := newFake(two)
	s := New(b, b, nil)
	s.Start(newConn(false))
	for _, l := range []string{"AUTH LOGIN", b64("alice@example.test"), "*"} {
		if step := s.Line(line(l)); !step.Secret || step.Next != session.SecretLine {
			t.Errorf("%q: got secret %t, and mode %v next", l, step.Secret, step.Next)
		}
	}
}
