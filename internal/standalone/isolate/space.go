//go:build linux

package isolate

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/transport"
)

const (
	// uid names the namespace to capture.
	uid = "command"
	// readyWait is how long it may take until connections are captured.
	readyWait = 20 * time.Second
	// grace is how long connections may take to end that are left.
	grace = time.Second
)

// Server serves a connection that was on its way to an address, of which the beginning was read.
type Server interface {
	Serve(conn transport.Socket, to netip.AddrPort, read []byte)
}

// Options configure a Space. Server and Log are required.
type Options struct {
	Server Server
	Log    *slog.Logger
	// Address finds the address of a name that the DNS does not know; ok is false where it is the DNS's to know.
	Address func(name string) (a netip.Addr, ok bool)
	// Resolvers are asked for names; nil: those of /etc/resolv.conf.
	Resolvers []netip.AddrPort
}

// Space is a namespace whose connections are captured.
type Space struct {
	// immutable after New
	host  *netns.Host
	file  *os.File
	ns    *netns.Namespace
	names *names

	manager *capture.Manager
	box     *sandbox
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes a namespace, and has its connections captured from then on.
func New(o Options) (*Space, error) {
	s := &Space{stop: func() {}}
	if err := s.open(&o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Space) open(o *Options) error {
	var err error
	if s.host, err = netns.OpenHost(); err != nil {
		return err
	}
	if s.file, err = newNamespace(); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", s.file.Fd())
	if s.ns, err = s.host.Open(path); err != nil {
		return err
	}
	if err := giveWayOut(s.ns); err != nil {
		return fmt.Errorf("set up the network namespace: %w", err)
	}
	if s.names, err = listenForNames(s.ns, o); err != nil {
		return fmt.Errorf("listen for questions to the DNS: %w", err)
	}
	if err := redirectNames(int(s.file.Fd()), s.names.port); err != nil {
		return fmt.Errorf("redirect questions to the DNS: %w", err)
	}
	return s.capture(path, o)
}

// capture has the namespace's connections captured.
func (s *Space) capture(path string, o *Options) error {
	ref := pods.Ref{UID: uid, Namespace: "local", Name: uid}
	s.box = &sandbox{changed: make(chan struct{}, 1), all: map[string]pods.Sandbox{uid: {Pod: ref, ID: uid, NetNS: path}}}
	var err error
	s.manager, err = capture.New(capture.Options{
		Host: s.host, Sandboxes: s.box, Handler: handler{o.Server}, Log: o.Log, Mechanism: nft.New, Grace: grace,
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.running.Go(func() { _ = s.manager.Run(ctx) }) // an error is that handlers did not return
	s.running.Go(func() { s.names.serve(ctx) })
	s.manager.Reconcile(map[string]capture.PodSpec{uid: {Pod: ref, Redirect: intent.Redirect{All: true}}})
	ready, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := s.manager.AwaitReached(ready); err != nil {
		return err
	}
	if p := s.manager.Problems(); len(p) > 0 {
		return fmt.Errorf("connections cannot be captured: %s", p[0].Message)
	}
	return nil
}

// Listen listens at an address of the namespace, such as one of its localhost.
func (s *Space) Listen(at netip.AddrPort) (*transport.Listener, error) {
	l, err := s.ns.Listen(at)
	if err != nil {
		return nil, err
	}
	return transport.NewListener(l)
}

// Start starts a process inside. The thread that forks is inside, and so is its child.
func (s *Space) Start(path string, argv []string, attr *os.ProcAttr) (p *os.Process, err error) {
	if inner := s.ns.Do(func() error {
		p, err = os.StartProcess(path, argv, attr)
		return nil
	}); inner != nil {
		return nil, inner
	}
	return p, err
}

// Close ends the capture and gives the namespace up, which is gone when its last process is.
func (s *Space) Close() {
	if s.box != nil {
		s.box.remove()
	}
	s.stop()
	if s.names != nil {
		s.names.close()
	}
	s.running.Wait()
	for _, c := range []interface{ Close() error }{s.ns, s.file, s.host} {
		if c != (*netns.Namespace)(nil) && c != (*os.File)(nil) && c != (*netns.Host)(nil) {
			_ = c.Close()
		}
	}
}

// newNamespace makes a network namespace that lives as long as the file is open.
func newNamespace() (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() { // ends at once
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var r result
		if r.err = unix.Unshare(unix.CLONE_NEWNET); r.err == nil {
			r.file, r.err = os.Open("/proc/thread-self/ns/net")
		}
		made <- r
	}()
	r := <-made
	return r.file, r.err
}

// handler hands captured connections on.
type handler struct{ to Server }

// ServeCaptured implements capture.Handler.
func (h handler) ServeCaptured(_ capture.PodRef, conn *os.File, original netip.AddrPort) {
	h.to.Serve(conn, original, nil)
}

// sandbox is the one namespace as capture looks for them.
type sandbox struct {
	changed chan struct{}

	mu  sync.Mutex
	all map[string]pods.Sandbox // guarded by mu; never modified
}

var _ capture.Sandboxes = (*sandbox)(nil)

// Sandboxes implements capture.Sandboxes.
func (b *sandbox) Sandboxes() (map[string]pods.Sandbox, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all, true
}

// Changed implements capture.Sandboxes.
func (b *sandbox) Changed() <-chan struct{} { return b.changed }

// Hurry implements capture.Sandboxes.
func (b *sandbox) Hurry() {}

func (b *sandbox) remove() {
	b.mu.Lock()
	b.all = nil
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}
