package capture

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

const (
	// portsToTry bounds the search for a port that the pod does not use itself.
	portsToTry = 16
	// quietPeriod is how long nothing may have come before a listener's queue counts as empty.
	quietPeriod = 50 * time.Millisecond
	// maxDrain bounds the wait for a quiet period.
	maxDrain = 2 * time.Second
)

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// listeners accept a pod's redirected connections on one port, of IPv4 and, where the pod has it, of IPv6.
type listeners struct {
	// immutable after listen
	port     uint16
	all      []*net.TCPListener
	attached *attached // set before serve

	wg sync.WaitGroup // the accept loops
}

// listen opens listeners at a port, or one of the next if the pod uses that.
func listen(ns *netns.Namespace, port uint16) (*listeners, error) {
	var err error
	for range portsToTry {
		var l *listeners
		if l, err = listenAt(ns, port); err == nil || !errors.Is(err, unix.EADDRINUSE) {
			return l, err
		}
		port++
	}
	return nil, err
}

func listenAt(ns *netns.Namespace, port uint16) (*listeners, error) {
	l := &listeners{port: port}
	v4, err := ns.Listen(netip.AddrPortFrom(loopback4, port))
	if err != nil {
		return nil, err
	}
	l.all = append(l.all, v4)
	v6, err := ns.Listen(netip.AddrPortFrom(loopback6, port))
	switch {
	case err == nil:
		l.all = append(l.all, v6)
	case errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT):
		// The pod has no IPv6.
	default:
		_ = v4.Close()
		return nil, err
	}
	return l, nil
}

func (l *listeners) ipv6() bool { return len(l.all) > 1 }

// isListener reports whether a connection was made to a listener on purpose rather than redirected to it.
func (l *listeners) isListener(original netip.AddrPort) bool {
	return original.Port() == l.port && original.Addr().Unmap().IsLoopback()
}

// serve accepts until drain or close. It calls accepted with every connection and failed with every failure, after which it pauses.
func (l *listeners) serve(accepted func(*net.TCPConn), failed func(error)) {
	for _, listener := range l.all {
		l.wg.Go(func() { acceptAll(listener, accepted, failed) })
	}
}

func acceptAll(listener *net.TCPListener, accepted func(*net.TCPConn), failed func(error)) {
	for {
		conn, err := listener.AcceptTCP()
		switch {
		case err == nil:
			accepted(conn)
		case errors.Is(err, net.ErrClosed):
			return
		case isTimeout(err):
			if !queued(listener) {
				return
			}
			_ = listener.SetDeadline(time.Now().Add(quietPeriod))
		default:
			failed(err)
			pause := time.NewTimer(quietPeriod)
			<-pause.C
		}
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// queued reports whether a connection is in the listener's queue.
func queued(listener *net.TCPListener) bool {
	raw, err := listener.SyscallConn()
	if err != nil {
		return false
	}
	found := false
	_ = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		found = n > 0 || errors.Is(err, unix.EINTR)
	})
	return found
}

// drain accepts the connections that are in the queues, then closes the listeners. It expects that no more are added, and blocks for a quiet period.
func (l *listeners) drain() {
	for _, listener := range l.all {
		_ = listener.SetDeadline(time.Now().Add(quietPeriod))
	}
	limit := time.AfterFunc(maxDrain, func() {
		for _, listener := range l.all {
			_ = listener.Close()
		}
	})
	defer limit.Stop()
	l.wg.Wait()
	l.close()
}

// close closes at once; connections in the queues are reset.
func (l *listeners) close() {
	for _, listener := range l.all {
		_ = listener.Close()
	}
	l.wg.Wait()
}
