package capture

import (
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// holder uses the descriptor of a connection, as a session does that asks the kernel about its client, and frees it only when release
// is closed. interrupted is closed when a read of the connection has been woken.
type holder struct {
	conn        *os.File
	interrupted chan struct{}
}

// pairs makes n connections and returns one end of each.
func pairs(t *testing.T, n int) []*os.File {
	t.Helper()
	made, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := made.Addr().(*net.TCPAddr)
	l, err := transport.NewListener(made)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ends := make([]*os.File, n)
	for i := range ends {
		peer, err := net.DialTCP("tcp", nil, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = peer.Close() })
		if ends[i], err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	return ends
}

// hold takes the descriptor until release is closed, and reads meanwhile.
func hold(t *testing.T, c *connections, conn *os.File, release <-chan struct{}) *holder {
	t.Helper()
	h := &holder{conn: conn, interrupted: make(chan struct{})}
	if !c.begin(conn) {
		t.Fatal("no more connections are wanted")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	var using sync.WaitGroup
	using.Go(func() {
		_ = raw.Control(func(uintptr) {
			close(held)
			<-release
		})
	})
	go func() { // waited for by connections.abort
		defer c.end(conn)
		_, _ = conn.Read(make([]byte, 1))
		close(h.interrupted)
		using.Wait()
	}()
	<-held
	return h
}

// TestRule38_AllConnectionsAreInterruptedBeforeTheFirstIsWaitedFor: closing a connection waits for whoever uses its descriptor, and no connection
// may wait for another.
func TestRule38_AllConnectionsAreInterruptedBeforeTheFirstIsWaitedFor(t *testing.T) {
	var c connections
	release := make(chan struct{})
	var holders []*holder
	for _, conn := range pairs(t, 50) {
		holders = append(holders, hold(t, &c, conn, release))
	}
	done := make(chan int)
	go func() { done <- c.abort() }()
	hang := time.NewTimer(30 * time.Second)
	defer hang.Stop()
	late := false
	for _, h := range holders { // none of which has freed its descriptor yet
		select {
		case <-h.interrupted:
		case <-hang.C:
			late = true
		}
		if late {
			t.Error("a connection waits for another one's end")
			break
		}
	}
	close(release)
	if n := <-done; n != len(holders) {
		t.Errorf("%d connections ended, want %d", n, len(holders))
	}
	if c.begin(holders[0].conn) {
		t.Error("a connection was taken after the end")
	}
}

// TestTheLastConnectionWakes: whoever waits for connections to end is woken by the last.
func TestTheLastConnectionWakes(t *testing.T) {
	calls := 0
	c := connections{idle: func() { calls++ }}
	ends := pairs(t, 3)
	for _, conn := range ends {
		c.begin(conn)
	}
	for i, conn := range ends {
		c.end(conn)
		_ = conn.Close()
		if want := i / 2; calls != want {
			t.Errorf("called %d times after %d of 3 have ended", calls, i+1)
		}
	}
}
