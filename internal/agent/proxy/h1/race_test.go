package h1

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// A read whose time is up looks whether its peer is still there, so beside others, too, none waits for ever.
func TestRule17_AReadBesideOthersEndsNowAndThen(t *testing.T) {
	conn, server := transporttest.Pair(t)
	settings := policy.Defaults()
	settings.Timeouts.Idle = 0
	x := newExchange(New(Options{}))
	x.s = &Session{client: &drive.Client{Share: &drive.PodShare{}}}
	x.Plan = &routes.Plan{Plan: call.Plan{Settings: &settings}}
	a := &x.attempts[0]
	a.hold(upstream.Lease{Conn: &upstream.Conn{Conn: conn}})
	if _, err := server.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	x.contend(a, nil, false)
	c := a.beside
	a.join()
	if c.headErr != nil {
		t.Fatal(c.headErr)
	}
	if wait := a.in.until - a.in.now; a.in.until == 0 || wait > transport.Instant(drive.MaxCheck) {
		t.Errorf("it waits for %v", wait)
	}
}
