package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// pair returns a Conn on a file, as the agent dials it, and the plain other end.
func pair(t testing.TB) (*Conn, *net.TCPConn) {
	t.Helper()
	a, b := tcpPair(t)
	file, err := a.File()
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	t.Cleanup(func() { file.Close() })
	return connOn(t, file), b
}

// netPair is pair with a socket of package net, as the agent accepts it.
func netPair(t testing.TB) (*Conn, *net.TCPConn) {
	t.Helper()
	a, b := tcpPair(t)
	return connOn(t, a), b
}

var pairs = map[string]func(testing.TB) (*Conn, *net.TCPConn){"file": pair, "net": netPair}

func connOn(t testing.TB, s Socket) *Conn {
	t.Helper()
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	_ = b.SetDeadline(time.Now().Add(patience))
	return a, b
}

// A Conn is the same on every kind of socket.
func TestEverySocketWillDo(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			t.Run("pinned", func(t *testing.T) { testPinKeepsTheDescriptor(t, pair) })
			t.Run("woken", func(t *testing.T) { testInterruptAndWake(t, pair) })
			t.Run("ended", func(t *testing.T) { testPeerEnding(t, pair) })
			t.Run("closed", func(t *testing.T) { testAClosedConnectionSaysSo(t, pair) })
		})
	}
}

func testAClosedConnectionSaysSo(t *testing.T, pair func(testing.TB) (*Conn, *net.TCPConn)) {
	c, peer := pair(t)
	if got, want := c.RemoteAddr(), peer.LocalAddr().(*net.TCPAddr).AddrPort(); got != want {
		t.Errorf("to %v, want %v", got, want)
	}
	c.ResetOnClose()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer got %v, want a reset", err)
	}
	now := time.Now()
	read := func(until time.Time) error { _, err := c.Read(make([]byte, 1), now, until); return err }
	for what, err := range map[string]error{
		"read": read(time.Time{}), "bounded read": read(now.Add(patience)), "half close": c.CloseWrite(), "deadlines": c.ClearDeadlines(),
		"write deadline": c.SetWriteDeadline(time.Time{}), "keep-alive": c.SetKeepAlive(KeepAlive{}),
		"serving writes": c.ServeWrites(func(uintptr) bool { return true }, time.Time{}),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c.RemoteAddr().IsValid() || c.Ending() != Broken {
		t.Error("it has a peer")
	}
}

func TestWriteThenReadWritesAndWaits(t *testing.T) {
	c, peer := pair(t)
	go func() {
		in := make([]byte, 4)
		for range 50 {
			if _, err := io.ReadFull(peer, in); err != nil {
				return
			}
			_, _ = peer.Write(bytes.ToUpper(in))
		}
	}()
	in := make([]byte, 16)
	ask := func() error { _, err := c.TryWrite([]byte("ping")); return err }
	for range 50 {
		now := time.Now()
		n, _, err := c.WriteThenRead(ask, in, At(now), At(now.Add(patience)))
		if err != nil || string(in[:n]) != "PING" {
			t.Fatalf("got %q, %v", in[:n], err)
		}
	}
}

func TestWriteThenReadReturnsTheWritersError(t *testing.T) {
	c, _ := pair(t)
	want := errors.New("no")
	if _, _, err := c.WriteThenRead(func() error { return want }, make([]byte, 1), At(time.Now()), 0); !errors.Is(err, want) {
		t.Fatalf("got %v", err)
	}
}

func TestTheEndAndAResetAreReported(t *testing.T) {
	c, peer := pair(t)
	peer.Close()
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want the end", err)
	}
	c, peer = pair(t)
	_ = peer.SetLinger(0)
	peer.Close()
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a reset", err)
	}
	if _, err := c.TryWrite([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("got %v, want a broken pipe", err)
	}
}

type reader struct{ *Conn }

func (r reader) Read(p []byte) (int, error) { return r.Conn.Read(p, time.Now(), time.Time{}) }

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond) // the kernel tells of its state when asked only
	defer again.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true")
		}
	}
}

// Close takes effect at once on what waits inside Pin, and itself waits for it.
func testPinKeepsTheDescriptor(t *testing.T, pair func(testing.TB) (*Conn, *net.TCPConn)) {
	c, _ := pair(t)
	inside, closed := make(chan struct{}), make(chan struct{})
	go func() {
		<-inside
		c.Close()
		close(closed)
	}()
	err := c.Pin(func() {
		close(inside)
		if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		select {
		case <-closed:
			t.Error("the descriptor was taken away")
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-closed
	if err := c.Pin(func() {}); err == nil {
		t.Error("a closed connection can be pinned")
	}
}

func TestServeMissesNothing(t *testing.T) {
	c, peer := pair(t)
	got, in := 0, make([]byte, 3)
	done := make(chan error, 1)
	go func() {
		done <- c.Serve(func(uintptr) bool {
			for {
				n, err := c.TryRead(in)
				if errors.Is(err, ErrWouldBlock) {
					return false
				}
				if err != nil {
					return true
				}
				got += n
			}
		}, time.Now(), time.Time{})
	}()
	for range 1000 {
		if _, err := peer.Write([]byte("12345")); err != nil {
			t.Fatal(err)
		}
	}
	peer.Close()
	if err := <-done; err != nil || got != 5000 {
		t.Errorf("got %d bytes, %v", got, err)
	}
}

func TestAnExchangeAllocatesNothing(t *testing.T) {
	c, peer := pair(t)
	go func() {
		b := make([]byte, 4)
		for {
			if _, err := io.ReadFull(peer, b); err != nil {
				return
			}
			_, _ = peer.Write(b)
		}
	}()
	in, out := make([]byte, 16), []byte("ping")
	ask := func() error { _, err := c.TryWrite(out); return err }
	n := testing.AllocsPerRun(1000, func() {
		now := time.Now()
		if _, _, err := c.WriteThenRead(ask, in, At(now), At(now.Add(patience))); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	peer.Close()
}
