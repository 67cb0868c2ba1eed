package tunnel

import (
	"io"
	"net"
	"testing"
	"time"
)

// parked returns a tunnel whose server is waited for by the poller, with the peers and its end.
func parked(t *testing.T, o Options) (tun *Tunnel, client, server *net.TCPConn, done <-chan Result) {
	t.Helper()
	client, inner := pair(t)
	outer, server := pair(t)
	o.Poller = poller(t)
	tun = New(on(inner), on(outer), o)
	ended, over := make(chan Result, 1), make(chan struct{})
	go func() {
		defer close(over)
		res, _ := tun.Run()
		ended <- res
	}()
	t.Cleanup(func() {
		_, _ = client.Close(), server.Close()
		<-over
	})
	for _, c := range []*net.TCPConn{client, server} {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	awaitParked(t, tun)
	return tun, client, server, ended
}

func awaitParked(t *testing.T, tun *Tunnel) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !tun.parked.Load(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("it is not parked")
		}
	}
}

func carry(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := io.WriteString(from, "word"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "word" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func expectEnd(t *testing.T, done <-chan Result, want End) {
	t.Helper()
	select {
	case res := <-done:
		if res.End != want {
			t.Errorf("ended as %d, want %d", res.End, want)
		}
	case <-time.After(patience):
		t.Fatal("the tunnel hangs")
	}
}

// A quiet server has no goroutine, and is heard all the same, again and again.
func TestAQuietServerIsHeard(t *testing.T) {
	tun, client, server, done := parked(t, Options{ToClient: []byte("x"), Idle: time.Hour})
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		carry(t, server, client)
		carry(t, client, server)
		awaitParked(t, tun)
	}
	carry(t, client, server)
	_ = server.CloseWrite()
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("the client reads %d, %v, want the server's end", n, err)
	}
	carry(t, client, server)
	_ = client.CloseWrite()
	expectEnd(t, done, Finished)
}

// However a tunnel ends whose server is quiet, it ends.
func TestATunnelWithAQuietServerEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(tun *Tunnel, client, server *net.TCPConn)
		want End
	}{
		"client resets": {func(_ *Tunnel, client, _ *net.TCPConn) { _ = client.SetLinger(0); client.Close() }, Broken},
		"server resets": {func(_ *Tunnel, _, server *net.TCPConn) { _ = server.SetLinger(0); server.Close() }, Broken},
		"both end":      {func(_ *Tunnel, client, server *net.TCPConn) { client.Close(); server.Close() }, Finished},
		"interrupted":   {func(tun *Tunnel, _, _ *net.TCPConn) { tun.client.Interrupt() }, Broken},
		"closed":        {func(tun *Tunnel, _, _ *net.TCPConn) { tun.client.Close() }, Broken},
		"server closed": {func(tun *Tunnel, client, _ *net.TCPConn) { tun.server.Close(); _, _ = client.Write([]byte("x")) }, Broken},
		"idle":          {func(tun *Tunnel, _, _ *net.TCPConn) { tun.abort(Idle) }, Idle},
		"client ended, then interrupted": {func(tun *Tunnel, client, server *net.TCPConn) {
			_ = client.CloseWrite()
			_, _ = server.Read(make([]byte, 1))
			tun.client.Interrupt()
		}, Broken},
	} {
		t.Run(name, func(t *testing.T) {
			tun, client, server, done := parked(t, Options{})
			tc.end(tun, client, server)
			expectEnd(t, done, tc.want)
		})
	}
}
