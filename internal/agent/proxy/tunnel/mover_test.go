package tunnel

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// The kernel moves what waits in bulk: the mover asks for a splice of no more than is there, so that it holds a pipe only while
// bytes move.
func TestMoverSplicesInBulk(t *testing.T) {
	from, src := pair(t)
	dst, to := pair(t)
	m, err := NewMover(src)
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	go func() {
		_, _ = io.CopyN(from, zeros{}, size)
		_ = from.CloseWrite()
	}()
	go func() { _, _ = io.Copy(io.Discard, to) }()
	var total, spliced int64
	for {
		n, _, err := m.Move(dst, maxMove)
		total += n
		if n > chunk {
			spliced += n - chunk
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != size || spliced < size/4 {
		t.Errorf("moved %d of %d bytes, %d of them by the kernel", total, size, spliced)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestMoverTakesNoMoreThanTheLimit(t *testing.T) {
	from, src := pair(t)
	dst, to := pair(t)
	m, err := NewMover(src)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	if n, _, err := m.Move(dst, 4); n != 4 || err != nil {
		t.Fatalf("moved %d, %v", n, err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "abcd" {
		t.Fatalf("got %q, %v", got, err)
	}
	rest := make([]byte, 2)
	if _, err := io.ReadFull(src, rest); err != nil || string(rest) != "ef" {
		t.Fatalf("left %q, %v", rest, err)
	}
}

func TestMoverGoesOnAfterATimeoutOfTheSource(t *testing.T) {
	from, src := pair(t)
	dst, to := pair(t)
	m, err := NewMover(src)
	if err != nil {
		t.Fatal(err)
	}
	_ = src.SetReadDeadline(time.Now().Add(-time.Second))
	if _, side, err := m.Move(dst, maxMove); !errors.Is(err, os.ErrDeadlineExceeded) || side != Source {
		t.Fatalf("got %v at %v", err, side)
	}
	_ = src.SetReadDeadline(time.Time{})
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, _, err := m.Move(dst, maxMove); n != 1 || err != nil {
		t.Fatalf("moved %d, %v", n, err)
	}
	if _, err := to.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestMoverBlamesTheRightSide(t *testing.T) {
	t.Run("source reset", func(t *testing.T) {
		from, src := pair(t)
		dst, _ := pair(t)
		m, err := NewMover(src)
		if err != nil {
			t.Fatal(err)
		}
		_ = from.SetLinger(0)
		_ = from.Close()
		if _, side, err := m.Move(dst, maxMove); err == nil || side != Source {
			t.Fatalf("got %v at %v", err, side)
		}
	})
	t.Run("destination timeout", func(t *testing.T) {
		from, src := pair(t)
		dst, _ := pair(t)
		m, err := NewMover(src)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(from, zeros{}) }() // until the cleanup closes the connection
		_ = dst.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			if _, side, err := m.Move(dst, maxMove); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) || side != Destination {
					t.Fatalf("got %v at %v", err, side)
				}
				return
			}
		}
	})
}
