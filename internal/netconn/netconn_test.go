package netconn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestOutputIsSentInBlocksAndInItsOrder(t *testing.T) {
	for _, pieces := range [][]int{{0}, {1}, {BlockSize}, {BlockSize + 1}, {1, BlockSize}, {BlockSize - 1, 1, 1}, {5 * BlockSize}, {3, 2 * BlockSize, 0, 7}} {
		t.Run(fmt.Sprint(pieces), func(t *testing.T) {
			var got, want []byte
			var sizes []int
			o := Output{Send: func(p []byte) error {
				got, sizes = append(got, p...), append(sizes, len(p))
				return nil
			}}
			for i, n := range pieces {
				p := bytes.Repeat([]byte{byte('a' + i)}, n)
				want = append(want, p...)
				if k, err := o.Write(p); k != n || err != nil {
					t.Errorf("got %d, %v", k, err)
				}
			}
			if err := o.Flush(); err != nil || !o.Empty() || o.b != nil {
				t.Errorf("got %v, or it holds something still", err)
			}
			last := max(len(sizes)-1, 0)
			if !bytes.Equal(got, want) || slices.ContainsFunc(sizes[:last], func(n int) bool { return n != BlockSize }) || slices.Max(append(sizes, 0)) > BlockSize {
				t.Errorf("got %d octets of %d, in %v", len(got), len(want), sizes)
			}
		})
	}
}

func TestOutputThatCantBeSentIsDropped(t *testing.T) {
	broken := errors.New("broken")
	o := Output{Send: func([]byte) error { return broken }}
	if n, err := o.Write(make([]byte, BlockSize+1)); n != 0 || !errors.Is(err, broken) {
		t.Errorf("got %d, %v", n, err)
	}
	if err := o.Flush(); err != nil || o.b != nil {
		t.Errorf("got %v, want nothing left to send", err)
	}
}

func TestAPanicTellsNothingOfTheConnection(t *testing.T) {
	for name, panics := range map[string]func(){
		"string": func() { panic("s3cret") },
		"error":  func() { panic(errors.New("s3cret")) },
		"index":  func() { var none []int; _ = none[6] },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := PanicText(recover())
				if strings.Contains(text, "s3cret") || strings.Contains(text, "out of range") != (name == "index") {
					t.Errorf("got %q", text)
				}
			}()
			panics()
		})
	}
}

func TestAddressesAreNamedWithoutDisguise(t *testing.T) {
	if got := AddrPort(&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 25}).String(); got != "192.0.2.1:25" {
		t.Errorf("got %s", got)
	}
	if got := AddrPort(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("got %s for a socket of another kind", got)
	}
}
