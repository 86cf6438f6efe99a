//go:build unix

package cli

import (
	"os"
	"strings"
	"testing"
)

func TestRootLeavesAnotherUsersStoreAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	const stranger = 65532
	data := t.TempDir()
	if err := os.Chown(data, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run("", "domain", "list", "--data", data)
	if code != exitFailed || !strings.Contains(stderr, "sudo -u '#65532'") {
		t.Errorf("got %d and %q, want %d and whom to be", code, stderr, exitFailed)
	}
	if entries, err := os.ReadDir(data); err != nil || len(entries) > 0 {
		t.Errorf("got %v %v, want nothing made", entries, err)
	}
}
