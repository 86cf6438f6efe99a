package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/admin"
	"postrider/internal/config"
)

// newTestEngine returns an engine on a fresh data folder, with one SMTP listener
// on any free port.
func newTestEngine(t *testing.T) (*engine, []opened) {
	t.Helper()
	cfg := config.Default()
	cfg.Data = t.TempDir()
	cfg.Hostname = "mail.example.org"
	cfg.Limits.Grace = config.Second / 10
	cfg.Listeners = []config.Listener{{Name: "smtp", Protocol: config.ProtocolSMTP, Role: config.RoleMX, Address: loopback(0)}}
	e, err := newEngine(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	listeners, err := e.listen()
	if err != nil {
		t.Fatal(err)
	}
	return e, listeners
}

func TestAServerIsNotReadyBeforeItsAdministrationSocketIsOpen(t *testing.T) {
	t.Run("open", func(t *testing.T) {
		e, listeners := newTestEngine(t)
		ctx, stop := context.WithCancel(t.Context())
		err := e.run(ctx, listeners, func() {
			defer stop()
			c, err := admin.Connect(ctx, adminSocket(e.cfg.Data))
			if err != nil {
				t.Errorf("got %v, want a connection", err)
				return
			}
			c.Close()
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("cannot be opened", func(t *testing.T) {
		e, listeners := newTestEngine(t)
		if err := os.WriteFile(filepath.Join(e.cfg.Data, "admin.sock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		err := e.run(ctx, listeners, func() {
			t.Error("got ready, want not")
			stop()
		})
		if err == nil {
			t.Error("got no error")
		}
	})
}

// command returns the program as a process of its own; TestMain puts it on the path.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("postrider", args...)
	cmd.Dir = t.TempDir()
	return cmd
}

// startDemo starts a demo and returns what it announces.
func startDemo(t *testing.T, cmd *exec.Cmd) (demoReady, io.ReadCloser) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	var r demoReady
	if err := json.NewDecoder(stdout).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r, stdout
}

func TestASignalStopsTheDemoCleanly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such signals")
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			cmd := command(t, "demo", "--json", "--ports", "auto")
			_, stdout := startDemo(t, cmd)
			cmd.Process.Signal(s)
			if more, err := io.ReadAll(stdout); err != nil || len(more) > 0 {
				t.Errorf("got %q %v behind the line, want nothing", more, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("got %v, want exit code 0", err)
			}
		})
	}
}

func TestAServerOutlivesHangupAndTheReaderOfItsLog(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such signals")
	}
	cmd, stderr, log := startServe(t)
	awaitLog(t, log, "configuration: there is no postmaster")
	address := awaitLog(t, log, "listening")
	cmd.Process.Signal(syscall.SIGHUP)
	awaitLog(t, log, "SIGHUP: certificates are read again; for other changes of the configuration restart the server")
	stderr.Close()
	for range 2 { // the first connection's end is logged to nobody
		if got := greeting(t, address); !strings.HasPrefix(got, "220 ") {
			t.Errorf("got %q, want a greeting", got)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
}

func TestTheLogBeginsAndEndsWithTheServer(t *testing.T) {
	cfg := config.Default()
	cfg.Data, cfg.Hostname = t.TempDir(), "mail.example.org"
	cfg.Listeners = []config.Listener{{Protocol: config.ProtocolSMTP, Role: config.RoleMX, TLS: config.TLSNone, Address: loopback(0)}}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var log strings.Builder
	if err := serve(ctx, cfg, nil, &log); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if first := lines[0]; !strings.Contains(first, "msg=starting version=") || !strings.Contains(first, "data="+cfg.Data) {
		t.Errorf("got %q first, want the version and the data folder", first)
	}
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "msg=stopped") {
		t.Errorf("got %q last, want that it has stopped", last)
	}
}

func TestAServerOutlivesHangupWhileItStarts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such signals")
	}
	cmd, _, log := startServe(t)
	awaitLog(t, log, "starting")
	cmd.Process.Signal(syscall.SIGHUP)
	awaitLog(t, log, "SIGHUP: certificates are read again; for other changes of the configuration restart the server")
	cmd.Process.Signal(syscall.SIGTERM)
	awaitLog(t, log, "stopped")
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
}

func TestAServerThatCutsConnectionsOffHasStoppedCleanly(t *testing.T) {
	e, listeners := newTestEngine(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var conn net.Conn
	err := e.run(ctx, listeners, func() {
		conn = inTransaction(t, listeners[0].socket.Addr().String())
		stop()
	})
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// inTransaction returns a connection whose transaction is open.
func inTransaction(t *testing.T, address string) net.Conn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return nil
	}
	io.WriteString(conn, "HELO x\r\nMAIL FROM:<a@example.com>\r\n")
	lines := bufio.NewScanner(conn)
	for range 3 {
		if !lines.Scan() || lines.Text()[0] != '2' {
			t.Errorf("got %q %v, want a transaction", lines.Text(), lines.Err())
		}
	}
	return conn
}

// startServe starts a server with one listener, and returns where its log comes
// from.
func startServe(t *testing.T) (cmd *exec.Cmd, stderr io.Closer, log *json.Decoder) {
	t.Helper()
	cmd = command(t, "serve", "--config", "p.toml")
	conf := "data = \".\"\n[log]\nformat = \"json\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\n"
	if err := os.WriteFile(filepath.Join(cmd.Dir, "p.toml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, pipe, json.NewDecoder(pipe)
}

// awaitLog reads lines of JSON until one has the message, and returns its address.
func awaitLog(t *testing.T, log *json.Decoder, msg string) (address string) {
	t.Helper()
	for {
		var line struct{ Msg, Address string }
		if err := log.Decode(&line); err != nil {
			t.Fatalf("the log ends without %q: %v", msg, err)
		}
		if line.Msg == msg {
			return line.Address
		}
	}
}

// greeting returns what a server says first, after saying QUIT to it.
func greeting(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func TestTheDemosConfigurationIsChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "p.toml")
	if err := os.WriteFile(file, []byte("[[listener]]\naddress = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := demoConfig(demoOptions{data: dir, config: file})
	if err == nil || !strings.Contains(err.Error(), "the listener has no protocol") {
		t.Errorf("got %v, want a word on the protocol", err)
	}
}

func TestTheDemosDataFolderIsTheOneOfTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "p.toml")
	if err := os.WriteFile(file, []byte("data = \"from-file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		o    demoOptions
		want string
	}{
		{"said", demoOptions{data: filepath.Join(dir, "said")}, "said"},
		{"default", demoOptions{data: filepath.Join(dir, "data"), dataDefault: true}, "from-file"},
	} {
		test.o.config = file
		cfg, err := demoConfig(test.o)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, test.want); cfg.Data != want {
			t.Errorf("%s: got %s, want %s", test.name, cfg.Data, want)
		}
	}
}
