package capture_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// hookKernel redirects as a hook on connect(2) would: where a process of a pod connects, maps of the whole node say whether the call goes to the
// pod's listener instead, and the destination is remembered by the connection. Nothing is translated. One heartbeat keeps all pods
// redirected.
type hookKernel struct {
	mu        sync.Mutex
	pods      map[netns.ID]*hookEntry
	originals map[hookConn]netip.AddrPort
	beats     map[string]time.Time // by agent
	failBeats bool
}

// hookEntry is what the maps hold for a pod.
type hookEntry struct {
	agent  string
	lease  time.Duration
	leased bool
	to     mechanism.Intent // its redirect in normal form
}

// hookConn names a connection, as a socket's cookie does.
type hookConn struct {
	pod    netns.ID
	client netip.AddrPort
}

func newHookKernel() *hookKernel {
	return &hookKernel{pods: map[netns.ID]*hookEntry{}, originals: map[hookConn]netip.AddrPort{}, beats: map[string]time.Time{}}
}

// alive reports whether an entry's agent is.
func (k *hookKernel) alive(e *hookEntry) bool {
	return e.leased && time.Since(k.beats[e.agent]) < e.lease
}

// listener is where a call of the pod's goes to instead.
func (k *hookKernel) listener(pod netns.ID, to netip.AddrPort) (netip.AddrPort, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.pods[pod]
	if e == nil || to.Addr().Is6() && !e.to.IPv6 {
		return to, false
	}
	r, alive := &e.to.Redirect, k.alive(e)
	if r.Covers(to) && (alive || r.FailClosed) || slices.Contains(r.Unserved, to) && !alive {
		return e.at(to), true
	}
	return to, false
}

func (e *hookEntry) at(to netip.AddrPort) netip.AddrPort {
	if to.Addr().Is6() {
		return netip.AddrPortFrom(netip.IPv6Loopback(), e.to.Port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), e.to.Port)
}

func (k *hookKernel) dial(ctx context.Context, pod *netnstest.Net, to netip.AddrPort) (*net.TCPConn, error) {
	at, redirected := k.listener(pod.ID(), to)
	if !redirected {
		return pod.Dial(ctx, to, 0)
	}
	var c net.Conn
	err := pod.Do(func() error {
		fd, err := boundSocket(at.Addr())
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), "hooked")
		defer func() { _ = file.Close() }()
		local, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.originals[hookConn{pod.ID(), hookAddr(local)}] = to
		k.mu.Unlock()
		if err := unix.Connect(fd, sockaddr(at)); err != nil {
			return err
		}
		c, err = net.FileConn(file)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// boundSocket makes a socket with an address of its own.
func boundSocket(a netip.Addr) (int, error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(a, 0)))
	}
	return fd, err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

func hookAddr(s unix.Sockaddr) netip.AddrPort {
	if v6, ok := s.(*unix.SockaddrInet6); ok {
		return netip.AddrPortFrom(netip.AddrFrom16(v6.Addr), uint16(v6.Port))
	}
	v4 := s.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port))
}

func (k *hookKernel) left(_ testing.TB, pod *netnstest.Net) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.pods[pod.ID()]; e != nil {
		return fmt.Sprintf("%+v", *e)
	}
	return ""
}

func (k *hookKernel) owner(_ testing.TB, pod *netnstest.Net) nft.Owner {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.pods[pod.ID()]; e != nil {
		return nft.Owner{Name: e.agent, Port: e.to.Port}
	}
	return nft.Owner{}
}

func (k *hookKernel) mechanism(s mechanism.Settings) (mechanism.Interface, error) {
	return &hookMechanism{kernel: k, settings: s}, nil
}

// breakBeats has heartbeats fail from now on, or work again.
func (k *hookKernel) breakBeats(broken bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failBeats = broken
}

type hookMechanism struct {
	kernel   *hookKernel
	settings mechanism.Settings
}

func (m *hookMechanism) Attach(ns *netns.Namespace) (mechanism.Attachment, error) {
	return &hookAttachment{hookMechanism: m, pod: ns.ID()}, nil
}

func (m *hookMechanism) Heartbeat() mechanism.Heartbeat {
	return mechanism.Heartbeat{Interval: m.settings.Lease / 10, Beat: func() error {
		m.kernel.mu.Lock()
		defer m.kernel.mu.Unlock()
		if m.kernel.failBeats {
			return os.NewSyscallError("bpf", unix.EPERM)
		}
		m.kernel.beats[m.settings.Agent] = time.Now()
		return nil
	}}
}

// hookAttachment is a pod's entry, as an agent sees it.
type hookAttachment struct {
	*hookMechanism
	pod       netns.ID
	installed bool
}

// change calls f with the pod's entry if it is this agent's.
func (a *hookAttachment) change(f func(e *hookEntry)) error {
	a.kernel.mu.Lock()
	defer a.kernel.mu.Unlock()
	switch e := a.kernel.pods[a.pod]; {
	case e == nil:
		return os.ErrNotExist
	case e.agent != a.settings.Agent:
		return fmt.Errorf("%w: %s", mechanism.ErrSuperseded, e.agent)
	default:
		f(e)
		return nil
	}
}

func (a *hookAttachment) Found() (port uint16, err error) {
	a.kernel.mu.Lock()
	defer a.kernel.mu.Unlock()
	if e := a.kernel.pods[a.pod]; e != nil {
		port = e.to.Port
	}
	return port, nil
}

func (a *hookAttachment) Install(i mechanism.Intent) error {
	normal, err := i.Redirect.Normal()
	if err != nil {
		return err
	}
	i.Redirect = normal
	if !a.installed {
		return a.TakeOver(i)
	}
	return a.change(func(e *hookEntry) { e.to = i })
}

func (a *hookAttachment) TakeOver(i mechanism.Intent) error {
	normal, err := i.Redirect.Normal()
	if err != nil {
		return err
	}
	i.Redirect = normal
	a.kernel.mu.Lock()
	defer a.kernel.mu.Unlock()
	leased := false
	if e := a.kernel.pods[a.pod]; e != nil {
		leased = e.leased
	}
	a.kernel.pods[a.pod] = &hookEntry{agent: a.settings.Agent, lease: a.settings.Lease, leased: leased, to: i}
	a.installed = true
	return nil
}

func (a *hookAttachment) StopRedirect() error {
	port, _ := a.Found()
	return a.Install(mechanism.Intent{Port: port, IPv6: true})
}

func (a *hookAttachment) Busy() (int, error) { return 0, nil }

func (a *hookAttachment) Remove() error {
	return a.change(func(*hookEntry) { delete(a.kernel.pods, a.pod) })
}

func (a *hookAttachment) Close() error { return nil }

func (a *hookAttachment) Renew(mechanism.Connection) (mechanism.Health, error) {
	return mechanism.Health{}, a.change(func(e *hookEntry) { e.leased = true })
}

func (a *hookAttachment) Yield() error { return a.change(func(e *hookEntry) { e.leased = false }) }

func (a *hookAttachment) Leased() (bool, error) {
	a.kernel.mu.Lock()
	defer a.kernel.mu.Unlock()
	e := a.kernel.pods[a.pod]
	return e != nil && a.kernel.alive(e), nil
}

func (a *hookAttachment) Intact() (bool, error) { return true, a.change(func(*hookEntry) {}) }

func (a *hookAttachment) Restore([]mechanism.Connection) (int, error) { return 0, nil }

func (a *hookAttachment) Foreign() ([]string, error) { return nil, nil }

func (a *hookAttachment) QUIC() (uint64, error) { return 0, nil }

func (a *hookAttachment) Original(conn syscall.Conn, at netip.AddrPort) (netip.AddrPort, error) {
	a.kernel.mu.Lock()
	defer a.kernel.mu.Unlock()
	client := transport.PeerAddr(conn)
	if original, ok := a.kernel.originals[hookConn{a.pod, client}]; ok {
		return original, nil
	}
	return at, nil
}

func (a *hookAttachment) ClientSocket(c mechanism.Connection) (local, remote netip.AddrPort) {
	a.kernel.mu.Lock()
	defer a.kernel.mu.Unlock()
	if e := a.kernel.pods[a.pod]; e != nil && a.kernel.originals[hookConn{a.pod, c.From}] == c.To {
		return c.From, e.at(c.To)
	}
	return c.From, c.To
}
