package admin

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// inProcess is a transport that calls a handler in this process. Answers
// stream: the handler waits until what it writes is read.
type inProcess struct{ handler http.Handler }

// RoundTrip returns when the handler has written something, or ended. Closing
// the answer's body ends the handler and waits for it.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: pw, status: http.StatusOK, begun: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.handler.ServeHTTP(w, r.Clone(ctx))
		w.begin()
		pw.Close()
	}()
	<-w.begun
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
		Body: &pipeBody{PipeReader: pr, cancel: cancel, done: done},
	}, nil
}

type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   <-chan struct{}
}

// Close ends the handler and waits for it: then the store may be closed.
func (b *pipeBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	<-b.done
	return err
}

// pipeWriter is the handler's side.
type pipeWriter struct {
	header http.Header
	status int
	pipe   *io.PipeWriter
	once   sync.Once
	begun  chan struct{}
}

func (w *pipeWriter) begin() { w.once.Do(func() { close(w.begun) }) }

// Header returns the answer's header.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader begins the answer.
func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.begun)
	})
}

// Write waits until the octets are read.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.begin()
	return w.pipe.Write(b)
}

// Flush does nothing: nothing is kept back.
func (w *pipeWriter) Flush() {}
