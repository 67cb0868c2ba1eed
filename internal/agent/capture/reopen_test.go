package capture_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// hunt is how long the tests that begin and end captures go on. A few seconds show that they work; minutes find what is rare.
var hunt = flag.Duration("hunt", time.Second, "how long captures begin and end under calls")

// brief answers a captured connection as echo does and then either waits for the peer to close or closes first.
type brief struct{ echo }

func (b brief) ServeCaptured(pod capture.PodRef, conn *os.File, original netip.AddrPort) {
	if peer := transport.PeerAddr(conn).Port(); peer >= firstFixed && peer < firstFixed+fixedPorts && peer%2 == 0 {
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "%s %s %s", b.agent, pod.UID, original)
		return
	}
	b.echo.ServeCaptured(pod, conn, original)
}

// The ports below the kernel's own range that clients are bound to, so that every one is used again and again. Of connections from the
// even ones the server closes first, those from the odd ones the client resets, so that none stays in TIME_WAIT at the client.
const (
	firstFixed = 20000
	fixedPorts = 16
)

// caller calls two services from a pod.
type caller struct {
	pod  *netnstest.Net
	next int
}

var services = []string{"10.99.0.1:80", "[fd99::1]:80", "10.99.0.2:80", "[fd99::2]:80"}

// call connects from the given port, or any if 0, and returns the whole answer.
func (c *caller) call(to string, port int) (string, error) {
	d := net.Dialer{Timeout: 3 * time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}}
	if port != 0 {
		d.LocalAddr = &net.TCPAddr{Port: port}
	}
	var conn net.Conn
	if err := c.pod.Do(func() (err error) { conn, err = d.Dial("tcp", to); return err }); err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, 64)
	n, err := conn.Read(b)
	if err != nil {
		return "", err
	}
	if port != 0 && port%2 == 0 {
		if _, err := conn.Read(b[n:]); !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("after %q: %w, want the end", b[:n], err)
		}
	} else if port != 0 {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	return string(b[:n]), nil
}

// round calls every service from a fixed port and from one that the kernel picks.
func (c *caller) round(t *testing.T, state string, want func(to string) string) {
	t.Helper()
	for _, to := range services {
		c.next++
		for _, port := range []int{0, firstFixed + c.next%fixedPorts} {
			if got, err := c.call(to, port); err != nil || got != want(to) {
				t.Errorf("%s: call to %s from port %d: %q, %v, want %q; rules now:\n%s", state, to, port, got, err, want(to), c.pod.Ruleset(t))
			}
		}
	}
}

// serveBriefly serves the world: connections from even fixed ports are closed by the server.
func serveBriefly(t *testing.T, n *netnstest.Net) {
	t.Helper()
	for _, at := range []string{"0.0.0.0:80", "[::]:80"} {
		n.Handle(t, netip.MustParseAddrPort(at), func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "direct")
			if peer := c.RemoteAddr().(*net.TCPAddr).Port; peer < firstFixed || peer >= firstFixed+fixedPorts || peer%2 == 1 {
				_, _ = io.Copy(c, c)
			}
		})
	}
}

// background calls all the time, on whichever side of a change that may be, and fails the test when a call is not answered.
func background(t *testing.T, pod *netnstest.Net) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, to := range services[:2] {
		wg.Go(func() {
			c := &caller{pod: pod}
			for ctx.Err() == nil {
				got, err := c.call(to, 0)
				if err != nil || got != "direct" && got != "agent a "+to {
					t.Errorf("call to %s while captures begin and end: %q, %v", to, got, err)
				}
			}
		})
	}
	for _, to := range services[2:] {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := slowCall(pod, to); err != nil {
					t.Errorf("slow call to %s while captures begin and end: %v", to, err)
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// slowCall says something over a connection that may have seen a change or two since it was made.
func slowCall(pod *netnstest.Net, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	c, err := pod.Dial(ctx, netip.MustParseAddrPort(to), 0)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, 64)
	if _, err := c.Read(b); err != nil {
		return err
	}
	for range rand.IntN(30) { // which take a while
		other := &caller{pod: pod}
		if _, err := other.call(to, 0); err != nil {
			return err
		}
	}
	return talk(c, "still here")
}

// TestRule34_CaptureEndsAndBeginsAgain captures a pod and ends it as fast as it can. Once AwaitReached says that it is captured every call is
// captured, once it says that it is not every call goes direct, and no call is ever refused or reset.
func TestRule34_CaptureEndsAndBeginsAgain(t *testing.T) {
	netnstest.Privileged(t)
	addrs := intent.Redirect{}
	for _, to := range services {
		addrs.Addrs = append(addrs.Addrs, netip.MustParseAddrPort(to))
	}
	ports := intent.Redirect{Ports: []uint16{80}}
	captured := func(to string) string { return "agent a " + to }
	direct := func(string) string { return "direct" }
	for name, tc := range map[string]struct {
		first, second intent.Redirect
		kept          bool // a connection stays open over the changes
		busy          bool // calls go on during the changes
		unawaited     bool // the pod is captured again before the end is known to be reached
	}{
		"alone":                        {first: everything, second: ports},
		"with a connection open":       {first: everything, second: ports, kept: true},
		"addresses":                    {first: addrs, second: ports},
		"under calls":                  {first: ports, second: addrs, busy: true},
		"under calls, connection open": {first: addrs, second: ports, busy: true, kept: true},
		"under calls, without waiting": {first: addrs, second: ports, busy: true, unawaited: true},
		"without waiting":              {first: ports, second: everything, unawaited: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := netnstest.Host(t)
			pod, world := pair(t, host, nftKernel{})
			serveBriefly(t, world)
			at := newSandboxes()
			at.run("a", "one", pod.Path)
			b := run(t, host, at, func(o *capture.Options) {
				o.Handler, o.Lease = brief{echo{"agent"}}, 10*time.Second // longer than a starved machine stalls
			})
			c := &caller{pod: pod.Net}
			if tc.busy {
				background(t, pod.Net)
			}
			rounds := 0
			for end := time.Now().Add(*hunt); time.Now().Before(end) && !t.Failed(); rounds++ {
				b.want(t, spec("a", tc.first))
				c.round(t, "opened", captured)
				var kept net.Conn
				if tc.kept {
					kept = open(t, pod, services[rounds%2], captured(services[rounds%2]))
				}
				if rounds%3 == 0 {
					b.want(t, spec("a", tc.second))
					c.round(t, "edited", captured)
				}
				if tc.unawaited {
					b.Reconcile(map[string]capture.PodSpec{})
					for range rand.IntN(30) { // which take a while
						if got, err := c.call(services[0], 0); err != nil {
							t.Errorf("call while the capture ends: %q, %v", got, err)
						}
					}
				} else {
					b.want(t)
					c.round(t, "closed", direct)
				}
				if tc.kept {
					if err := talk(kept, "still here"); err != nil {
						t.Error(err)
					}
					b.want(t, spec("a", tc.second))
					c.round(t, "opened with a connection", captured)
					if err := talk(kept, "still here"); err != nil {
						t.Error(err)
					}
					_ = kept.Close()
				}
			}
			t.Logf("%d rounds", rounds)
			if loops := b.Stats().Loops; loops != 0 {
				t.Errorf("%d connections were taken for loops", loops)
			}
		})
	}
}
