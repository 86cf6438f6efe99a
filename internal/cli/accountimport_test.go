package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hashedFile writes a file of n accounts with hashes, every second one bcrypt
// and the others argon2id.
func hashedFile(t testing.TB, n int) string {
	t.Helper()
	hashes := []string{
		"$2y$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "user%05d@example.org:%s\n", i, hashes[i%2])
	}
	path := filepath.Join(t.TempDir(), "users.passwd")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportOfManyHashedAccountsCountsAll(t *testing.T) {
	const n = 10_000
	data := t.TempDir()
	code, stdout, stderr := run("", "--data", data, "account", "import", hashedFile(t, n), "--create-domains")
	if want := fmt.Sprintf("%d added, 0 updated, 0 there already, 0 failed.\n", n); code != exitOK || stdout != want {
		t.Fatalf("got %d %q %q, want %q", code, stdout, stderr, want)
	}
	code, stdout, _ = run("", "--data", data, "account", "list", "--json")
	if got := strings.Count(stdout, "\n"); code != exitOK || got != n {
		t.Errorf("got %d, %d accounts listed, want %d", code, got, n)
	}
}

func BenchmarkImportHashedAccounts(b *testing.B) {
	const n = 10_000
	path := hashedFile(b, n)
	for b.Loop() {
		if code, _, stderr := run("", "--data", b.TempDir(), "account", "import", path, "--create-domains"); code != exitOK {
			b.Fatal(stderr)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "accounts/s")
}
