package proxy

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// aLine is what a client says whose protocol nobody knows.
const aLine = "HELO there\r\n"

// aHello is a ClientHello for apiHost, and a line's end behind it.
const aHello = "\x16\x03\x01\x00\x43\x01\x00\x00\x3f\x03\x03" + "0123456789abcdef0123456789abcdef" + "\x00" + // no session
	"\x00\x02\x13\x01" + "\x01\x00" + "\x00\x14" + "\x00\x00\x00\x10\x00\x0e\x00\x00\x0b" + apiHost + "\r\n"

// kinds are the ways in which connections come to be passed through.
var kinds = map[string]struct {
	bindings func(func(*policy.Settings)) []policy.Binding
	governed bool
	opening  string // what the client says first
}{
	"declared": {governed: true, opening: aLine, bindings: func(change func(*policy.Settings)) []policy.Binding {
		b := toAny(change)
		b.To.Protocol = policy.ProtocolTCP
		return []policy.Binding{b}
	}},
	"found out": {governed: true, opening: aLine, bindings: func(change func(*policy.Settings)) []policy.Binding {
		return []policy.Binding{undeclared(change)}
	}},
	"TLS by its name": {governed: true, opening: aHello, bindings: func(change func(*policy.Settings)) []policy.Binding {
		return []policy.Binding{toHost(apiHost, change)}
	}},
	"ungoverned": {opening: aLine, bindings: func(func(*policy.Settings)) []policy.Binding { return nil }},
}

// The client takes a connection for established that is not yet, so its own bound on connecting does not hold.
func TestRule26_ConnectingThroughIsBounded(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			var o Options
			if !kind.governed {
				o.connect = drive.FirstCheck
			}
			w := buildWith(t, o, closedAddress(t), kind.bindings(func(s *policy.Settings) { s.Timeouts.Connect = drive.FirstCheck })...)
			w.dialer.slow.Store(int64(time.Hour))
			c := w.dial()
			c.send(kind.opening)
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("got %v, want a reset", err)
			}
		})
	}
}

// A server's host that vanishes is found out on connections that are passed through, too, by the policy's numbers.
//
//enforces:opaque connectionPool.tcpKeepAlive.idle connectionPool.tcpKeepAlive.interval connectionPool.tcpKeepAlive.probes
func TestRule00_PassedConnectionsAreKeptAlive(t *testing.T) {
	k := policy.KeepAlive{Idle: 17 * time.Second, Interval: 3 * time.Second, Probes: 7}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(_ int, p *peer) {
				_, _ = p.r.ReadBytes('\n')
				p.send("hello")
				_, _ = p.r.ReadBytes('\n')
			}), kind.bindings(func(s *policy.Settings) { s.Pool.KeepAlive = k })...)
			want := k
			if !kind.governed {
				want = policy.Defaults().Pool.KeepAlive
			}
			c := w.dial()
			c.send(kind.opening)
			if _, err := c.Read(make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			if got := keepAlive(t, w.dialer.last.Load()); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// keepAlive reads what is in force on a connection.
func keepAlive(t *testing.T, c *net.TCPConn) policy.KeepAlive {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n [4]int
	err = raw.Control(func(fd uintptr) {
		n[0], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		for i, option := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
			n[i+1], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
		}
	})
	if err != nil || n[0] == 0 {
		t.Fatalf("keep-alive is %d, %v", n[0], err)
	}
	return policy.KeepAlive{Idle: time.Duration(n[1]) * time.Second, Interval: time.Duration(n[2]) * time.Second, Probes: n[3]}
}

// timeouts.idle holds for every connection that the policy governs, once it is written.
//
//enforces:opaque timeouts.idle
func TestRule00_IdleHoldsForPassedConnections(t *testing.T) {
	for name, kind := range kinds {
		if !kind.governed {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				_, _ = p.r.ReadBytes('\n')
				_, _ = p.r.ReadByte()
				close(ended)
			}), kind.bindings(func(s *policy.Settings) { s.Timeouts.Idle = drive.FirstCheck })...)
			c := w.dial()
			c.send(kind.opening)
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("got %v, want a reset", err)
			}
			<-ended
		})
	}
}
