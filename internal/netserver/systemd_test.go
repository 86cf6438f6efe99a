//go:build linux

package netserver

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// childEnv makes the test program play the server that systemd starts.
const childEnv = "POSTRIDER_TEST_ACTIVATED"

func TestListenersFromSystemdAreFoundByName(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		activatedChild(t)
		return
	}
	ln := listen(t, "127.0.0.1:0")
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childEnv+"="+ln.Addr().String(), "LISTEN_FDS=1", "LISTEN_FDNAMES=smtp")
	child.ExtraFiles = []*os.File{file}
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("child: %v\n%s", err, out)
	}
}

// activatedChild is what the child does. Systemd would know its process id.
func activatedChild(t *testing.T) {
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	byName, err := ListenersFromSystemd()
	if err != nil {
		t.Fatal(err)
	}
	if len(byName["smtp"]) != 1 {
		t.Fatalf("got %v, want one listener called smtp", byName)
	}
	if got, want := byName["smtp"][0].Addr().String(), os.Getenv(childEnv); got != want {
		t.Errorf("got a listener on %s, want %s", got, want)
	}
}

func TestSystemdIsNotified(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	for _, tt := range []struct {
		notify func() error
		want   string
	}{{NotifyReady, "READY=1"}, {NotifyStopping, "STOPPING=1"}} {
		if err := tt.notify(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := socket.Read(b)
		if string(b[:n]) != tt.want || err != nil {
			t.Errorf("got %q, %v; want %q", b[:n], err, tt.want)
		}
	}
}

func TestWithoutSystemdThereIsNothing(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := NotifyReady(); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	byName, err := ListenersFromSystemd()
	if len(byName) != 0 || err != nil {
		t.Errorf("got %v, %v; want nothing", byName, err)
	}
}
