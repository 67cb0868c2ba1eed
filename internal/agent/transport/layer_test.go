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

// secured returns a Conn with a fake layer and the other end of its socket, which speaks in frames (seal).
func secured(t testing.TB) (*Conn, *fakeLayer, *net.TCPConn) {
	t.Helper()
	c, peer := pair(t)
	l := newFakeLayer(c)
	c.Secure(l)
	return c, l, peer
}

func say(t testing.TB, peer *net.TCPConn, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := peer.Write(f); err != nil {
			t.Fatal(err)
		}
	}
}

func soon() (now, until time.Time) { now = time.Now(); return now, now.Add(patience) }

// What the layer holds already is found before anybody waits for the socket.
func TestWhatIsOpenedIsReadBeforeWaiting(t *testing.T) {
	c, l, peer := secured(t)
	say(t, peer, append(seal(0, []byte("hello ")), seal(0, []byte("world"))...))
	in := make([]byte, 2)
	now, until := soon()
	if n, err := c.Read(in, now, until); n != 2 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	eventually(t, func() bool { return c.Peek() == Readable })
	fills := l.fills
	for _, want := range []string{"ll", "o ", "wo", "rl"} {
		if n, err := c.Read(in, now, until); err != nil || string(in[:n]) != want {
			t.Fatalf("got %q, %v, want %q", in[:n], err, want)
		}
	}
	if l.fills != fills {
		t.Errorf("the socket was asked %d times", l.fills-fills)
	}
	got := ""
	err := c.Serve(func(uintptr) bool {
		n, err := c.TryRead(in[:1])
		got = string(in[:n])
		return err == nil
	}, now, until)
	if err != nil || got != "d" {
		t.Errorf("served %q, %v", got, err)
	}
}

// Those who read take a short read for all that there was.
func TestAShortReadLeavesNothingOpened(t *testing.T) {
	c, l, peer := secured(t)
	say(t, peer, seal(0, []byte("ab")), seal(noise, []byte("ticket")), seal(0, []byte("cd")))
	for total := 3*frameHead + 2 + 6 + 2; len(l.sealed) < total; { // without opening any
		in := make([]byte, 100)
		n, err := l.raw.TryRead(in)
		if err != nil && !errors.Is(err, ErrWouldBlock) {
			t.Fatal(err)
		}
		l.sealed = append(l.sealed, in[:n]...)
	}
	in := make([]byte, 10)
	if n, err := c.TryRead(in); err != nil || string(in[:n]) != "abcd" {
		t.Errorf("got %q, %v", in[:n], err)
	}
	if _, err := c.TryRead(in); !errors.Is(err, ErrWouldBlock) {
		t.Errorf("got %v", err)
	}
}

// Bytes on the socket that say nothing to the user are no reason to wake anybody.
func TestFramesWithoutContentAreNotReadable(t *testing.T) {
	c, l, peer := secured(t)
	say(t, peer, seal(noise, []byte("ticket")), seal(0, []byte("word"))[:3])
	eventually(t, func() bool { _ = c.Peek(); return len(l.sealed) == 3 })
	if c.Peek() != Quiet {
		t.Error("half a frame is readable")
	}
	now := time.Now()
	if _, err := c.Read(make([]byte, 1), now, now.Add(20*time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	say(t, peer, seal(0, []byte("word"))[3:])
	if err := c.AwaitReadable(); err != nil {
		t.Fatal(err)
	}
	var b [8]byte
	if n, state := c.PeekInto(b[:]); state != Readable || string(b[:n]) != "word" {
		t.Errorf("peeked %q, %d", b[:n], state)
	}
}

func TestAnAnswerComesThroughALayer(t *testing.T) {
	c, _, peer := secured(t)
	go func() {
		in := make([]byte, frameHead+4)
		for range 50 {
			if _, err := io.ReadFull(peer, in); err != nil {
				return
			}
			_, _ = peer.Write(append(seal(noise, []byte("x")), seal(0, xor(in[frameHead:]))...))
		}
	}()
	in := make([]byte, 16)
	ask := func() error { _, err := c.TryWrite([]byte("ping")); return err }
	for range 50 {
		now, until := soon()
		if n, _, err := c.WriteThenRead(ask, in, At(now), At(until)); err != nil || string(in[:n]) != "ping" {
			t.Fatalf("got %q, %v", in[:n], err)
		}
	}
}

// An end that the peer has not announced may have been made by somebody else.
func TestEndsOfALayer(t *testing.T) {
	for name, tc := range map[string]struct {
		last []byte
		want error
	}{
		"announced":   {seal(0, nil), io.EOF},
		"unannounced": {nil, io.ErrUnexpectedEOF},
		"in a frame":  {seal(0, []byte("word"))[:3], io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, peer := secured(t)
			say(t, peer, seal(0, []byte("a")), tc.last)
			_ = peer.CloseWrite()
			var got []byte
			for {
				now, until := soon()
				in := make([]byte, 10)
				n, err := c.Read(in, now, until)
				got = append(got, in[:n]...)
				if err != nil {
					if !errors.Is(err, tc.want) || string(got) != "a" {
						t.Errorf("got %q, %v, want %v", got, err, tc.want)
					}
					break
				}
			}
			if c.Peek() != Gone || c.Ending() != HalfClosed {
				t.Error("the end is not seen")
			}
		})
	}
}

// What counts as written has left, and nothing is sealed twice, however the peer takes it.
func TestALayerWritesUnderBackPressure(t *testing.T) {
	c, _, peer := secured(t)
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10); err != nil {
		t.Fatal(err)
	}
	far, err := New(peer)
	if err != nil {
		t.Fatal(err)
	}
	far.Secure(newFakeLayer(far))
	const size = 1 << 20
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i >> 8)
	}
	got := make(chan []byte)
	go func() {
		var all []byte
		for in := make([]byte, 5000); ; {
			now, until := soon()
			n, err := far.Read(in, now, until)
			all = append(all, in[:n]...)
			if err != nil {
				got <- all
				return
			}
		}
	}()
	if n, err := c.Write(sent[:size/2]); n != size/2 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if n, err := writeAll(c, sent[size/2:], time.Time{}); n != size/2 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if all := <-got; string(all) != string(sent) {
		t.Errorf("%d bytes came, or others than were sent", len(all))
	}
}

func TestALayerIsSeen(t *testing.T) {
	c, _ := pair(t)
	if !c.Plain() || c.Info() != (Info{}) {
		t.Error("a plain connection has a layer")
	}
	l := newFakeLayer(c)
	l.info = Info{ALPN: "h2", ServerName: "up.example"}
	c.Secure(l)
	if c.Plain() || c.Info() != l.info {
		t.Error("the layer is not seen")
	}
}

// A peer learns that a connection is closed on purpose, but not that one is which breaks off in the midst of something.
func TestALayerIsToldOfTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		reset bool
		want  int32
	}{"closed": {false, 1}, "reset": {true, 0}} {
		t.Run(name, func(t *testing.T) {
			c, l, _ := secured(t)
			if tc.reset {
				c.ResetOnClose()
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
			if got := l.left.Load(); got != tc.want {
				t.Errorf("it learns of it %d times", got)
			}
		})
	}
}
