package nft_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
)

// A client of a redirected connection that has ended its side is distinguished from one that has gone, although both look the same to the
// agent that accepted it.
func TestRule04_AHalfClosedSocketIsHeld(t *testing.T) {
	netnstest.Privileged(t)
	pod, _ := netnstest.Pair(t, netnstest.Host(t))
	accepted := make(chan *net.TCPConn)
	release := make(chan struct{})
	for _, at := range listening {
		pod.Handle(t, netip.MustParseAddrPort(at), func(c *net.TCPConn) {
			accepted <- c
			<-release
		})
	}
	t.Cleanup(func() { close(release) })
	install(t, open(t, pod, options("held")), intent.Redirect{All: true})
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80", "[::ffff:10.99.0.1]:80"} {
		t.Run(to, func(t *testing.T) {
			original := netip.MustParseAddrPort(to)
			client := connect(t, pod, original)
			defer func() { _ = client.Close() }()
			agents := <-accepted
			held := func() bool {
				t.Helper()
				s, err := sockdiag.Find(pod.Namespace, agents.RemoteAddr().(*net.TCPAddr).AddrPort(), original)
				if err != nil {
					t.Fatal(err)
				}
				return s.Held
			}
			if !held() {
				t.Error("open: not held")
			}
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(agents); err != nil { // until its end has arrived
				t.Fatal(err)
			}
			if !held() {
				t.Error("half-closed: not held")
			}
			_ = client.Close()
			netnstest.Eventually(t, 10*time.Second, "it is gone", func() bool { return !held() })
		})
	}
	_, err := sockdiag.Find(pod.Namespace, netip.AddrPortFrom(netnstest.Pod4, 9), netip.MustParseAddrPort("10.99.0.1:80"))
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("no such socket: %v", err)
	}
	// A listener on the port is not the connection that was asked for.
	pod.Serve(t, netip.MustParseAddrPort("0.0.0.0:9"), "")
	_, err = sockdiag.Find(pod.Namespace, netip.AddrPortFrom(netnstest.Pod4, 9), netip.MustParseAddrPort("10.99.0.1:80"))
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("a listener: %v", err)
	}
}

// Two connections to different servers may come from one port. Redirected to one listener they would be the same, so the kernel
// gives the second another source port, which its owner does not know: nothing can be said of that one, and nothing is.
func TestNothingIsSaidOfATranslatedSocket(t *testing.T) {
	netnstest.Privileged(t)
	pod, _ := netnstest.Pair(t, netnstest.Host(t))
	accepted := make(chan *net.TCPConn)
	release := make(chan struct{})
	pod.Handle(t, netip.MustParseAddrPort(listening[0]), func(c *net.TCPConn) {
		accepted <- c
		<-release
	})
	t.Cleanup(func() { close(release) })
	install(t, open(t, pod, options("held")), intent.Redirect{All: true})
	const port = 40123
	translated := 0
	for _, to := range []string{"10.99.0.1:80", "10.99.0.2:80"} {
		original := netip.MustParseAddrPort(to)
		connectFrom(t, pod, port, original)
		from := (<-accepted).RemoteAddr().(*net.TCPAddr).AddrPort()
		s, err := sockdiag.Find(pod.Namespace, from, original)
		switch {
		case from.Port() != port:
			translated++
			if !errors.Is(err, unix.ENOENT) {
				t.Errorf("%s from %s: held %v, %v", to, from, s.Held, err)
			}
		case err != nil || !s.Held:
			t.Errorf("%s from %s: held %v, %v", to, from, s.Held, err)
		}
	}
	if translated != 1 {
		t.Errorf("%d connections were translated", translated)
	}
}

// connectFrom connects from a port that may be in use for other connections, and keeps the socket until the test ends.
func connectFrom(t *testing.T, from *netnstest.Net, port int, to netip.AddrPort) {
	t.Helper()
	fd := -1
	err := from.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	for _, err := range []error{
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: netnstest.Pod4.As4(), Port: port}),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// connect connects with a socket of the family as written: programs that speak both use one of IPv6 for IPv4 too.
func connect(t *testing.T, from *netnstest.Net, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	if !to.Addr().Is4In6() {
		c, err := from.Dial(t.Context(), to, 0)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var fd int
	err := from.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "client")
	defer func() { _ = file.Close() }()
	if err := unix.Connect(fd, &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}); err != nil {
		t.Fatal(err)
	}
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}
