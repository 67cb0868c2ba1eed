package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// fakeNames is the DNS of a test. Names that it does not know cannot be looked up.
type fakeNames struct {
	mu    sync.Mutex
	known map[string][]netip.Addr
	asked []string
	slow  bool // nobody answers
	// held: nobody answers before it is closed.
	held chan struct{}
	// passing: what is found holds for no time at all.
	passing bool
	// failing is how many look-ups more fail.
	failing int
}

// Lookup implements routes.Names.
func (f *fakeNames) Lookup(ctx context.Context, _, name string) ([]netip.Addr, time.Time, error) {
	f.mu.Lock()
	f.asked = append(f.asked, name)
	addrs, ok := f.known[name]
	slow, held, until := f.slow, f.held, time.Now()
	if f.failing > 0 {
		f.failing--
		ok = false
	}
	if !f.passing {
		until = until.Add(time.Hour)
	}
	f.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		}
	}
	if slow {
		<-ctx.Done()
		return nil, time.Time{}, ctx.Err()
	}
	if !ok {
		return nil, time.Time{}, errors.New("not known")
	}
	return addrs, until, nil
}

func (f *fakeNames) set(name string, addrs ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = map[string][]netip.Addr{}
	}
	f.known[name] = nil
	for _, a := range addrs {
		f.known[name] = append(f.known[name], netip.MustParseAddr(a))
	}
}

// stop has nobody answer from now on.
func (f *fakeNames) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = true
}

// pass has what is found from now on hold for no time at all.
func (f *fakeNames) pass() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passing = true
}

// fail has the next look-ups fail.
func (f *fakeNames) fail(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = n
}

// hold has nobody answer before the barrier is opened.
func (f *fakeNames) hold() *barrier {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := newBarrier()
	f.held = g.C
	return g
}

func (f *fakeNames) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// The addresses of a name, of which nobody answers at dead.
const (
	dead  = "198.51.100.1"
	alive = "198.51.100.2"
	six   = "2001:db8:1::1"
)

// toHost is a binding for a host, for any port.
func toHost(host string, change func(*policy.Settings)) policy.Binding {
	b := toAny(change)
	b.To = policy.Target{Kind: policy.TargetHost, Host: host}
	return b
}

// buildNamed starts a proxy for calls to a dead address of a name, in front of a server that is found at the others.
func buildNamed(t *testing.T, server netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	// A slow machine is not to make the agent look whether the server speaks first: its refusal would be the client's.
	w := buildWith(t, Options{sniffDelay: patience}, netip.MustParseAddrPort(dead+":443"), bindings...)
	w.dialer.at.Store(w.original, closedAddress(t))
	for _, a := range []string{alive, six} {
		w.dialer.at.Store(netip.AddrPortFrom(netip.MustParseAddr(a), 443), server)
	}
	return w
}

// A dead first address of a name is no dead call: another one is tried, whatever the method, since nothing was sent.
//
//enforces:http1 retry.avoidPreviousEndpoints
//enforces:agent to[].host
//notover:intercept its hosts are not all names
func TestRule09_ARetryGoesToAnotherAddressOfTheName(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string // its host
		host   string // as it is called
		addrs  []string
		set    func(*policy.Settings)
		want   int
		asked  string // the name looked up; empty: none
	}{
		"exact":                   {policy: "api.example", host: "api.example", addrs: []string{dead, alive}, want: 200, asked: "api.example"},
		"of the other family":     {policy: "api.example", host: "api.example", addrs: []string{dead, six}, want: 200, asked: "api.example"},
		"by a wildcard":           {policy: "*.example", host: "api.example", addrs: []string{dead, alive}, want: 200, asked: "api.example"},
		"written otherwise":       {policy: "api.example", host: "API.example.:443", addrs: []string{dead, alive}, want: 200, asked: "api.example"},
		"exact, a changed name":   {policy: "api.example", host: "api.example", addrs: []string{alive}, want: 200, asked: "api.example"},
		"a name gone to falsely":  {policy: "*.example", host: "api.example", addrs: []string{alive}, want: 502, asked: "api.example"},
		"no other one":            {policy: "api.example", host: "api.example", addrs: []string{dead}, want: 502, asked: "api.example"},
		"an unknown name":         {policy: "api.example", host: "api.example", want: 502, asked: "api.example"},
		"any host":                {policy: "*", host: "api.example", addrs: []string{dead, alive}, want: 502},
		"an address as host":      {policy: "*.1", host: "198.51.100.1", want: 502},
		"a single label":          {policy: "intranet", host: "intranet", want: 502},
		"no retries":              {policy: "api.example", host: "api.example", addrs: []string{dead, alive}, set: func(s *policy.Settings) { s.Retry.MaxRetries = 0 }, want: 502},
		"not another endpoint":    {policy: "api.example", host: "api.example", addrs: []string{dead, alive}, set: func(s *policy.Settings) { s.Retry.AvoidPreviousEndpoints = false }, want: 502},
		"inside by a name":        {policy: "api.example", host: "api.example", addrs: []string{dead, "10.0.0.1", "127.0.0.1"}, want: 502, asked: "api.example"},
		"none of the conditions":  {policy: "api.example", host: "api.example", addrs: []string{dead, alive}, set: retryOn(policy.ServerError), want: 502},
		"another port's settings": {policy: "api.example", host: "api.example:8443", addrs: []string{dead, alive}, want: 200, asked: "api.example"},
	} {
		t.Run(name, func(t *testing.T) {
			w := buildNamed(t, serve(t, echo), toHost(tc.policy, tc.set))
			if tc.addrs != nil {
				w.names.set("api.example", tc.addrs...)
			}
			c := w.dial()
			c.send("POST /x HTTP/1.1\r\nHost: " + tc.host + "\r\nContent-Length: 2\r\n\r\nhi")
			if r, body := c.response("POST"); r.StatusCode != tc.want {
				t.Errorf("%d %q, want %d", r.StatusCode, body, tc.want)
			}
			if got := w.names.questions(); tc.asked == "" && len(got) > 0 || tc.asked != "" && (len(got) == 0 || got[0] != tc.asked) {
				t.Errorf("looked up %q, want %q", got, tc.asked)
			}
		})
	}
}

// A call that works looks nothing up, and one whose name nobody answers for fails no later than without.
func TestRule00_TheFirstAttemptWaitsForNoName(t *testing.T) {
	server := serve(t, echo)
	w := buildNamed(t, server, toHost("api.example", nil))
	w.dialer.at.Store(w.original, server)
	w.names.stop()
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
	if r, _ := c.response("GET"); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	if asked := w.names.questions(); len(asked) > 0 {
		t.Errorf("looked up %q", asked)
	}
}

func TestRule03_ALookUpEndsWithTheCallsTime(t *testing.T) {
	w := buildNamed(t, serve(t, echo), toHost("api.example", func(s *policy.Settings) { s.Timeouts.Overall = 50 * time.Millisecond }))
	w.names.stop()
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
	if r, _ := c.response("GET"); r.StatusCode != 504 {
		t.Errorf("%d", r.StatusCode)
	}
}

// The next calls leave a dead address out without trying it, and the client's connection goes on.
func TestRule25_ADeadAddressOfANameIsLeftOut(t *testing.T) {
	w := buildNamed(t, serve(t, echo), toHost("api.example", nil))
	w.names.set("api.example", dead, alive)
	c := w.dial()
	for range 4 {
		c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
		if r, _ := c.response("GET"); r.StatusCode != 200 {
			t.Fatalf("%d", r.StatusCode)
		}
	}
	if n := w.dialer.dials.Load(); n > 4 { // each call would have tried it, and dialled once more
		t.Errorf("%d connects", n)
	}
}

// An address that does not answer costs what it costs a client that knows the name's other addresses (RFC 8305), with or without retries.
func TestRule00_AnAddressThatDoesNotAnswerIsOvertaken(t *testing.T) {
	for name, addr := range map[string]string{"the same family": alive, "the other family": six} {
		t.Run(name, func(t *testing.T) {
			w := buildNamed(t, serve(t, echo), toHost("api.example", func(s *policy.Settings) {
				s.Retry.MaxRetries, s.Timeouts.Connect = 0, time.Hour
			}))
			w.dialer.silent.Store(w.original, true)
			w.names.set("api.example", dead, addr)
			c := w.dial()
			for range 2 {
				c.send("POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\nhi")
				if r, _ := c.response("POST"); r.StatusCode != 200 {
					t.Errorf("%d", r.StatusCode)
				}
			}
			if peer := w.seen.lastCall(t).Attempts[0].Peer.Addr().String(); peer != addr {
				t.Errorf("served by %s", peer)
			}
		})
	}
}

// greeter speaks TLS as api.example.
func greeter(t *testing.T) (netip.AddrPort, *tls.Config) {
	t.Helper()
	server, client := certified(t, "api.example")
	return serve(t, func(_ int, p *peer) {
		c := tls.Server(p, server)
		_, _ = io.WriteString(c, "hello")
		_, _ = c.Read(make([]byte, 1))
	}), client
}

// A connection that is passed through is governed by the name that its client gives, and only within what it is connected to.
//
//enforces:opaque retry.avoidPreviousEndpoints
//enforces:agent to[].host to[].tls.mode
func TestRule26_TLSIsGovernedByItsName(t *testing.T) {
	declared := func(p policy.Protocol) func(*policy.Binding) { return func(b *policy.Binding) { b.To.Protocol = p } }
	for name, tc := range map[string]struct {
		host    string
		change  func(*policy.Binding)
		reached bool
	}{
		"by its name":       {host: "api.example", reached: true},
		"by a wildcard":     {host: "*.example", reached: true},
		"declared TLS":      {host: "api.example", change: declared(policy.ProtocolTLS), reached: true},
		"another name":      {host: "other.example"},
		"without any retry": {host: "api.example", change: func(b *policy.Binding) { b.Base.Retry.MaxRetries = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			server, config := greeter(t)
			b := toHost(tc.host, nil)
			if tc.change != nil {
				tc.change(&b)
			}
			w := buildNamed(t, server, b)
			w.names.set("api.example", dead, alive)
			c := tls.Client(w.dial(), config)
			_, err := io.ReadFull(c, make([]byte, 5))
			switch {
			case tc.reached && err != nil:
				t.Errorf("not reached: %v", err)
			case !tc.reached && !errors.Is(err, syscall.ECONNRESET):
				t.Errorf("%v, want a reset", err)
			}
			if asked := w.names.questions(); tc.reached != (len(asked) > 0) {
				t.Errorf("looked up %q", asked)
			}
		})
	}
}

// What names no host is governed by the policy behind those that do.
func TestRule00_ConnectionsWithoutANameComeUnderTheNextPolicy(t *testing.T) {
	for name, first := range map[string]string{"another protocol": "HELO there\r\n", "no TLS after all": "\x16\x03\x01\x00\x04\x02\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			other := declaredTCP(func(s *policy.Settings) { s.Retry.MaxRetries = 2 })
			other.Key = "other"
			w := build(t, serve(t, copying), toHost("api.example", nil), other)
			w.dialer.refuse.Store(2)
			c := w.dial()
			c.send(first)
			if _, err := io.ReadFull(c, make([]byte, len(first))); err != nil {
				t.Errorf("not retried: %v", err)
			}
		})
	}
}

// certified makes a server's configuration for a name, and that of a client that trusts it.
func certified(t *testing.T, name string) (server, client *tls.Config) {
	t.Helper()
	cert, pool := certificateFor(t, name)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{ServerName: name, RootCAs: pool}
}

var _ net.Conn = (*client)(nil)
