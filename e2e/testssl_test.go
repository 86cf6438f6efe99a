//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// testsslPatience is how long testssl.sh may look at one port.
const testsslPatience = 5 * time.Minute

// notTheServers are testssl.sh's findings that say nothing about the server: about
// the demo's authority, which nobody but the demo knows, and about what testssl.sh
// itself has to work with.
var notTheServers = map[string]string{
	"cert_revocation": "the demo's authority has no server to ask about revocations",
	"engine_problem":  "the openssl that looks has no GOST engine; neither has the server GOST",
}

// finding is one of testssl.sh's.
type finding struct{ ID, Severity, Finding string }

// TestTestsslFindsNothingAboveLow has testssl.sh look at ports with TLS from the
// first octet and with STARTTLS.
func TestTestsslFindsNothingAboveLow(t *testing.T) {
	s := start(t, t.TempDir(), "--strict")
	t.Run("ports", func(t *testing.T) {
		for _, c := range []struct {
			listener string
			flags    []string
		}{
			{submissions, nil},
			{pop3s, nil},
			{"smtp", []string{"--starttls", "smtp"}},
			{pop3, []string{"--starttls", "pop3"}},
		} {
			t.Run(c.listener, func(t *testing.T) {
				t.Parallel()
				holdFindings(t, testssl(t, s, c.listener, c.flags...))
			})
		}
	})
}

// holdFindings fails for what is worse than LOW, and for what was not looked at.
func holdFindings(t *testing.T, found []finding) {
	t.Helper()
	known := map[string]bool{}
	for _, f := range found {
		known[f.ID] = true
		switch f.Severity {
		case "OK", "INFO", "LOW", "DEBUG":
			continue
		}
		if why, ok := notTheServers[f.ID]; ok {
			t.Logf("%s %s: %s (%s)", f.Severity, f.ID, f.Finding, why)
			continue
		}
		t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
	}
	for _, id := range []string{"TLS1_1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "PFS", "cert_chain_of_trust", "cert_trust", "heartbleed", "ROBOT", "LOGJAM"} {
		if !known[id] {
			t.Errorf("testssl.sh did not look at %s", id)
		}
	}
}

// testssl returns what testssl.sh finds at a listener. It exits with the number of
// its findings, or with 200 and more when it could not work.
func testssl(t *testing.T, s *server, listener string, flags ...string) (found []finding) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "findings.json")
	flags = append(flags, "--quiet", "--color", "0", "--warnings", "batch", "--connect-timeout", "10", "--openssl-timeout", "10",
		"--nodns", "none", "--add-ca", s.ready.CA, "--jsonfile", report,
		"--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable",
		"--ip", "127.0.0.1", "localhost:"+s.port(listener))
	ctx, cancel := context.WithTimeout(t.Context(), testsslPatience)
	defer cancel()
	c := exec.CommandContext(ctx, "testssl", flags...)
	c.WaitDelay = patience
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() < 0 || c.ProcessState.ExitCode() >= 200 {
		t.Fatalf("testssl %q: %v\n%s", flags, err, out)
	}
	b, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(b, &found)
	}
	if err != nil {
		t.Fatalf("testssl's report: %v\n%s", err, out)
	}
	return found
}
