package transport

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
	ask := func() error { _, err := c.TryWrite([]byte("ping")); return err }
	for range 50 {
		now := time.Now()
		n, _, err := c.WriteThenRead(ask, in, now, now.Add(patience))
		if err != nil || string(in[:n]) != "PING" {
			t.Fatalf("got %q, %v", in[:n], err)
		}
	}
}

func TestReadAfterReturnsTheWritersError(t *testing.T) {
	c, _ := pair(t)
	want := errors.New("no")
	if _, _, err := c.WriteThenRead(func() error { return want }, make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, want) {
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
		if took := time.Since(now); took < 30*time.Millisecond {
			t.Errorf("took %v", took)
		}
	}
	// A later, unlimited wait is not cut short by what was armed before.
	if n, err := readInTheEnd(c, peer, time.Time{}); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

// readInTheEnd reads what the peer sends when the read has been waiting with the deadline it has: one that ends early ends before.
func readInTheEnd(c *Conn, peer io.Writer, until time.Time) (int, error) {
	in := make([]byte, 1)
	n, _, err := c.WriteThenRead(func() error {
		// The runtime tells a deadline that has passed as soon as the wait begins, and before readiness.
		_, err := peer.Write([]byte("x"))
		return err
	}, in, time.Now(), until)
	return n, err
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
	if took := time.Since(now); took < 90*time.Millisecond {
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
	if _, err := c.TryWrite([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("got %v, want a broken pipe", err)
	}
}

// reading reads once and has disturb called when the read is about to wait.
func reading(c *Conn, disturb func()) error {
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-begun
		disturb()
	}()
	_, _, err := c.WriteThenRead(func() error { close(begun); return nil }, make([]byte, 1), time.Now(), time.Time{})
	<-done
	return err
}

func TestInterruptAndNudge(t *testing.T) {
	c, peer := pair(t)
	for range 100 {
		if err := reading(c, c.Wake); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("nudged: %v", err)
		}
	}
	c.Wake()
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("nudged before: %v", err)
	}
	_, _ = peer.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); n != 1 || err != nil {
		t.Fatalf("after the nudge: %v", err)
	}
	if err := reading(c, c.Interrupt); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted before: %v", err)
	}
}

// A nudge that nobody needed any more is forgotten with the deadlines.
func TestDisarmForgetsANudge(t *testing.T) {
	c, peer := pair(t)
	c.Wake()
	if err := c.ClearDeadlines(); err != nil {
		t.Fatal(err)
	}
	if n, err := readInTheEnd(c, peer, time.Now().Add(patience)); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

// On a busy machine a read may be resumed long after its time: what has come meanwhile counts.
func TestALateReadTakesWhatIsThere(t *testing.T) {
	c, peer := pair(t)
	_, _ = peer.Write([]byte("x"))
	eventually(t, func() bool { return c.Peek() == Readable })
	late := time.Now().Add(-time.Second)
	in := make([]byte, 2)
	if n, err := c.Read(in, late, late.Add(time.Millisecond)); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	c.Wake()
	_, _ = peer.Write([]byte("y"))
	eventually(t, func() bool { return c.Peek() == Readable })
	if n, err := c.Read(in, time.Now(), time.Time{}); n != 1 || err != nil {
		t.Fatalf("nudged: got %d, %v", n, err)
	}
	asked := false
	ask := func() error { asked = true; return nil }
	_, _ = peer.Write([]byte("z"))
	eventually(t, func() bool { return c.Peek() == Readable })
	if _, called, err := c.WriteThenRead(ask, in, late, late.Add(time.Millisecond)); called || asked || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("called %v %v, %v", called, asked, err)
	}
}

// writeAll writes b until a time, as those do who have something else to look at now and then.
func writeAll(c *Conn, b []byte, until time.Time) (done int, err error) {
	var failed error
	for done < len(b) && err == nil && failed == nil {
		err = c.ServeWrites(func(uintptr) bool {
			var n int
			n, failed = c.TryWrite(b[done:])
			done += n
			return n > 0 || failed != nil
		}, until)
	}
	return done, errors.Join(err, failed)
}

// Who waits for a peer to take something is woken once and for all, while another goroutine reads.
func TestStopWriting(t *testing.T) {
	c, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, err := writeAll(c, make([]byte, 64<<20), time.Time{})
		ended <- err
	}()
	c.StopWriting()
	if err := <-ended; !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	if _, err := writeAll(c, []byte("more"), time.Time{}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v afterwards", err)
	}
}

// A deadline that has passed a read past this package is set anew, also when it was that of a nudge.
func TestExpiredDeadlinesAreSetAnew(t *testing.T) {
	c, peer := pair(t)
	now := time.Now()
	if err := c.Arm(now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	c.Wake()
	if _, err := c.TCP().Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	c.Expired()
	if err := c.Arm(now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, _ = peer.Write([]byte("x"))
	if n, err := c.TCP().Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestWritesWaitForASlowPeer(t *testing.T) {
	c, peer := pair(t)
	if err := c.TCP().SetWriteBuffer(32 << 10); err != nil { // so that no write takes more at once
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789"), 1<<20)
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(peer)
		got <- all
	}()
	if n, err := writeAll(c, big, time.Time{}); n != len(big) || err != nil {
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
	n, err := writeAll(c, big, time.Now().Add(50*time.Millisecond))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(big) {
		t.Fatalf("wrote %d, %v", n, err)
	}
}

func TestPeekAndEnding(t *testing.T) {
	c, peer := pair(t)
	if c.Peek() != Quiet || c.Ending() != Whole {
		t.Error("quiet: wrong")
	}
	_, _ = peer.Write([]byte("x"))
	eventually(t, func() bool { return c.Peek() == Readable && c.Ending() == Whole })
	_ = peer.CloseWrite()
	eventually(t, func() bool { return c.Peek() == Readable && c.Ending() == HalfClosed && c.Departed() })
	_, _ = c.TryRead(make([]byte, 1))
	if c.Peek() != Gone || c.Ending() != HalfClosed {
		t.Error("gone: wrong")
	}
	c, _ = pair(t)
	c.Close()
	if c.Ending() != Broken {
		t.Error("closed from outside: wrong")
	}
}

// A reset is seen past bytes that wait to be read, and looking at it does not take it away from who reads.
func TestAResetIsSeenAndLeft(t *testing.T) {
	c, peer := pair(t)
	_, _ = peer.Write([]byte("x"))
	_ = peer.SetLinger(0)
	peer.Close()
	eventually(t, func() bool { return c.Ending() == Broken })
	if err := c.AwaitReadable(); err != nil {
		t.Errorf("awaited: %v", err)
	}
	if _, err := io.ReadAll(reader{c}); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the looks have taken the error away: %v", err)
	}
}

// What the peer had done is told after the connection was closed here, and nothing is told of our own closing.
func TestPeerEnding(t *testing.T) {
	c, _ := pair(t)
	c.Close()
	if got := c.PeerEnding(); got != Whole {
		t.Errorf("closed here: %d", got)
	}
	for want, end := range map[Ending]func(peer *net.TCPConn){
		HalfClosed: func(peer *net.TCPConn) { peer.Close() },
		Broken:     func(peer *net.TCPConn) { _ = peer.SetLinger(0); peer.Close() },
	} {
		c, peer := pair(t)
		if got := c.PeerEnding(); got != Whole {
			t.Errorf("open: %d", got)
		}
		end(peer)
		eventually(t, func() bool { return c.PeerEnding() == want })
		c.Close()
		if got := c.PeerEnding(); got != want {
			t.Errorf("closed here behind it: %d, want %d", got, want)
		}
	}
}

type reader struct{ *Conn }

func (r reader) Read(p []byte) (int, error) { return r.Conn.Read(p, time.Now(), time.Time{}) }

func TestPeekInto(t *testing.T) {
	c, peer := pair(t)
	_, _ = peer.Write([]byte("word"))
	eventually(t, func() bool {
		var b [8]byte
		n, state := c.PeekInto(b[:])
		return state == Readable && string(b[:n]) == "word"
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond) // the kernel tells of its state when asked only
	defer again.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-again.C {
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
	ask := func() error { _, err := c.TryWrite(out); return err }
	n := testing.AllocsPerRun(1000, func() {
		now := time.Now()
		if _, _, err := c.WriteThenRead(ask, in, now, now.Add(patience)); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	peer.Close()
}
