package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listening returns a Listener and its address.
func listening(t *testing.T) (*Listener, *net.TCPAddr) {
	t.Helper()
	config := net.ListenConfig{KeepAlive: -1}
	made, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewListener(made.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, made.Addr().(*net.TCPAddr)
}

func option(t *testing.T, f *os.File, level, name int) int {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	value := 0
	if inner := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); err != nil || inner != nil {
		t.Fatal(err, inner)
	}
	return value
}

// What a Listener accepts is as what package net accepts, with the options of its listener.
func TestAcceptedConnectionsCarryBytes(t *testing.T) {
	l, at := listening(t)
	for range 2 { // one that is there already, and one that is waited for
		accepted := make(chan *os.File, 1)
		go func() {
			f, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			accepted <- f
		}()
		peer, err := net.DialTCP("tcp", nil, at)
		if err != nil {
			t.Fatal(err)
		}
		f := <-accepted
		if f == nil {
			t.FailNow()
		}
		if got, want := PeerAddr(f), peer.LocalAddr().(*net.TCPAddr).AddrPort(); got != want {
			t.Errorf("the peer is %s, want %s", got, want)
		}
		if option(t, f, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 {
			t.Error("small writes are delayed")
		}
		if option(t, f, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 {
			t.Error("there are keep-alive probes, which the listener has not")
		}
		c := connOn(t, f)
		if _, err := peer.Write([]byte("word")); err != nil {
			t.Fatal(err)
		}
		in := make([]byte, 8)
		if n, err := c.Read(in, time.Now(), time.Now().Add(patience)); err != nil || string(in[:n]) != "word" {
			t.Errorf("read %q, %v", in[:n], err)
		}
		_ = peer.Close()
		if _, err := c.Read(in, time.Now(), time.Now().Add(patience)); err != io.EOF {
			t.Errorf("read %v, want the end", err)
		}
		_ = c.Close()
		if PeerAddr(f).IsValid() {
			t.Error("a closed socket has a peer")
		}
	}
}

func TestAcceptEnds(t *testing.T) {
	l, _ := listening(t)
	if err := l.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its time: %v", err)
	}
	if err := l.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	_ = l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("when closed meanwhile: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("when closed before: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := l.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline when closed: %v", err)
	}
	if err := l.Control(func(int) error { return nil }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the descriptor when closed: %v", err)
	}
}

// Where there are no descriptors left Accept says so, and the connection is there for later.
func TestAcceptFailsWithoutDescriptors(t *testing.T) {
	l, at := listening(t)
	peer, err := net.DialTCP("tcp", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err = l.Accept()
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); back != nil {
		t.Fatal(back)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("accepting fails with %v, want EMFILE", err)
	}
	f, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}
