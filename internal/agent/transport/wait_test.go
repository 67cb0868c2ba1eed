package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

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
	}, in, At(time.Now()), At(until))
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

// reading reads once and has disturb called when the read is about to wait.
func reading(c *Conn, disturb func()) error {
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-begun
		disturb()
	}()
	_, _, err := c.WriteThenRead(func() error { close(begun); return nil }, make([]byte, 1), At(time.Now()), 0)
	<-done
	return err
}

func testInterruptAndWake(t *testing.T, pair func(testing.TB) (*Conn, *net.TCPConn)) {
	c, peer := pair(t)
	for range 100 {
		if err := reading(c, c.Wake); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("woken: %v", err)
		}
	}
	c.Wake()
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("woken before: %v", err)
	}
	_, _ = peer.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); n != 1 || err != nil {
		t.Fatalf("after the wake-up: %v", err)
	}
	if err := reading(c, c.Interrupt); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := c.Read(make([]byte, 1), time.Now(), time.Time{}); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted before: %v", err)
	}
}

// A wake-up that nobody needed any more is forgotten with the deadlines.
func TestClearDeadlinesForgetsAWake(t *testing.T) {
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
		t.Fatalf("woken: got %d, %v", n, err)
	}
	asked := false
	ask := func() error { asked = true; return nil }
	_, _ = peer.Write([]byte("z"))
	eventually(t, func() bool { return c.Peek() == Readable })
	if _, called, err := c.WriteThenRead(ask, in, At(late), At(late.Add(time.Millisecond))); called || asked || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("called %v %v, %v", called, asked, err)
	}
}
