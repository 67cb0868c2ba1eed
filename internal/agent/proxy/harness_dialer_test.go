package proxy

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// plainDialer dials without a namespace.
type plainDialer struct {
	*notifier
	dials  atomic.Int64
	refuse atomic.Int64 // so many more dials fail
	most   atomic.Int64 // if not 0, dials beyond so many fail
	panics atomic.Bool
	gone   atomic.Bool // its pod has ended, and has no dialer
	// broken is how many more dials make a connection that is reset already.
	broken atomic.Int64
	slow   atomic.Int64            // nanoseconds that each dial takes
	fast   atomic.Int64            // the first dials that do not
	held   atomic.Pointer[barrier] // what each dial waits for; nil: nothing
	narrow atomic.Bool             // the kernel takes little of what is sent
	files  atomic.Bool             // connections are made as files, as the agent makes them, which last does not know
	// asked counts the looks at clients' ends, of which nothing is known if blind.
	asked atomic.Int64
	blind atomic.Bool
	// captured is where clients connect to.
	captured net.Addr
	last     atomic.Pointer[net.TCPConn] // the connection made last
	// at says where an address really is, if it is elsewhere.
	at sync.Map
	// silent are addresses that nobody answers at.
	silent sync.Map
	// closed says of the world's own clients, by address, whether they have closed their connections.
	closed sync.Map
}

// ClientOpen implements drive.ClientFinder. Here clients do not see the original destination, since nothing redirects them.
func (d *plainDialer) ClientOpen(client, _ netip.AddrPort) (open, known bool) {
	defer d.notify()
	d.asked.Add(1)
	if d.blind.Load() {
		return false, false
	}
	if closed, known := d.closed.Load(client); known {
		return !closed.(bool), true
	}
	sockets, err := os.ReadFile("/proc/self/net/tcp") // slow where there are many sockets
	if err != nil {
		return false, false
	}
	ends := fmt.Sprintf("%s %s", procAddr(client), procAddr(netip.MustParseAddrPort(d.captured.String())))
	for line := range strings.Lines(string(sockets)) {
		// sl local_address rem_address st queues timer retransmits uid timeout inode
		if f := strings.Fields(line); len(f) > 9 && f[1]+" "+f[2] == ends {
			return f[9] != "0", true
		}
	}
	return false, false
}

// procAddr is an IPv4 address as /proc/net/tcp has it.
func procAddr(a netip.AddrPort) string {
	b := a.Addr().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(b[:]), a.Port())
}

func (d *plainDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	n, most := d.dials.Add(1), d.most.Load()
	d.notify()
	if held := d.held.Load(); held != nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-held.C:
		}
	}
	if d.panics.Load() {
		panic("as the test asks")
	}
	if d.refuse.Add(-1) >= 0 || most > 0 && n > most {
		return nil, syscall.ECONNREFUSED
	}
	if slow := d.slow.Load(); slow > 0 && n > d.fast.Load() {
		late := time.NewTimer(time.Duration(slow))
		defer late.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
		}
	}
	if d.broken.Add(-1) >= 0 {
		return brokenConn()
	}
	if _, silent := d.silent.Load(to); silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if elsewhere, ok := d.at.Load(to); ok {
		to = elsewhere.(netip.AddrPort)
	}
	if d.files.Load() {
		return dialFile(to)
	}
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if d.narrow.Load() {
		_ = c.(*net.TCPConn).SetWriteBuffer(1)
	}
	d.last.Store(c.(*net.TCPConn))
	return c.(*net.TCPConn), nil
}

// capturing accepts as capture does.
type capturing struct {
	*transport.Listener
	at net.Addr
}

// Addr is where it listens.
func (c *capturing) Addr() net.Addr { return c.at }

// testProxy is a proxy between a client and whatever the test makes of the upstream.
type testProxy struct {
	*notifier
	t      testing.TB
	store  *routes.Table
	server *Server
	events *recordedEvents
	seen   *fakeRecorder
	dialer *plainDialer
	names  *fakeNames
	// captured is where clients connect to, as if they had gone to original.
	captured capturing
	original netip.AddrPort
	// services are what the policy names, by their names.
	services map[string]*policy.Destination
	// roots and pairs are certificates that it names.
	roots map[string]*policy.Roots
	pairs map[string]*policy.KeyPair
	// credentials are what it names for proxies.
	credentials map[string]*policy.Credentials
}

func (w *testProxy) dialerOf(string) upstream.Dialer {
	if w.dialer.gone.Load() {
		return nil
	}
	return w.dialer
}

// buildWith is build with other limits.
func buildWith(t testing.TB, o Options, original netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	b := &notifier{}
	w := &testProxy{
		notifier: b, t: t, original: original,
		events: &recordedEvents{notifier: b, t: t}, seen: &fakeRecorder{notifier: b}, dialer: &plainDialer{notifier: b},
		names: &fakeNames{},
	}
	var err error
	w.store, err = routes.New(routes.Options{Dialer: w.dialerOf, Observer: w.seen, Names: w.names, Traces: true})
	if err != nil {
		t.Fatal(err)
	}
	w.install(bindings...)
	o.Store, o.Events = w.store, w.events
	w.server, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	made, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.captured.at = made.Addr()
	w.captured.Listener, err = transport.NewListener(made.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	w.dialer.captured = w.captured.Addr()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() { _ = w.store.Run(ctx) })
	wg.Go(func() {
		for {
			c, err := w.captured.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.server.ServeCaptured(pod, c, original) })
		}
	})
	t.Cleanup(func() {
		w.captured.Close()
		stop, done := context.WithCancel(context.Background())
		done()
		_ = w.server.Shutdown(stop)
		cancel()
		wg.Wait()
	})
	return w
}
