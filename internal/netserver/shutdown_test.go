package netserver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// shutdown starts a Shutdown and returns where its result will come.
func (w *world) shutdown(ctx context.Context) <-chan error {
	result := make(chan error, 1)
	go func() { result <- w.srv.Shutdown(ctx) }()
	synctest.Wait()
	return result
}

func TestShutdownLetsTransactionsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Grace: time.Minute}, Listener{})
		defer w.stop()
		idle, tx, content, busy := w.dial(), w.dial(), w.dial(), w.dial()
		idle.expect("hi\r\n")
		tx.send("begin\r\n")
		tx.expect("hi\r\nok\r\n")
		content.send("data\r\na\r\n")
		content.expect("hi\r\ngo on\r\n")
		busy.send("block\r\n")
		busy.expect("hi\r\n")

		result := w.shutdown(t.Context())
		idle.expectEnd("event shutdown\r\n")
		tx.expect("")
		tx.send("echo a\r\n")
		tx.expect("a\r\n")
		content.send("b\r\n.\r\n")
		content.expectEnd("got 6 <nil>\r\nevent shutdown\r\n")
		close(w.rec.block)
		busy.expectEnd("unblocked\r\nevent shutdown\r\n")
		select {
		case err := <-result:
			t.Fatalf("Shutdown returned %v while a transaction is open", err)
		default:
		}
		tx.send("end\r\n")
		tx.expectEnd("ok\r\nevent shutdown\r\n")
		if err := <-result; err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if n := w.rec.count("shutdown"); n != 6 {
			t.Errorf("Shutdown came %d times, want 6: once, thrice to the open transaction, once, once", n)
		}
	})
}

func TestShutdownCutsAfterGrace(t *testing.T) {
	for _, tt := range []struct{ name, send string }{
		{"transaction", "begin\r\n"}, {"content", "data\r\na"}, {"octets", "octets 5\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{Grace: time.Minute}, Listener{})
				defer w.stop()
				c := w.dial()
				c.send(tt.send)
				synctest.Wait()
				result := w.shutdown(t.Context())
				time.Sleep(time.Minute - 1)
				if ctx := w.rec.lastConn().Context; ctx.Err() != nil {
					t.Error("the session's context ended within the grace time")
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if err := <-result; err == nil {
					t.Error("got nil, want an error that says what was cut")
				}
				if n := w.rec.count("closed"); n != 1 {
					t.Errorf("Closed came %d times, want once", n)
				}
			})
		})
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Grace: time.Hour}, Listener{})
		defer w.stop()
		w.dial().send("begin\r\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := <-w.shutdown(ctx); err == nil {
			t.Error("got nil, want an error that says what was cut")
		}
	})
}

func TestShutdownReportsASessionThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Grace: time.Second}, Listener{})
		c := w.dial()
		c.send("block\r\n")
		synctest.Wait()
		began := time.Now()
		err := <-w.shutdown(t.Context())
		if err == nil || time.Since(began) != time.Second+cutWait {
			t.Errorf("got %v after %v; want an error after %v", err, time.Since(began), time.Second+cutWait)
		}
		if w.rec.lastConn().Context.Err() == nil {
			t.Error("the session's context goes on")
		}
		close(w.rec.block)
		synctest.Wait()
		w.stop()
	})
}

func TestShutdownOfNothingReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Grace: time.Hour}, Listener{})
		synctest.Wait()
		for range 2 {
			if err := w.srv.Shutdown(t.Context()); err != nil {
				t.Errorf("got %v, want nil", err)
			}
		}
		if err := w.srv.Serve(newPipes(), Listener{}); err != nil {
			t.Errorf("Serve after Shutdown: got %v, want nil", err)
		}
		w.stop()
	})
}
