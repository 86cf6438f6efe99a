package cli

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"postrider/internal/config"
	"postrider/internal/resolver/zonetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"postrider": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the commands as a person would, each script once on the
// store itself and once beside a server that runs on it.
func TestScripts(t *testing.T) {
	for _, way := range []struct {
		name   string
		online bool
	}{{"offline", false}, {"online", true}} {
		t.Run(way.name, func(t *testing.T) {
			z := zonetest.New(t, "")
			settings := scriptConfig + fmt.Sprintf("[dns]\nservers = [%q]\n", z.Serve(t))
			testscript.Run(t, testscript.Params{
				Dir: filepath.Join("testdata", "script"),
				Setup: func(e *testscript.Env) error {
					e.Setenv("NO_COLOR", "1")
					return os.WriteFile(filepath.Join(e.WorkDir, "postrider.toml"), []byte(settings), 0o600)
				},
				Condition: func(cond string) (bool, error) {
					if cond == "online" {
						return way.online, nil
					}
					return false, fmt.Errorf("unknown condition %q", cond)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"site":   site(way.online),
					"hold":   hold,
					"socket": socket,
					"absent": absent,
					"file":   fileHas,
					"zone":   zoneHas(t, z),
				},
				RequireExplicitExec: true,
			})
		})
	}
}

// scriptConfig has cheap passwords, listeners on any free port, and sends nothing.
const scriptConfig = `
hostname = "mail.example.org"
postmaster = "postmaster@example.org"
[[listener]]
protocol = "smtp"
address = "127.0.0.1:0"
[[listener]]
protocol = "pop3"
address = "127.0.0.1:0"
[passwords]
argon2_memory = "8MiB"
argon2_time = 1
[outbound]
enabled = false
[log]
level = "debug"
[publish]
addresses = ["192.0.2.25"]
`

// site makes the data folder, with "queued" also some mail in its queue, and,
// online, starts a server on it, which ends with the script.
func site(online bool) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 1 || len(args) == 1 && args[0] != "queued" {
			ts.Fatalf("usage: site [queued]")
		}
		dir := ts.Getenv("WORK")
		ts.Check(os.Mkdir(filepath.Join(dir, "data"), 0o700))
		if len(args) == 1 {
			fillQueue(ts, dir)
		}
		if !online {
			return
		}
		ts.Defer(startServer(ts, dir))
	}
}

// zoneHas lets the DNS have what a file says, with what it sets aside.
func zoneHas(t *testing.T, z *zonetest.Zone) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: zone FILE")
		}
		text := ""
		for line := range strings.Lines(ts.ReadFile(args[0])) {
			if strings.Contains(line, " IN ") {
				text += strings.TrimPrefix(line, ";")
			}
		}
		z.Set(t, text)
	}
}

// hold opens the script's store as a process does that answers on no socket.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: hold")
	}
	cfg, err := config.Load(filepath.Join(ts.Getenv("WORK"), "postrider.toml"))
	ts.Check(err)
	st, err := openStore(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ts.Check(err)
	ts.Defer(func() { st.Close() })
}

// socket leaves a socket file behind that nobody answers on.
func socket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: socket PATH")
	}
	dir, err := os.MkdirTemp("", "s") // the script's own path may be too long for a socket
	ts.Check(err)
	defer os.RemoveAll(dir)
	short := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	ts.Check(err)
	ln.SetUnlinkOnClose(false)
	ts.Check(ln.Close())
	ts.Check(os.Rename(short, ts.MkAbs(args[0])))
}

// absent fails when a word stands in any file of the script's folder but those
// named: nothing may write a password anywhere.
func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: absent WORD [FILE...]")
	}
	allowed := map[string]bool{}
	for _, f := range args[1:] {
		allowed[ts.MkAbs(f)] = true
	}
	for _, out := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(out), args[0]) {
			ts.Fatalf("%s holds %q", out, args[0])
		}
	}
	ts.Check(filepath.WalkDir(ts.Getenv("WORK"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || allowed[path] {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), args[0]) {
			return fmt.Errorf("%s holds %q", path, args[0])
		}
		return err
	}))
}

// fileHas fails unless a file has the mode given in octal.
func fileHas(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: file PATH MODE")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}
