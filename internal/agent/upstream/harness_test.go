package upstream

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// plainDialer dials without a namespace, or fails with err.
type plainDialer struct {
	dials atomic.Int64
	err   error
	last  atomic.Pointer[net.TCPConn] // the connection made last
}

func (d *plainDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	d.dials.Add(1)
	if d.err != nil {
		return nil, d.err
	}
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	d.last.Store(c.(*net.TCPConn))
	return c.(*net.TCPConn), nil
}

// departed reports whether the server has ended its side.
func departed(l Lease) bool { return l.Ending() != transport.Open }

// server accepts connections and counts those that are open.
type server struct {
	addr netip.AddrPort
	mu   sync.Mutex
	all  []net.Conn
	// ended says that the test is over.
	ended bool
	open  atomic.Int64
	most  atomic.Int64
}

func listen(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: netip.MustParseAddrPort(l.Addr().String())}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.all = append(s.all, c)
			ended := s.ended
			s.mu.Unlock()
			if ended { // accepted while the test ended: nobody else will close it
				c.Close()
				return
			}
			s.most.Store(max(s.most.Load(), s.open.Add(1)))
			wg.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				s.open.Add(-1)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		l.Close()
		s.closeAll()
		wg.Wait()
	})
	return s
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		c.Close()
	}
}

// say sends something on every connection.
func (s *server) say(t testing.TB, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if _, err := io.WriteString(c, what); err != nil {
			t.Error(err)
		}
	}
}

// setup is what a test's pool and its cluster are made of.
type setup struct {
	Options
	LoadBalancing policy.LoadBalancing
	KeepFor       time.Duration // Balancing.Affinity
}

func newPool(t testing.TB, change func(*setup), endpoints ...netip.AddrPort) (*Pool, *plainDialer) {
	t.Helper()
	d := &plainDialer{}
	s := setup{Options: Options{Dialer: d, Limits: policy.Defaults().Pool}}
	if change != nil {
		change(&s)
	}
	s.Cluster = NewCluster(Balancing{Policy: s.LoadBalancing, Affinity: s.KeepFor}, endpoints)
	return poolOf(t, s.Options), d
}

func poolOf(t testing.TB, o Options) *Pool {
	t.Helper()
	p, err := NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// setHosts replaces the hosts of a pool's cluster.
func setHosts(p *Pool, endpoints ...netip.AddrPort) {
	p.cluster.Update(p.cluster.hosts.Load().balancing, endpoints)
}

// asking is a request with what its owner does to wait for it.
type asking struct {
	Request
	woken chan struct{}
	lease Lease // when the answer was Ready
}

func request() *asking {
	r := &asking{woken: make(chan struct{}, 1)}
	r.Wake = func() { r.woken <- struct{}{} } // blocks for ever if it is called twice
	return r
}

func (r *asking) ask(p *Pool) Answer { return r.askAt(p, time.Now()) }

func (r *asking) askAt(p *Pool, now time.Time) (a Answer) {
	a, r.lease = p.Acquire(now, &r.Request)
	return a
}

// granted asks and reports whether the request was served at once.
func (r *asking) granted(p *Pool) bool { return r.ask(p) <= Dial }

func (r *asking) peer() netip.AddrPort { return r.Host().Addr() }

// cancel gives up a request, or the lease that it has become.
func (r *asking) cancel(p *Pool) (wasGranted bool) {
	if r.lease.Conn != nil {
		p.putBack(time.Now(), r.lease.Conn)
		r.lease = Lease{}
		return true
	}
	wasGranted = p.Cancel(time.Now(), &r.Request)
	r.forgetWake()
	return wasGranted
}

func (r *asking) cancelParked(p *Pool) (wasGranted bool) {
	wasGranted = p.CancelParked(&r.Request)
	r.forgetWake()
	return wasGranted
}

func (r *asking) forgetWake() {
	select {
	case <-r.woken:
	default:
	}
}

// take takes a connection that must be there.
func take(t testing.TB, p *Pool, r *asking) Lease {
	t.Helper()
	switch a := r.ask(p); a {
	case Ready:
		return r.lease
	case Dial:
		return dial(t, p, r)
	default:
		t.Fatalf("answer %d, want Ready or Dial", a)
		return Lease{}
	}
}

// redeem redeems a request that was woken.
func redeem(t testing.TB, p *Pool, r *asking) Lease {
	t.Helper()
	if a, l := p.Redeem(time.Now(), &r.Request); a == Ready {
		return l
	}
	return dial(t, p, r)
}

func dial(t testing.TB, p *Pool, r *asking) Lease {
	t.Helper()
	l, err := p.Dial(t.Context(), &r.Request)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually polls for what tells of itself when asked only.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true")
		}
	}
}

func addresses(n int) (out []netip.AddrPort) {
	for i := range n {
		out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}), 9))
	}
	return out
}

// checkSums checks that a pool's sums are those of its parts.
func checkSums(t *testing.T, p *Pool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var open, idle, shared, known int
	for _, hc := range p.allConns() {
		addr := hc.host.addr
		open, idle, shared = open+hc.open, idle+len(hc.idle), shared+len(hc.shared)
		checkLoads(t, p, hc)
		if len(hc.idle) > 0 && p.withIdle[hc.index] != hc {
			t.Errorf("%v is not where it should be among those with idle connections", addr)
		}
		if hc.unreachable.Load() != (hc.outage.lasts > 0) || hc.unreachable.Load() != slices.Contains(p.down, hc) {
			t.Errorf("%v: unreachable %v, outage %v", addr, hc.unreachable.Load(), hc.outage)
		}
	}
	for _, hc := range p.listed {
		if hc != nil {
			known++
		}
	}
	if open != p.open || idle != p.idle || shared != p.shared || known != p.known {
		t.Errorf("open %d %d, idle %d %d, shared %d %d, known %d %d", open, p.open, idle, p.idle, shared, p.shared, known, p.known)
	}
	if slices.ContainsFunc(p.withIdle, func(hc *hostConns) bool { return len(hc.idle) == 0 }) {
		t.Error("a host without idle connections is among those with some")
	}
	checkWaiting(t, p)
}

// checkLoads checks that multiplexed connections are listed as what they can take.
func checkLoads(t *testing.T, p *Pool, hc *hostConns) {
	t.Helper()
	barred := 0
	for _, c := range slices.Concat(hc.shared, hc.full, hc.idle) {
		if c.barred {
			barred++
		}
		if c.barred != (c.multiplexed && c.capacity == 0 && !p.closed && !c.draining) || c.multiplexed && c.capacity > p.streamLimit() {
			t.Errorf("capacity %d, barred %v", c.capacity, c.barred)
		}
	}
	for _, c := range hc.shared {
		if c.load != hasRoom || c.inUse >= c.capacity || c.inUse == 0 {
			t.Errorf("%d of %d exchanges, listed as one with room", c.inUse, c.capacity)
		}
	}
	for _, c := range hc.full {
		if c.load != isFull || c.inUse < c.capacity || c.inUse == 0 {
			t.Errorf("%d of %d exchanges, listed as full", c.inUse, c.capacity)
		}
	}
	if barred > hc.barred {
		t.Errorf("%d connections take nothing, %d are counted", barred, hc.barred)
	}
}

func (p *Pool) allConns() (all []*hostConns) {
	for _, hc := range p.listed {
		if hc != nil {
			all = append(all, hc)
		}
	}
	for _, hc := range p.unlisted {
		all = append(all, hc)
	}
	return all
}
