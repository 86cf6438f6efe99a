package sasl

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
)

// TestClientFollowsTheExampleOfTheRFC: RFC 7677 §3.
func TestClientFollowsTheExampleOfTheRFC(t *testing.T) {
	c := newScramClient(ClientLogin{Username: "user", Password: "pencil"}, "n", nil, "rOprNGfwEbeRWgbNEkqO")
	for i, turn := range [][2]string{
		{"", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"},
		{
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		},
		{"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", ""},
	} {
		got, err := c.Respond([]byte(turn[0]))
		if err != nil || string(got) != turn[1] {
			t.Fatalf("turn %d: got %q, %v, want %q", i, got, err, turn[1])
		}
		if c.Complete() != (i == 2) {
			t.Errorf("turn %d: Complete is %v", i, c.Complete())
		}
	}
}

// TestClientAndServerAgree: each mechanism against the server's side of it.
func TestClientAndServerAgree(t *testing.T) {
	binding := func(kind string) []byte {
		if kind == "tls-exporter" {
			return []byte("binding")
		}
		return nil
	}
	for _, offered := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"} {
		v := newFake()
		c := NewClient([]string{offered}, ClientLogin{Username: fakeName, Password: fakePassword, Plain: true, Binding: binding})
		if c == nil || c.Mechanism() != offered {
			t.Fatalf("%s: got %v", offered, c)
		}
		server := New(offered, v, Channel{Binding: binding, Plus: strings.HasSuffix(offered, "PLUS")})
		response, err := c.Respond(nil)
		for err == nil {
			var step Step
			if step, err = server.Respond(context.Background(), response); err != nil || step.Done {
				break
			}
			response, err = c.Respond(append([]byte{}, step.Challenge...))
		}
		if err != nil || !c.Complete() {
			t.Errorf("%s: got %v, complete %v", offered, err, c.Complete())
		}
	}
}

func TestTheBestMechanismIsTaken(t *testing.T) {
	bound := func(string) []byte { return []byte("x") }
	for _, tt := range []struct {
		offered string
		plain   bool
		binding func(string) []byte
		want    string // mechanism and beginning of its first message
	}{
		{"LOGIN PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", true, bound, "SCRAM-SHA-256-PLUS p=tls-exporter,,"},
		{"PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", true, nil, "SCRAM-SHA-256 n,,"},
		{"PLAIN SCRAM-SHA-256", true, bound, "SCRAM-SHA-256 y,,"},
		{"LOGIN PLAIN", true, bound, "PLAIN \x00"},
		{"LOGIN", true, nil, "LOGIN "},
		{"LOGIN PLAIN CRAM-MD5", false, nil, ""},
		{"", true, nil, ""},
	} {
		c := NewClient(strings.Fields(tt.offered), ClientLogin{Username: "u", Password: "p", Plain: tt.plain, Binding: tt.binding})
		if c == nil {
			if tt.want != "" {
				t.Errorf("%s: got none", tt.offered)
			}
			continue
		}
		first, err := c.Respond(nil)
		if got := c.Mechanism() + " " + string(first); err != nil || !strings.HasPrefix(got, tt.want) || tt.want == "" {
			t.Errorf("%s: got %q, %v, want %q", tt.offered, got, err, tt.want)
		}
	}
}

// TestAServerMustKeepToSCRAM: what a false server may try.
func TestAServerMustKeepToSCRAM(t *testing.T) {
	for _, tt := range []struct {
		name, first, final string
		want               error
	}{
		{"another nonce", "r=other,s=AAAA,i=4096", "", errChallenge},
		{"the client's nonce alone", "r=mine,s=AAAA,i=4096", "", errChallenge},
		{"too few iterations", "r=mineX,s=AAAA,i=1", "", errIterations},
		{"too many", "r=mineX,s=AAAA,i=999999999", "", errIterations},
		{"no salt", "r=mineX,s=,i=4096", "", errChallenge},
		{"not base64", "r=mineX,s=!,i=4096", "", errChallenge},
		{"no number", "r=mineX,s=AAAA,i=x", "", errChallenge},
		{"an extension that must be known", "m=x,r=mineX,s=AAAA,i=4096", "", errChallenge},
		{"a false signature", "r=mineX,s=AAAA,i=4096", "v=AAAA", errSignature},
		{"no signature", "r=mineX,s=AAAA,i=4096", "", errSignature},
		{"an error", "r=mineX,s=AAAA,i=4096", "e=invalid-proof", errRefused},
	} {
		c := newScramClient(ClientLogin{Username: "u", Password: "p"}, "n", nil, "mine")
		_, _ = c.Respond(nil)
		_, err := c.Respond([]byte(tt.first))
		if err == nil {
			_, err = c.Respond([]byte(tt.final))
		}
		if !errors.Is(err, tt.want) || c.Complete() {
			t.Errorf("%s: got %v, complete %v, want %v", tt.name, err, c.Complete(), tt.want)
		}
	}
}

func TestAChallengeTooManyEndsTheExchange(t *testing.T) {
	for _, c := range []Client{
		&plainClient{}, &loginClient{answers: [][]byte{{1}, {2}}},
		newScramClient(ClientLogin{}, "n", nil, "x"),
	} {
		var err error
		for i := 0; err == nil; i++ {
			if i > 5 {
				t.Fatalf("%s: goes on for ever", c.Mechanism())
			}
			_, err = c.Respond(bytes.Repeat([]byte{'x'}, i))
		}
	}
}
