//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A recipe is what somebody types to have a client send or collect a message:
// docs/CLIENTS.md shows the very text that the tests run. Words in braces stand
// for what differs from one person to the next.
type recipe struct {
	files   []file
	command string // for sh, in a folder that holds files, ca.pem, message.eml and alice.pem
	typed   []step // what is typed into it
}

// file is a file that a client reads.
type file struct{ name, text string }

// step is a line that a person types after one from the server that begins as
// awaited; empty: at once.
type step struct{ awaited, line string }

// with fills in the words in braces.
func (r recipe) with(words *strings.Replacer) recipe {
	filled := recipe{command: words.Replace(r.command)}
	for _, f := range r.files {
		filled.files = append(filled.files, file{f.name, words.Replace(f.text)})
	}
	for _, s := range r.typed {
		filled.typed = append(filled.typed, step{s.awaited, words.Replace(s.line)})
	}
	return filled
}

// inbox is the file that clients deliver into.
const inbox = "inbox"

// run follows the recipe in a folder and returns what the client printed, and
// delivered into inbox. The error says that it failed, or that the server refused
// what was typed.
func (r recipe) run(t *testing.T, dir string) (printed string, err error) {
	t.Helper()
	for _, f := range r.files {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shell := []string{"sh", "-c", r.command}
	if r.typed != nil { // at a terminal, which gives a program one line at a time
		shell = []string{"script", "-qec", "stty -echo -onlcr; " + r.command, "/dev/null"}
	}
	c := exec.CommandContext(ctx, shell[0], shell[1:]...)
	c.Dir = dir
	c.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8", "TERM=xterm")
	// A client that hangs goes with all that it has started.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = patience / 4
	if r.typed == nil {
		out, err := c.CombinedOutput()
		printed = string(out)
		if err != nil {
			err = fmt.Errorf("%q: %w (%v)", r.command, err, ctx.Err())
		}
		return printed + delivered(t, dir), err
	}
	return r.hold(c)
}

// hold runs a command and types into it.
func (r recipe) hold(c *exec.Cmd) (printed string, err error) {
	in, err := c.StdinPipe()
	if err != nil {
		return "", err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", err
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		return "", err
	}
	var seen bytes.Buffer
	lines := bufio.NewReader(io.TeeReader(out, &seen))
	for _, s := range r.typed {
		if err = await(lines, s.awaited); err != nil {
			break
		}
		if _, err = io.WriteString(in, s.line+"\n"); err != nil {
			break
		}
	}
	if err != nil {
		c.Cancel()
	}
	_, rerr := io.Copy(io.Discard, lines)
	werr := c.Wait() // s_client and gnutls-cli call it an error when the server ends
	if err == nil && c.ProcessState.ExitCode() < 0 {
		err = errors.Join(rerr, werr)
	}
	return strings.ReplaceAll(seen.String(), "\r\n", "\n"), err
}

// badToken begins the JSON, in base64, that refuses a token (RFC 7628 §3.2.2).
const badToken = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIi"

// await reads lines until one begins as wanted, or is a refusal.
func await(r *bufio.Reader, want string) error {
	for want != "" {
		line, err := r.ReadString('\n')
		switch {
		case strings.HasPrefix(line, want):
			return nil
		case err != nil:
			return fmt.Errorf("waiting for %q: %q: %w", want, line, err)
		case strings.Contains(line, badToken), strings.HasPrefix(line, "-ERR"), len(line) > 3 && (line[0] == '5' || line[0] == '4') && line[3] == ' ':
			return fmt.Errorf("waiting for %q: %q", want, line)
		}
	}
	return nil
}

// delivered returns what is in a folder's inbox.
func delivered(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, inbox))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}
