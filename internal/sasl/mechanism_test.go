package sasl

import (
	"errors"
	"strings"
	"testing"

	"postrider/internal/fault"
)

func TestTheTableIsCompleteAndInOrder(t *testing.T) {
	var names []string
	for _, m := range Mechanisms() {
		names = append(names, m.Name)
		if m.RFC == "" || m.Help == "" || strings.HasSuffix(m.Help, ".") || m.Plus != strings.HasSuffix(m.Name, "-PLUS") {
			t.Errorf("%s lacks a fact: %+v", m.Name, m)
		}
		if len(m.Name) > 20 || strings.Trim(m.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%q is no name of RFC 4422 section 3.1", m.Name)
		}
	}
	want := "SCRAM-SHA-256-PLUS SCRAM-SHA-256 EXTERNAL OAUTHBEARER PLAIN LOGIN CRAM-MD5"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNewTakesNamesInAnyCaseAndNoOthers(t *testing.T) {
	for _, name := range []string{"PLAIN", "plain", "Scram-Sha-256-Plus"} {
		if New(name, newFake(), fakeChannel) == nil {
			t.Errorf("%q is not known", name)
		}
	}
	for _, name := range []string{"", "PLAINS", "PLAI", "PLAIN ", "\u017fCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5", "ANONYMOUS"} {
		if New(name, newFake(), fakeChannel) != nil {
			t.Errorf("%q is known", name)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	long := "\x00" + fakeName + "\x00" + strings.Repeat("p", MaxMessage)
	run(t, "PLAIN", fakeChannel, []row{
		{"as long as may be", []string{long[:MaxMessage]}, fault.Denied, 1},
		{"an octet more", []string{long[:MaxMessage+1]}, fault.Invalid, 0},
	})
}

func TestOtherFailuresKeepTheirKind(t *testing.T) {
	for _, m := range []struct {
		name     string
		messages []string
	}{
		{"PLAIN", []string{"\x00a\x00b"}},
		{"LOGIN", []string{"a", "b"}},
		{"SCRAM-SHA-256", []string{"n,,n=a,r=b"}},
		{"CRAM-MD5", []string{none, "a " + strings.Repeat("0", 32)}},
		{"EXTERNAL", []string{""}},
		{"OAUTHBEARER", []string{"n,,\x01auth=Bearer x\x01\x01"}},
	} {
		for _, kind := range []fault.Kind{fault.Busy, fault.Transient, fault.Internal} {
			v := newFake()
			v.err = fault.New(kind, "login", errors.New("the detail"))
			if _, _, err := converse(t, New(m.name, v, fakeChannel), m.messages...); err != v.err {
				t.Errorf("%s: got %v, want %v as it was", m.name, err, v.err)
			}
		}
	}
}

func TestReasonIsGenericForOthersErrors(t *testing.T) {
	got := Reason(fault.New(fault.Invalid, "prepare mallory", errors.New("secret")))
	if got == "" || strings.Contains(got, "mallory") || strings.Contains(got, "secret") {
		t.Errorf("got %q", got)
	}
}

func TestThePeersNameIsInNoError(t *testing.T) {
	for _, m := range Mechanisms() {
		for _, message := range []string{"mallory", "\x00mallory", "\x00mallory\x00\xff", "n,,n=mallory=,r=x", "n,a=mallory,\x01\x01"} {
			e := New(m.Name, newFake(), fakeChannel)
			for range 3 {
				if _, err := e.Respond(t.Context(), []byte(message)); err != nil && strings.Contains(err.Error(), "mallory") {
					t.Errorf("%s: got %q", m.Name, err)
				}
			}
		}
	}
}
