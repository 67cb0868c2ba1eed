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
			a := take(t, p, request())
			eventually(t, func() bool { return s.open.Load() == 1 }) // accepted
			tc(s)
			eventually(t, func() bool { return a.Peek() != 0 })
			now := time.Now()
			a.Release(now, true)
			r := request()
			if r.askAt(p, now) != Dial {
				t.Error("it was taken for the next request")
			}
			r.cancel(p)
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
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections = 2 }, s.addr)
	a, b := take(t, p, request()), take(t, p, request())
	eventually(t, func() bool { return s.open.Load() == 2 })
	s.closeAll()
	eventually(t, func() bool { return departed(a) && departed(b) })
	now := time.Now()
	a.Release(now, true)
	b.Release(now, true)
	first, second, third := request(), request(), request()
	first.ask(p)
	second.ask(p)
	if third.ask(p) != Parked {
		t.Fatal("three places of two")
	}
	c := redeem(t, p, first)
	d := redeem(t, p, second)
	c.Release(now, true)
	<-third.woken
	e := redeem(t, p, third)
	if e.Conn != c.Conn || d.Reused() || !e.Reused() {
		t.Error("the wrong connections were used")
	}
	if got := p.Stats(); got != (Stats{Active: 2}) {
		t.Errorf("stats %+v", got)
	}
	d.Release(now, false)
	e.Release(now, false)
}

func TestRule25_CarefulRequestsTakeWhatHasProvedAlive(t *testing.T) {
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
			r := request()
			r.Client = tc.user
			kept := take(t, p, r)
			kept.Release(now, true)
			now = now.Add(tc.idle)
			careful := request()
			careful.Client, careful.Careful = tc.client, true
			a := careful.askAt(p, now)
			if (a == Ready) != tc.reused {
				t.Fatalf("reused: %v, want %v", a == Ready, tc.reused)
			}
			c := careful.lease
			if a == Dial {
				c = dial(t, p, careful)
				if got := p.Stats(); got != (Stats{Active: 1, Idle: 1}) {
					t.Errorf("stats %+v: the other stays for those who may take it", got)
				}
				easy := request()
				if easy.askAt(p, now) != Ready || easy.lease.Conn != kept.Conn || d.dials.Load() != 2 {
					t.Error("a request that may be sent again did not get the kept connection")
				}
				easy.lease.Release(now, false)
			}
			c.Release(now, false)
			if got := p.Stats(); got != (Stats{}) {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// Among several idle connections the client's own is found, however many others were used since.
func TestRule25_ACarefulRequestFindsItsClientsConnection(t *testing.T) {
	p, d := newPool(t, nil, listen(t).addr)
	now := time.Now()
	var conns []Lease
	for client := range uint64(4) {
		r := request()
		r.Client = client + 1
		conns = append(conns, take(t, p, r))
	}
	for i, c := range conns {
		c.Release(now.Add(time.Duration(i)*time.Millisecond), true)
	}
	r := request()
	r.Client, r.Careful = 2, true
	r.askAt(p, now.Add(10*time.Second))
	c := r.lease
	if c.Conn != conns[1].Conn || d.dials.Load() != 4 {
		t.Fatal("another connection was taken")
	}
	c.Release(now.Add(10*time.Second), true)
	hc := c.to
	if !slices.IsSortedFunc(hc.idle, func(a, b *Conn) int { return a.idleSince.Compare(b.idleSince) }) || len(hc.idle) != 4 {
		t.Error("the order by age is lost")
	}
}

// The limits hold for the new connection of a careful request as well: the kept one makes room.
func TestRule25_LimitsHoldForCarefulRequests(t *testing.T) {
	for name, limit := range map[string]func(*policy.Pool){
		"of the pool":     func(l *policy.Pool) { l.MaxConnections = 1 },
		"of the endpoint": func(l *policy.Pool) { l.MaxConnectionsPerEndpoint = 1 },
		"of idle ones":    func(l *policy.Pool) { l.MaxIdlePerEndpoint = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t)
			p, _ := newPool(t, func(o *setup) { limit(&o.Limits) }, s.addr)
			now := time.Now()
			take(t, p, request()).Release(now, true)
			now = now.Add(time.Second)
			r := request()
			r.Careful = true
			if r.askAt(p, now) != Dial {
				t.Fatal("an unproven connection was taken")
			}
			c := dial(t, p, r)
			if name != "of idle ones" {
				eventually(t, func() bool { return s.open.Load() == 1 })
				if got := p.Stats(); got != (Stats{Active: 1}) {
					t.Errorf("stats %+v", got)
				}
			}
			c.Release(now, true)
			if got := p.Stats(); got != (Stats{Idle: 1}) {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

func TestRule25_AServersOwnLimitHolds(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(o *setup) { o.Limits.IdleTimeout = 0 }, s.addr)
	now := time.Now()
	use := func(hint time.Duration) Lease {
		c := take(t, p, request())
		c.LimitIdle(hint)
		c.Release(now, true)
		return c
	}
	c := use(5 * time.Second)
	if got := use(5 * time.Second); got.Conn != c.Conn {
		t.Error("it was not used again in time")
	}
	p.sweep(now.Add(4*time.Second - 1))
	if p.Stats().Idle != 1 {
		t.Error("it was closed too early")
	}
	r := request()
	if r.askAt(p, now.Add(4*time.Second)) != Dial {
		t.Error("it was used within a second of the server's own end")
	}
	r.cancel(p)
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
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections, o.Limits.MaxConnectionsPerEndpoint = 1, 1 }, s.addr)
	var tunnels []Lease
	for range 3 {
		c := take(t, p, request())
		waiting := request()
		if waiting.ask(p) != Parked {
			t.Fatal("the limit does not hold before")
		}
		c.Detach(time.Now())
		c.Detach(time.Now())
		<-waiting.woken
		waiting.cancel(p)
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
		c.Release(time.Now(), true) // closes it, and nothing else
	}
	eventually(t, func() bool { return s.open.Load() == 0 })
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v", got)
	}
}

func TestRule25_NothingWaitsWithoutLimits(t *testing.T) {
	for _, balancing := range []policy.LoadBalancing{policy.LeastRequest, policy.RoundRobin, policy.RandomEndpoint, policy.ClusterIP} {
		p, _ := newPool(t, func(o *setup) { o.LoadBalancing, o.Limits.MaxPending = balancing, 0 }, addresses(3)...)
		for i := range 2000 {
			r := request()
			r.Original, r.Fresh = addresses(4)[3], i%2 == 0
			if a := r.ask(p); a != Dial {
				t.Fatalf("call %d of balancing %v: answer %d", i, balancing, a)
			}
		}
	}
}

// A grant that comes together with the end of a caller's patience is not lost: whoever gives up learns of it.
func TestRule25_AGrantWinsOverAnImpatientCaller(t *testing.T) {
	p, _ := newPool(t, func(o *setup) { o.Limits.MaxConnections = 1 }, listen(t).addr)
	c := take(t, p, request())
	r := request()
	r.ask(p)
	if r.cancelParked(p) {
		t.Error("nothing was granted yet")
	}
	if got := p.Stats(); got.Waiting != 0 {
		t.Errorf("stats %+v", got)
	}
	r.ask(p)
	c.Release(time.Now(), true)
	if !r.cancelParked(p) {
		t.Fatal("the grant was lost")
	}
	if len(r.woken) > 0 {
		t.Error("its owner is still woken")
	}
	if redeem(t, p, r).Conn != c.Conn {
		t.Error("another connection")
	}
	r.ask(p)
	c.Release(time.Now(), true)
	if !r.cancel(p) {
		t.Error("a grant was given back unnoticed")
	}
	if r.cancel(p) || r.cancelParked(p) {
		t.Error("granted twice")
	}
}

// Sweeps find connections that cannot be used again, bounded in number each time.
func TestRule25_SweepsCloseWhatIsUnfit(t *testing.T) {
	const n = 3*looksPerSweep/2 + 1
	s := listen(t)
	p, _ := newPool(t, nil, s.addr, listen(t).addr)
	var conns []Lease
	for range n {
		conns = append(conns, take(t, p, request()))
	}
	mine := slices.DeleteFunc(slices.Clone(conns), func(c Lease) bool { return c.Peer() != s.addr })
	eventually(t, func() bool { return int(s.open.Load()) == len(mine) })
	s.closeAll()
	for _, c := range mine {
		eventually(t, func() bool { return departed(c) })
	}
	now := time.Now()
	for _, c := range conns {
		c.Release(now, true)
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
