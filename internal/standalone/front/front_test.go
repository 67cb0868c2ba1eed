package front

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// nowhere is where connections go in tests.
type nowhere struct{ asked chan struct{} }

func (nowhere) Serve(c transport.Socket, _ netip.AddrPort, _ []byte) { _ = c.Close() }

func (n nowhere) Resolve(ctx context.Context, _ string, _ uint16) (netip.AddrPort, error) {
	close(n.asked)
	<-ctx.Done()
	return netip.AddrPort{}, ctx.Err()
}

// listen returns a listener and its address.
func listen(t *testing.T) (*transport.Listener, string) {
	t.Helper()
	made, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.NewListener(made.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	return l, made.Addr().String()
}

// Whoever connects and says nothing, or asks for a host that cannot be looked up, does not keep the proxy from ending.
func TestItEndsThoughSomebodySaysNothing(t *testing.T) {
	for name, says := range map[string]string{"nothing": "", "a part of a head": "GET http://a/ HTTP/1.1\r\n", "a host": "CONNECT a.example:443 HTTP/1.1\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, at := listen(t)
			n := nowhere{make(chan struct{})}
			f := &Front{Server: n, Resolver: n, Failed: func(string) {}, headWait: time.Hour}
			ended := make(chan struct{})
			go func() {
				f.Proxy(l)
				close(ended)
			}()
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte(says)); err != nil {
				t.Fatal(err)
			}
			if name == "a host" {
				<-n.asked
			}
			_ = l.Close()
			limit := time.NewTimer(time.Minute)
			defer limit.Stop()
			select {
			case <-ended:
			case <-limit.C:
				t.Fatal("the proxy goes on")
			}
		})
	}
}

// A connection that was not handed over is not held until the proxy ends.
func TestWhatHasEndedIsNotHeld(t *testing.T) {
	l, at := listen(t)
	served, freed, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		accept(l, func(c *connection) {
			runtime.AddCleanup(c.File, func(freed chan struct{}) { close(freed) }, freed)
			_ = c.Close()
			close(served)
		})
		close(ended)
	}()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-served
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for held := true; held; {
		runtime.GC()
		select {
		case <-freed:
			held = false
		case <-limit.C:
			t.Error("it is held")
			held = false
		default:
		}
	}
	_ = l.Close()
	<-ended
}
