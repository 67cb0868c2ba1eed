package transport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// One call moves whatever comes one after the other, and waits in between.
func TestFlowGoesOnAsLongAsSomethingComes(t *testing.T) {
	m, dst, from, to := moving(t)
	ended := make(chan error)
	go func() {
		n, _, err := m.Flow(dst)
		if n != 9 {
			t.Errorf("moved %d", n)
		}
		ended <- err
	}()
	for _, word := range []string{"one", "two", "six"} {
		if _, err := io.WriteString(from, word); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(to, got); err != nil || string(got) != word {
			t.Fatalf("got %q, %v, want %q", got, err, word)
		}
	}
	from.Close()
	if err := <-ended; err != io.EOF {
		t.Errorf("ended with %v", err)
	}
}

// A time that is up at the source loses nothing: the next call goes on.
func TestFlowGoesOnAfterATimeout(t *testing.T) {
	m, dst, from, to := moving(t)
	for _, word := range []string{"one", "two"} {
		now := time.Now()
		if err := m.src.Arm(now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		moved := make(chan int64)
		go func() {
			n, side, err := m.Flow(dst)
			if !errors.Is(err, os.ErrDeadlineExceeded) || side != Source {
				t.Errorf("got %v at %v", err, side)
			}
			moved <- n
		}()
		if _, err := io.WriteString(from, word); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(to, got); err != nil || string(got) != word {
			t.Fatalf("got %q, %v, want %q", got, err, word)
		}
		m.src.Wake()
		if n := <-moved; n != 3 {
			t.Errorf("moved %d", n)
		}
	}
	m.src.Interrupt()
	if _, side, err := m.Flow(dst); !errors.Is(err, ErrInterrupted) || side != Source {
		t.Errorf("interrupted: got %v at %v", err, side)
	}
}

// framed is what a fakeLayer opens to p.
func framed(p []byte) (out []byte) {
	for len(p) > 0 {
		n := min(len(p), maxFrame)
		out = append(out, seal(0, p[:n])...)
		p = p[n:]
	}
	return out
}

// Whatever the sizes of pieces and however slow the destination: every byte arrives once, in order.
func TestFlowCarriesBytesUnharmed(t *testing.T) {
	for name, layered := range map[string]bool{"plain": false, "through a layer": true} {
		t.Run(name, func(t *testing.T) {
			m, dst, from, to := moving(t)
			if err := unix.SetsockoptInt(dst.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10); err != nil { // so that it takes less than there is
				t.Fatal(err)
			}
			if layered {
				m.src.Secure(newFakeLayer(m.src))
			}
			sent := bytes.Repeat([]byte("0123456789abcdef-"), 40_000)
			go func() {
				for left := sent; len(left) > 0; {
					n := min(len(left), 1+len(left)%(3*chunk))
					piece := left[:n]
					if layered {
						piece = framed(piece)
					}
					if _, err := from.Write(piece); err != nil {
						return
					}
					left = left[n:]
				}
				if layered {
					_, _ = from.Write(seal(0, nil))
				}
				from.Close()
			}()
			got := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(to)
				got <- all
			}()
			var total int64
			for {
				n, _, err := m.Flow(dst)
				total += n
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			dst.Close()
			if !bytes.Equal(<-got, sent) || total != int64(len(sent)) {
				t.Errorf("bytes changed on the way; %d of %d counted", total, len(sent))
			}
		})
	}
}

func TestFlowNamesTheSideThatFailed(t *testing.T) {
	t.Run("source reset", func(t *testing.T) {
		src, from := pair(t)
		dst, _ := pair(t)
		var m Mover
		m.Init(src)
		_ = from.SetLinger(0)
		from.Close()
		if _, side, err := m.Flow(dst); err == nil || side != Source {
			t.Fatalf("got %v at %v", err, side)
		}
	})
	for name, spoil := range map[string]func(dst *Conn, to io.Closer) error{
		"destination's peer gone": func(_ *Conn, to io.Closer) error { return to.Close() },
		"destination closed":      func(dst *Conn, _ io.Closer) error { return dst.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			m, dst, from, to := moving(t)
			if err := spoil(dst, to); err != nil {
				t.Fatal(err)
			}
			go func() { // until the cleanup closes the connection
				for {
					if _, err := from.Write([]byte("x")); err != nil {
						return
					}
				}
			}()
			for {
				if _, side, err := m.Flow(dst); err != nil {
					if side != Destination {
						t.Fatalf("got %v at %v", err, side)
					}
					return
				}
			}
		})
	}
}

// Who closes the source from outside does not wait for a destination that takes nothing.
func TestFlowIsNoObstacleToClosing(t *testing.T) {
	m, dst, from, _ := moving(t)
	go func() { _, _ = io.Copy(from, zeros{}) }() // until the cleanup closes the connection
	ended := make(chan error)
	go func() {
		for {
			if _, _, err := m.Flow(dst); err != nil {
				ended <- err
				return
			}
		}
	}()
	eventually(t, func() bool { return poll(dst.fd, unix.POLLOUT) == 0 }) // it takes nothing more
	closed := make(chan struct{})
	go func() { _ = m.src.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the source cannot be closed")
	}
	_ = dst.Close()
	<-ended
}
