package transport

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

func TestPeekAndEnding(t *testing.T) {
	c, peer := pair(t)
	if c.Peek() != Quiet || c.Ending() != Open {
		t.Error("quiet: wrong")
	}
	_, _ = peer.Write([]byte("x"))
	eventually(t, func() bool { return c.Peek() == Readable && c.Ending() == Open })
	_ = peer.CloseWrite()
	eventually(t, func() bool { return c.Peek() == Readable && c.Ending() == HalfClosed })
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

// What the peer had done is known after the connection was closed here, and our own closing is none of it.
func testPeerEnding(t *testing.T, pair func(testing.TB) (*Conn, *net.TCPConn)) {
	c, _ := pair(t)
	c.NoteEnding()
	c.Close()
	if got := c.PeerEnding(); got != Open {
		t.Errorf("closed here: %d", got)
	}
	for want, end := range map[Ending]func(peer *net.TCPConn){
		HalfClosed: func(peer *net.TCPConn) { peer.Close() },
		Broken:     func(peer *net.TCPConn) { _ = peer.SetLinger(0); peer.Close() },
	} {
		c, peer := pair(t)
		c.NoteEnding()
		if got := c.PeerEnding(); got != Open {
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

// What a layer says on leaving is answered with a reset where the peer has closed: that is none of the peer's doing.
func TestPeerEndingBehindALayerThatSaysGoodbye(t *testing.T) {
	c, peer := pair(t)
	l := newFakeLayer(c)
	l.announces = true
	c.Secure(l)
	c.NoteEnding()
	peer.Close()
	eventually(t, func() bool { return c.PeerEnding() == HalfClosed })
	c.Close()
	if got := c.PeerEnding(); got != HalfClosed || l.left.Load() != 1 {
		t.Errorf("got %d, left %d times", got, l.left.Load())
	}
}

func TestPeekInto(t *testing.T) {
	c, peer := pair(t)
	_, _ = peer.Write([]byte("word"))
	eventually(t, func() bool {
		var b [8]byte
		n, state := c.PeekInto(b[:])
		return state == Readable && string(b[:n]) == "word"
	})
}
