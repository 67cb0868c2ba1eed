package upstream

import (
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// What a server does to its connection right after its response is seen however soon the next request comes.
func TestRule25_AConnectionIsLookedAtHoweverFreshItIs(t *testing.T) {
	for name, tc := range map[string]func(s *server){
		"closed":        func(s *server) { s.closeAll() },
		"bytes unasked": func(s *server) { s.say(t, "HTTP/1.1 200 OK\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t)
			p, _ := newPool(t, nil, s.addr)
			a := take(t, p, ticket())
			eventually(t, func() bool { return s.open.Load() == 1 }) // accepted
			tc(s)
			eventually(t, func() bool { return a.Peek() != 0 })
			now := time.Now()
			a.Release(true, now)
			tk := ticket()
			p.Acquire(tk)
			if c := p.Redeem(tk, now); c != nil {
				t.Error("it was taken for the next request")
			}
			p.Cancel(tk)
			eventually(t, func() bool { return s.open.Load() == 0 })
			if got := p.Stats(); got != (Stats{}) {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// When several dead connections are found, what had to make room for others meanwhile is closed too.
func TestADiscardedConnectionFreesItsPlace(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *Options) { o.Limits.MaxConnections = 2 }, s.addr)
	a, b := take(t, p, ticket()), take(t, p, ticket())
	eventually(t, func() bool { return s.open.Load() == 2 })
	s.closeAll()
	eventually(t, func() bool { return departed(a) && departed(b) })
	now := time.Now()
	a.Release(true, now)
	b.Release(true, now)
	first, second, third := ticket(), ticket(), ticket()
	p.Acquire(first)
	p.Acquire(second)
	if p.Acquire(third) != Queued {
		t.Fatal("three places of two")
	}
	c := redeem(t, p, first)
	d := redeem(t, p, second)
	c.Release(true, now)
	<-third.Ready()
	e := redeem(t, p, third)
	if e != c || d.Reused() || c.Reused() == false {
		t.Error("the wrong connections were used")
	}
	if got := p.Stats(); got != (Stats{Active: 2}) {
		t.Errorf("stats %+v", got)
	}
	d.Release(false, now)
	e.Release(false, now)
}

func TestRule25_CarefulTicketsTakeWhatHasProvedAlive(t *testing.T) {
	const me, other = 7, 8
	for name, tc := range map[string]struct {
		user   uint64
		client uint64
		idle   time.Duration
		reused bool
	}{
		"used just now":                         {other, me, provenFor - 1, true},
		"used a while ago":                      {other, me, provenFor, false},
		"used a while ago by the same client":   {me, me, time.Minute - time.Second, true},
		"used a while ago by nobody one knows":  {0, 0, provenFor, false},
		"used just now by nobody that is known": {0, 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newPool(t, nil, listen(t).addr)
			now := time.Now()
			tk := ticket()
			tk.Client = tc.user
			kept := take(t, p, tk)
			kept.Release(true, now)
			now = now.Add(tc.idle)
			careful := ticket()
			careful.Client, careful.Careful = tc.client, true
			p.Acquire(careful)
			c := p.Redeem(careful, now)
			if (c != nil) != tc.reused {
				t.Fatalf("reused: %v, want %v", c != nil, tc.reused)
			}
			if c == nil {
				var err error
				if c, err = p.Dial(t.Context(), careful); err != nil {
					t.Fatal(err)
				}
				if got := p.Stats(); got != (Stats{Active: 1, Idle: 1}) {
					t.Errorf("stats %+v: the other stays for those who may take it", got)
				}
				easy := ticket()
				p.Acquire(easy)
				if p.Redeem(easy, now) != kept || d.dials.Load() != 2 {
					t.Error("a request that may be sent again did not get the kept connection")
				}
				kept.Release(false, now)
			}
			c.Release(false, now)
			if got := p.Stats(); got != (Stats{}) {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// Among several idle connections the client's own is found, however many others were used since.
func TestRule25_ACarefulTicketFindsItsClientsConnection(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	now := time.Now()
	var conns []*Conn
	for client := range uint64(4) {
		tk := ticket()
		tk.Client = client + 1
		conns = append(conns, take(t, p, tk))
	}
	for i, c := range conns {
		c.Release(true, now.Add(time.Duration(i)*time.Millisecond))
	}
	tk := ticket()
	tk.Client, tk.Careful = 2, true
	p.Acquire(tk)
	c := p.Redeem(tk, now.Add(10*time.Second))
	if c != conns[1] || d.dials.Load() != 4 {
		t.Fatal("another connection was taken")
	}
	c.Release(true, now.Add(10*time.Second))
	at := c.at
	if !slices.IsSortedFunc(at.idle, func(a, b *Conn) int { return a.idleSince.Compare(b.idleSince) }) || len(at.idle) != 4 {
		t.Error("the order by age is lost")
	}
}

// The limits hold for the new connection of a careful ticket as well: the kept one makes room.
func TestRule25_LimitsHoldForCarefulTickets(t *testing.T) {
	for name, limit := range map[string]func(*policy.Pool){
		"of the pool":     func(l *policy.Pool) { l.MaxConnections = 1 },
		"of the endpoint": func(l *policy.Pool) { l.MaxConnectionsPerEndpoint = 1 },
		"of idle ones":    func(l *policy.Pool) { l.MaxIdlePerEndpoint = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t)
			p, _ := newPool(t, func(o *Options) { limit(&o.Limits) }, s.addr)
			now := time.Now()
			take(t, p, ticket()).Release(true, now)
			now = now.Add(time.Second)
			tk := ticket()
			tk.Careful = true
			p.Acquire(tk)
			if p.Redeem(tk, now) != nil {
				t.Fatal("an unproven connection was taken")
			}
			c, err := p.Dial(t.Context(), tk)
			if err != nil {
				t.Fatal(err)
			}
			if name != "of idle ones" {
				eventually(t, func() bool { return s.open.Load() == 1 })
				if got := p.Stats(); got != (Stats{Active: 1}) {
					t.Errorf("stats %+v", got)
				}
			}
			c.Release(true, now)
			if got := p.Stats(); got != (Stats{Idle: 1}) {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

func TestRule25_AServersOwnLimitHolds(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *Options) { o.Limits.IdleTimeout = 0 }, s.addr)
	now := time.Now()
	use := func(hint time.Duration) *Conn {
		c := take(t, p, ticket())
		c.LimitIdle(hint)
		c.Release(true, now)
		return c
	}
	c := use(5 * time.Second)
	if got := use(5 * time.Second); got != c {
		t.Error("it was not used again in time")
	}
	p.sweep(now.Add(4*time.Second - 1))
	if p.Stats().Idle != 1 {
		t.Error("it was closed too early")
	}
	tk := ticket()
	p.Acquire(tk)
	if p.Redeem(tk, now.Add(4*time.Second)) != nil {
		t.Error("it was used within a second of the server's own end")
	}
	p.Cancel(tk)
	use(5 * time.Second)
	p.sweep(now.Add(4 * time.Second))
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v: a sweep left it", got)
	}
	use(time.Second) // too short to be of use
	use(0)
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
	eventually(t, func() bool { return s.open.Load() == 0 })
}

// A long-lived tunnel counts against no limit.
func TestRule25_TunnelsDoNotCountAgainstLimits(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *Options) { o.Limits.MaxConnections, o.Limits.MaxConnectionsPerEndpoint = 1, 1 }, s.addr)
	var tunnels []*Conn
	for range 3 {
		c := take(t, p, ticket())
		waiting := ticket()
		if p.Acquire(waiting) != Queued {
			t.Fatal("the limit does not hold before")
		}
		c.Detach()
		c.Detach()
		<-waiting.Ready()
		p.Cancel(waiting)
		tunnels = append(tunnels, c)
	}
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
	p.Close()
	for _, c := range tunnels {
		if _, err := c.TryWrite([]byte("x")); err != nil {
			t.Errorf("a tunnel was cut: %v", err)
		}
		c.Release(true, time.Now()) // closes it, and nothing else
	}
	eventually(t, func() bool { return s.open.Load() == 0 })
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

func TestRule25_NothingWaitsWithoutLimits(t *testing.T) {
	for _, balancing := range []policy.LoadBalancing{policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint, policy.ClusterIP} {
		p, _ := newPool(t, func(o *Options) { o.LoadBalancing, o.Limits.MaxPending = balancing, 0 }, addresses(3)...)
		for i := range 2000 {
			tk := ticket()
			tk.Original, tk.Fresh = addresses(4)[3], i%2 == 0
			if a := p.Acquire(tk); a != Granted {
				t.Fatalf("call %d of balancing %v: answer %d", i, balancing, a)
			}
		}
	}
}

// A grant that comes together with the end of a caller's patience is not lost: whoever gives up is told.
func TestRule25_AGrantWinsOverAnImpatientCaller(t *testing.T) {
	p, _ := newPool(t, func(o *Options) { o.Limits.MaxConnections = 1 }, listen(t).addr)
	c := take(t, p, ticket())
	tk := ticket()
	p.Acquire(tk)
	if p.CancelQueued(tk) {
		t.Error("nothing was granted yet")
	}
	if got := p.Stats(); got.Waiting != 0 {
		t.Errorf("stats %+v", got)
	}
	p.Acquire(tk)
	c.Release(true, time.Now())
	if !p.CancelQueued(tk) {
		t.Fatal("the grant was lost")
	}
	if len(tk.Ready()) > 0 {
		t.Error("it is still announced")
	}
	if redeem(t, p, tk) != c {
		t.Error("another connection")
	}
	p.Acquire(tk)
	c.Release(true, time.Now())
	if !p.Cancel(tk) {
		t.Error("a grant was given back without a word")
	}
	if p.Cancel(tk) || p.CancelQueued(tk) {
		t.Error("granted twice")
	}
}

// Sweeps find connections that cannot be used again, bounded in number each time.
func TestRule25_SweepsCloseWhatIsUnfit(t *testing.T) {
	const n = 3*looksPerSweep/2 + 1
	s := listen(t)
	p, _ := newPool(t, nil, s.addr, listen(t).addr)
	var conns []*Conn
	for range n {
		conns = append(conns, take(t, p, ticket()))
	}
	mine := slices.DeleteFunc(slices.Clone(conns), func(c *Conn) bool { return c.Peer() != s.addr })
	eventually(t, func() bool { return int(s.open.Load()) == len(mine) })
	s.closeAll()
	for _, c := range mine {
		eventually(t, func() bool { return departed(c) })
	}
	now := time.Now()
	for _, c := range conns {
		c.Release(true, now)
	}
	p.sweep(now)
	if got := p.Stats().Idle; got < n-looksPerSweep {
		t.Errorf("%d of %d are left: more was looked at than may be", got, n)
	}
	for range 4 {
		p.sweep(now)
	}
	if got := p.Stats(); got != (Stats{Idle: n - len(mine)}) {
		t.Errorf("stats %+v, want %d idle", got, n-len(mine))
	}
}
