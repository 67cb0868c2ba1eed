package transport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// moving returns a Mover from one connection, and the other one, with the peers of both.
func moving(t testing.TB) (m *Mover, dst *Conn, from, to io.ReadWriteCloser) {
	t.Helper()
	src, from := pair(t)
	dst, to = pair(t)
	m = new(Mover)
	m.Init(src)
	return m, dst, from, to
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// The kernel moves what waits in bulk: the mover asks for a splice of no more than is there, so that it holds a pipe only while
// bytes move.
func TestMoverSplicesInBulk(t *testing.T) {
	m, dst, from, to := moving(t)
	const size = 8 << 20
	go func() {
		_, _ = io.CopyN(from, zeros{}, size)
		from.Close()
	}()
	go func() { _, _ = io.Copy(io.Discard, to) }()
	var total, spliced int64
	for {
		n, _, err := m.Move(dst, MaxMove)
		total += n
		if n > chunk {
			spliced += n
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

// What goes through a layer is copied.
func TestMoverMovesThroughALayer(t *testing.T) {
	m, dst, from, to := moving(t)
	dst.Secure(newFakeLayer(dst))
	const size = 100 * chunk
	go func() {
		_, _ = io.CopyN(from, zeros{}, size)
		from.Close()
	}()
	frames := (chunk + maxFrame - 1) / maxFrame
	got := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, to)
		got <- n
	}()
	var total int64
	for {
		n, _, err := m.Move(dst, MaxMove)
		total += n
		if err == io.EOF {
			break
		}
		if err != nil || n > chunk {
			t.Fatalf("moved %d, %v", n, err)
		}
	}
	dst.Close()
	if sealed := <-got; total != size || sealed < size+int64(frames*frameHead) {
		t.Errorf("moved %d of %d bytes, %d sealed", total, size, sealed)
	}
}

func TestMoverTakesNoMoreThanTheLimit(t *testing.T) {
	m, dst, from, to := moving(t)
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
	rest := make([]byte, 3)
	if n, err := m.src.TryRead(rest); err != nil || string(rest[:n]) != "ef" {
		t.Fatalf("left %q, %v", rest[:n], err)
	}
}

// A time that is up at the source loses nothing, and neither does a Wake; the next Arm holds.
func TestMoverGoesOnAfterATimeoutOfTheSource(t *testing.T) {
	m, dst, from, to := moving(t)
	now := time.Now()
	for name, end := range map[string]func(){
		"time":    func() { _ = m.src.Arm(now, now.Add(-time.Second)) },
		"wake-up": func() { _ = m.src.Arm(now, now.Add(time.Hour)); m.src.Wake() },
	} {
		end()
		if _, side, err := m.Move(dst, MaxMove); !errors.Is(err, os.ErrDeadlineExceeded) || side != Source {
			t.Fatalf("%s: got %v at %v", name, err, side)
		}
		if err := m.src.Arm(now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, _, err := m.Move(dst, MaxMove); n != 1 || err != nil {
			t.Fatalf("%s: moved %d, %v", name, n, err)
		}
		if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	m.src.Interrupt()
	if _, side, err := m.Move(dst, MaxMove); !errors.Is(err, ErrInterrupted) || side != Source {
		t.Errorf("interrupted: got %v at %v", err, side)
	}
}

func TestMoverNamesTheSideThatFailed(t *testing.T) {
	t.Run("source reset", func(t *testing.T) {
		src, from := pair(t)
		dst, _ := pair(t)
		var m Mover
		m.Init(src)
		_ = from.SetLinger(0)
		from.Close()
		if _, side, err := m.Move(dst, MaxMove); err == nil || side != Source {
			t.Fatalf("got %v at %v", err, side)
		}
	})
	for name, spoil := range map[string]func(dst *Conn, to io.Closer) error{
		"destination's time": func(dst *Conn, _ io.Closer) error {
			return dst.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		},
		"destination closed": func(_ *Conn, to io.Closer) error { return to.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			m, dst, from, to := moving(t)
			go func() { _, _ = io.Copy(from, zeros{}) }() // until the cleanup closes the connection
			if err := spoil(dst, to); err != nil {
				t.Fatal(err)
			}
			for {
				if _, side, err := m.Move(dst, MaxMove); err != nil {
					if side != Destination || name == "destination's time" != errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("got %v at %v", err, side)
					}
					return
				}
			}
		})
	}
}

// bulky returns a Mover at whose source much is waiting.
func bulky(t *testing.T, much int) (m *Mover, dst *Conn, to io.Reader) {
	t.Helper()
	m, dst, from, to := moving(t)
	if _, err := from.Write(make([]byte, much)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { // a new connection takes no more than some of it unread
		b := make([]byte, 2*chunk)
		n, _ := m.src.PeekInto(b)
		return n == len(b)
	})
	m.bulk = true
	return m, dst, to
}

// Who is interrupted does not go on as long as there is something to move.
func TestBulkIsInterrupted(t *testing.T) {
	m, dst, _ := bulky(t, 8*chunk)
	m.src.Interrupt()
	if n, side, err := m.Move(dst, MaxMove); n != 0 || side != Source || !errors.Is(err, ErrInterrupted) {
		t.Errorf("moved %d, %v at %v", n, err, side)
	}
}

// A pipe that a destination has not emptied carries nothing to the next.
func TestWhatADestinationDidNotTakeIsNotGivenToAnother(t *testing.T) {
	m, dst, _ := bulky(t, 8*chunk)
	if err := dst.SetWriteDeadline(past); err != nil {
		t.Fatal(err)
	}
	if _, side, err := m.Move(dst, MaxMove); side != Destination || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v at %v", err, side)
	}
	for range 10 {
		p := takePipe()
		if p == nil {
			t.Fatal("no pipe")
		}
		if p.held != 0 {
			t.Fatalf("%d bytes of another", p.held)
		}
		defer p.putBack()
	}
}

func TestMoverCarriesBytesUnharmed(t *testing.T) {
	m, dst, from, to := moving(t)
	sent := bytes.Repeat([]byte("0123456789abcdef-"), 100_000)
	go func() {
		_, _ = from.Write(sent)
		from.Close()
	}()
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(to)
		got <- all
	}()
	for {
		if _, _, err := m.Move(dst, MaxMove); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	dst.Close()
	if !bytes.Equal(<-got, sent) {
		t.Error("bytes changed on the way")
	}
}

// Who closes a connection from outside takes its descriptor away from nobody who is about to write to it.
func TestMoverKeepsTheDescriptors(t *testing.T) {
	m, dst, from, _ := moving(t)
	go func() { _, _ = io.Copy(from, zeros{}) }() // until the cleanup closes the connection
	closed := make(chan struct{})
	for moved := int64(0); ; {
		n, side, err := m.Move(dst, chunk) // through memory
		if err != nil {
			if side != Destination {
				t.Errorf("got %v at %v", err, side)
			}
			break
		}
		if moved += n; moved >= 8*chunk && closed != nil { // nobody reads: it blocks now or soon
			go func(c chan struct{}) { dst.Close(); close(c) }(closed)
			defer func(c chan struct{}) { <-c }(closed)
			closed = nil
		}
	}
}
