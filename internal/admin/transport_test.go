package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"postrider/internal/fault"
)

func TestAnAnswerThatIsCutOffIsAnError(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "{\"item\":{\"name\":\"example.org\"}}\n")
	})
	var got error
	for _, err := range InProcess(h).Domains(t.Context()) {
		got = err
	}
	if !errors.Is(got, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want unexpected EOF", got)
	}
}

func TestAProcedureThatTheServerDoesNotKnowNamesTheVersion(t *testing.T) {
	_, h := newSite(t)
	err := InProcess(h).ask(t.Context(), "moon.phase", struct{}{}, nil)
	if err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("got %v, want a word on versions", err)
	}
}

func TestAFieldThatTheServerDoesNotKnowIsRefused(t *testing.T) {
	_, h := newSite(t)
	err := InProcess(h).ask(t.Context(), "domain.add", map[string]any{"domain": "example.org", "owner": "me"}, nil)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "owner") {
		t.Errorf("got %v, want invalid, naming the field", err)
	}
}

func TestAnArgumentAboveTheLimitIsRefused(t *testing.T) {
	_, h := newSite(t)
	err := InProcess(h).AddDomain(t.Context(), strings.Repeat("x", maxArgument))
	if !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v, want too large", err)
	}
}

func TestClosingAnAnswerWaitsForTheHandler(t *testing.T) {
	ended := false
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{\"item\":1}\n")
		<-r.Context().Done()
		ended = true
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/y", strings.NewReader("{}\n"))
	answer, err := inProcess{h}.RoundTrip(r)
	must(t, err)
	line := make([]byte, 11)
	_, err = io.ReadFull(answer.Body, line)
	must(t, err)
	answer.Body.Close()
	if !ended {
		t.Error("the handler goes on after Close")
	}
}

func TestNobodyThereIsNotFound(t *testing.T) {
	_, err := Connect(t.Context(), filepath.Join(t.TempDir(), "admin.sock"))
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

// leaveStale leaves a socket file that nobody answers on.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

func TestASocketLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	leaveStale(t, path)
	if _, err := Connect(t.Context(), path); !fault.Is(err, fault.NotFound) {
		t.Errorf("connect: got %v, want not found", err)
	}
	_, h := newSite(t)
	startServe(t, path, h)
	must(t, connect(t, path).AddDomain(t.Context(), "example.org"))
}

func TestASocketThatAnswersIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	_, h := newSite(t)
	startServe(t, path, h)
	if _, err := Listen(t.Context(), path); !fault.Is(err, fault.Busy) {
		t.Errorf("got %v, want busy", err)
	}
	must(t, connect(t, path).AddDomain(t.Context(), "example.org"))
}

func TestAFileInTheSocketsPlaceIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	must(t, os.WriteFile(path, []byte("dear"), 0o600))
	if _, err := Listen(t.Context(), path); !fault.Is(err, fault.Exists) {
		t.Errorf("got %v, want exists", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "dear" {
		t.Errorf("got %q %v, want the file as it was", b, err)
	}
}

func TestTheSocketIsItsOwnersAndGoesWithTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	_, h := newSite(t)
	stop := startServe(t, path, h)
	info, err := os.Lstat(path)
	must(t, err)
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, want 0600", info.Mode().Perm())
	}
	must(t, stop())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the socket gone", err)
	}
}

func TestAPathTooLongForASocketWorks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a shorter folder has to be chosen")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "admin.sock")
	_, h := newSite(t)
	stop := startServe(t, path, h)
	must(t, connect(t, path).AddDomain(t.Context(), "example.org"))
	must(t, stop())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the socket gone", err)
	}
}

func TestServeReturnsWhenCallsHaveEnded(t *testing.T) {
	begun, ended := make(chan struct{}), false
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended = true
	})
	path := filepath.Join(t.TempDir(), "admin.sock")
	stop := startServe(t, path, h)
	c := connect(t, path)
	asked := make(chan error, 1)
	go func() { asked <- c.ask(context.Background(), "x", struct{}{}, nil) }()
	<-begun
	must(t, stop())
	if !ended {
		t.Error("a call goes on after Serve")
	}
	if err := <-asked; err == nil {
		t.Error("got no error from a call that was ended")
	}
}

// FuzzHandler wants no panic, and an answer that ends properly, whatever a
// procedure is asked.
func FuzzHandler(f *testing.F) {
	var names []string
	for name := range procedures {
		names = append(names, name)
	}
	for i := range names {
		f.Add(i, []byte(`{"address":"a@example.org","domain":"example.org","targets":["b@example.org"]}`+"\n"))
	}
	f.Add(0, []byte("{}"))
	f.Add(0, []byte("null\n\n"))
	f.Add(1, []byte(`{"format":"csv","create_domains":true}`+"\naddress,password\na@example.org,x\n"))
	_, h := newSite(f)
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		name := names[(i%len(names)+len(names))%len(names)]
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+name, strings.NewReader(string(body))))
		d, last := json.NewDecoder(w.Body), frame{}
		for {
			var fr frame
			if err := d.Decode(&fr); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: the answer is not JSON lines: %v", name, err)
			}
			last = fr
		}
		if last.Result == nil && last.Error == nil {
			t.Errorf("%s: the answer has no end", name)
		}
	})
}
