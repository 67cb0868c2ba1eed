package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// pair returns a Conn and the plain other end.
func pair(t testing.TB) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	_ = b.SetDeadline(time.Now().Add(patience))
	c, err := New(a)
	if err != nil {
		t.Fatal(err)
	}
	return c, b
}

func TestReadAfterWritesAndWaits(t *testing.T) {
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
	ask := func() error { _, err := c.Write([]byte("ping"), 0); return err }
	for range 50 {
		now := time.Now()
		n, _, err := c.ReadAfter(ask, in, now, now.Add(patience))
		if err != nil || string(in[:n]) != "PING" {
			t.Fatalf("got %q, %v", in[:n], err)
		}
	}
}

func TestReadAfterReturnsTheWritersError(t *testing.T) {
	c, _ := pair(t)
	want := errors.New("no")
	if _, _, err := c.ReadAfter(func() error { return want }, make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, want) {
		t.Fatalf("got %v", err)
	}
}

func TestReadsEndInTime(t *testing.T) {
	c, peer := pair(t)
	for range 3 {
		now := time.Now()
		if _, err := c.Read(make([]byte, 1), now, now.Add(30*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(now); took < 30*time.Millisecond || took > time.Second {
			t.Errorf("took %v", took)
		}
	}
	// A later, longer or unlimited wait is not cut short by what was armed before.
	go func() {
		time.Sleep(80 * time.Millisecond)
		_, _ = peer.Write([]byte("x"))
	}()
	if n, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

// An early deadline left over from another wait must not end a longer one, nor make it late.
func TestCoarseDeadlines(t *testing.T) {
	c, peer := pair(t)
	now := time.Now()
	_, _ = peer.Write([]byte("a"))
	if _, err := c.Read(make([]byte, 1), now, now.Add(60*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	now = time.Now()
	if _, err := c.Read(make([]byte, 1), now, now.Add(90*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(now); took < 90*time.Millisecond || took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestTheEndAndAResetAreTold(t *testing.T) {
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
	if _, err := c.Write([]byte("x"), 0); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("got %v, want a broken pipe", err)
	}
}

func TestInterruptAndNudge(t *testing.T) {
	c, peer := pair(t)
	go func() {
		time.Sleep(20 * time.Millisecond)
		c.Nudge()
	}()
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("nudged: %v", err)
	}
	_, _ = peer.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); n != 1 || err != nil {
		t.Fatalf("after the nudge: %v", err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		c.Interrupt()
	}()
	for range 2 {
		if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("interrupted: %v", err)
		}
	}
}

func TestWritesWaitForASlowPeer(t *testing.T) {
	c, peer := pair(t)
	big := bytes.Repeat([]byte("0123456789"), 1<<20)
	got := make(chan []byte)
	go func() {
		time.Sleep(50 * time.Millisecond)
		all, _ := io.ReadAll(peer)
		got <- all
	}()
	if n, err := c.Write(big, time.Minute); n != len(big) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	c.Close()
	if !bytes.Equal(<-got, big) {
		t.Error("bytes were lost")
	}
}

func TestWritesEndWhenThePeerStalls(t *testing.T) {
	c, _ := pair(t)
	big := make([]byte, 64<<20)
	n, err := c.Write(big, 50*time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(big) {
		t.Fatalf("wrote %d, %v", n, err)
	}
}

func TestPeekAndDeparted(t *testing.T) {
	c, peer := pair(t)
	if c.Peek() != Quiet || c.Departed() {
		t.Error("quiet: wrong")
	}
	_, _ = peer.Write([]byte("x"))
	eventually(t, func() bool { return c.Peek() == Readable && !c.Departed() })
	_ = peer.CloseWrite()
	eventually(t, func() bool { return c.Peek() == Readable && c.Departed() })
	_, _ = c.TryRead(make([]byte, 1))
	if c.Peek() != Gone {
		t.Error("gone: wrong")
	}
	c, _ = pair(t)
	c.Close()
	if !c.Departed() {
		t.Error("closed from outside: wrong")
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true")
		}
	}
}

// Close takes effect at once on what waits inside Hold, and itself waits for it.
func TestHoldKeepsTheDescriptor(t *testing.T) {
	c, _ := pair(t)
	inside, closed := make(chan struct{}), make(chan struct{})
	go func() {
		<-inside
		c.Close()
		close(closed)
	}()
	err := c.Hold(func() {
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
	if err := c.Hold(func() {}); err == nil {
		t.Error("a closed connection can be held")
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
				if errors.Is(err, ErrNothing) {
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
	ask := func() error { _, err := c.Write(out, 0); return err }
	n := testing.AllocsPerRun(1000, func() {
		now := time.Now()
		if _, _, err := c.ReadAfter(ask, in, now, now.Add(patience)); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	peer.Close()
}
