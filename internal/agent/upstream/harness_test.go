package upstream

import (
	"context"
	"io"
	"net"
	"net/netip"
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

// plainDialer dials without a namespace, or fails as told.
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
func departed(c *Conn) bool { return c.Ending() != transport.Open }

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

func newPool(t testing.TB, change func(*Options), endpoints ...netip.AddrPort) (*Pool, *plainDialer) {
	t.Helper()
	d := &plainDialer{}
	o := Options{Dialer: d, Limits: policy.Defaults().Pool, Endpoints: endpoints}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, d
}

func ticket() *Request {
	t := &Request{}
	t.Init()
	return t
}

// take takes a connection that must be there.
func take(t testing.TB, p *Pool, tk *Request) *Conn {
	t.Helper()
	if a := p.Acquire(tk); a != Granted {
		t.Fatalf("answer %d, want Granted", a)
	}
	return redeem(t, p, tk)
}

func redeem(t testing.TB, p *Pool, tk *Request) *Conn {
	t.Helper()
	if c := p.Redeem(tk, time.Now()); c != nil {
		return c
	}
	c, err := p.Dial(t.Context(), tk)
	if err != nil {
		t.Fatal(err)
	}
	return c
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
	var open, idle, withIdle, unhealthy, down int
	for addr, at := range p.byAddr {
		open, idle = open+at.open, idle+len(at.idle)
		if len(at.idle) > 0 {
			withIdle++
			if p.withIdle[at.place] != at {
				t.Errorf("%v is not where it should be among those with idle connections", addr)
			}
		}
		if at.health != nil {
			unhealthy++
			if at.health.downFor > 0 {
				down++
			}
		}
		if at.unhealthy.Load() != (at.health != nil) || at.open != at.active+len(at.idle) {
			t.Errorf("%v: open %d, active %d, idle %d, unhealthy %v", addr, at.open, at.active, len(at.idle), at.unhealthy.Load())
		}
	}
	if open != p.open || idle != p.idle || withIdle != len(p.withIdle) || unhealthy != p.unhealthy || down != p.down {
		t.Errorf("open %d %d, idle %d %d, withIdle %d %d, unhealthy %d %d, down %d %d",
			open, p.open, idle, p.idle, withIdle, len(p.withIdle), unhealthy, p.unhealthy, down, p.down)
	}
}
