package distribute

import (
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// Agents that find a replica that does not serve must not cost it a handshake each, however often they try.
func TestAReplicaThatDoesNotServeShakesNoHands(t *testing.T) {
	var serving ServingSwitch
	accepted := make(chan net.Conn)
	inner := bufconn.Listen(1 << 10)
	l := servingListener{inner, &serving}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := inner.Dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	for range 3 {
		conn := dial()
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%d bytes, %v: not closed", n, err)
		}
	}
	serving.Start()
	dial()
	_ = (<-accepted).Close()
	_ = inner.Close()
	if _, open := <-accepted; open {
		t.Error("a connection that was not dialled")
	}
}
