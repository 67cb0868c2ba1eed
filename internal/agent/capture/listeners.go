package capture

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/transport"
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
	loopbacks = [...]netip.Addr{loopback4, loopback6}
)

// listeners accept a pod's redirected connections on one port, of each family that the pod has.
type listeners struct {
	// immutable after listen
	port     uint16
	attached *attached // set before serve
	hooks    hooks

	// used by the podCapture's own goroutine alone
	all []listener

	wg sync.WaitGroup // the accept loops
}

// hooks are called by the accept loops.
type hooks struct {
	// listening is called by each loop, and returns what it calls before each connection that it accepts, and at its end.
	listening func() (turn, done func())
	// accepted is called with every connection and where it was accepted, failed with every failure, after which the loop pauses.
	accepted func(netip.AddrPort, *os.File)
	failed   func(error)
}

// listener accepts at one address.
type listener struct {
	*transport.Listener
	at netip.AddrPort
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
	var lacks error
	for _, addr := range loopbacks {
		switch err := l.add(ns, addr); {
		case err == nil:
		case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT): // the pod has nothing of that family
			lacks = err
		default:
			l.close()
			return nil, err
		}
	}
	if len(l.all) == 0 {
		return nil, lacks
	}
	return l, nil
}

// complete listens and serves in a family that the pod has only come to have since. It reports whether there is one.
func (l *listeners) complete(ns *netns.Namespace) (more bool) {
	for _, addr := range loopbacks {
		if l.has(addr) || l.add(ns, addr) != nil {
			continue
		}
		l.serveAt(l.all[len(l.all)-1])
		more = true
	}
	return more
}

func (l *listeners) add(ns *netns.Namespace, addr netip.Addr) error {
	at := netip.AddrPortFrom(addr, l.port)
	made, err := ns.Listen(at)
	if err != nil {
		return err
	}
	own, err := transport.NewListener(made)
	if err == nil {
		l.all = append(l.all, listener{own, at})
	}
	return err
}

// has reports whether there is a listener at an address.
func (l *listeners) has(addr netip.Addr) bool {
	return slices.ContainsFunc(l.all, func(at listener) bool { return at.at.Addr() == addr })
}

// isListener reports whether a connection was made to a listener on purpose rather than redirected to it.
func (l *listeners) isListener(original netip.AddrPort) bool {
	return original.Port() == l.port && original.Addr().Unmap().IsLoopback()
}

// serve accepts until drain or close.
func (l *listeners) serve(h hooks) {
	l.hooks = h
	for _, listener := range l.all {
		l.serveAt(listener)
	}
}

func (l *listeners) serveAt(at listener) {
	l.wg.Go(func() { l.hooks.acceptAll(at) })
}

func (h *hooks) acceptAll(listener listener) {
	turn, done := h.listening()
	defer done()
	for {
		turn() // the one that comes next, or has come already, is accepted in this
		conn, err := listener.Accept()
		switch {
		case err == nil:
			h.accepted(listener.at, conn)
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !queued(listener) {
				return
			}
			_ = listener.SetDeadline(time.Now().Add(quietPeriod))
		default:
			h.failed(err)
			pause := time.NewTimer(quietPeriod)
			<-pause.C
		}
	}
}

// queued reports whether a connection is in the listener's queue.
func queued(listener listener) (found bool) {
	_ = listener.Control(func(fd int) error { // an error means closed
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		found = n > 0 || errors.Is(err, unix.EINTR)
		return nil
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
