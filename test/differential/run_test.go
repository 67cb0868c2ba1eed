package differential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// setting is what stands around a scenario. The zero value is a Service of one endpoint, with addresses of IPv4.
type setting struct {
	// endpoints are the servers behind the Service; nil means the first.
	endpoints []int
	// empty: the Service has no endpoints.
	empty bool
	// host is what the client names in the Host field; empty is the server's usual name and port.
	host string
	// v6: called by IPv6.
	v6 bool
	// choice is how the node picks an endpoint, and asks what in the Service says so; nil if it says nothing.
	choice string
	asks   func(r *run, d *policy.Destination)
}

// run is one performance of a scenario.
type run struct {
	testing.TB
	world    *world
	kind     kind
	governed bool
	seen     *observation
	setting  setting

	agent     *agent // nil in direct runs
	endpoints []netip.AddrPort
	programs  sync.WaitGroup
	killers   [2][]func() // of programs and other clients in the pod, and elsewhere
	stopAll   context.CancelFunc
	ctx       context.Context

	listeners []*net.TCPListener
	accepting sync.WaitGroup // accept loops and handlers

	mu       sync.Mutex
	clients  []*peer
	accepted map[int]int
	servers  []*peer
	scripted bool // a script has taken the place of the usual server
	marks    map[string]chan struct{}
}

func (w *world) newRun(t testing.TB, s *scenario, k kind, governed bool) *run {
	r := &run{TB: t, world: w, kind: k, governed: governed, seen: newObservation(), setting: s.setting, accepted: map[int]int{},
		marks: map[string]chan struct{}{}}
	r.ctx, r.stopAll = context.WithTimeout(context.Background(), time.Minute)
	if r.setting.endpoints == nil && !r.setting.empty {
		r.setting.endpoints = []int{0}
	}
	if r.setting.choice == "" {
		r.setting.choice = inTurn
	}
	return r
}

// begin prepares the world: what the node does and, in governed runs, the agent and its policy.
func (r *run) begin() {
	if r.kind.proxied {
		r.serveProxy()
	}
	r.setEndpoints(r.setting.endpoints...)
}

// setEndpoints says which servers are behind the Service from now on.
func (r *run) setEndpoints(servers ...int) {
	r.endpoints = nil
	for _, i := range servers {
		r.endpoints = append(r.endpoints, r.at(i))
	}
	r.world.nft(r, r.world.node, "flush chain inet kube translate\nflush chain inet kube refuse")
	r.world.translate(r, r.clusterIP(), r.endpoints, r.setting.choice)
	r.install()
}

// install puts the policy in force in governed runs.
func (r *run) install() {
	if !r.governed {
		return
	}
	if r.agent == nil {
		r.agent = startAgent(r, r.world)
	}
	clusterIPs := []netip.Addr{r.clusterIP().Addr()}
	if r.kind.name == headless.name {
		clusterIPs = nil
	}
	endpoints := slices.Clone(r.endpoints)
	slices.SortFunc(endpoints, netip.AddrPort.Compare)
	d := destination(clusterIPs, endpoints)
	if r.setting.asks != nil && clusterIPs != nil {
		r.setting.asks(r, d)
	}
	r.agent.Install(r, snapshot(r, d))
	r.agent.detect(r, r.world, r.clusterIP())
}

// forgetPolicy removes the policy in governed runs.
func (r *run) forgetPolicy() {
	if r.agent != nil {
		r.agent.Install(r, emptySnapshot)
	}
}

// end brings the run to its end: clients first, then the agent, then servers, as far as they have not come to theirs.
func (r *run) end() {
	r.mu.Lock()
	for _, c := range r.clients {
		c.close()
	}
	killers := r.killers
	r.mu.Unlock()
	for _, kill := range killers[0] {
		kill()
	}
	if r.agent != nil {
		r.agent.Stop()
	}
	for _, kill := range killers[1] {
		kill()
	}
	r.programs.Wait()
	for _, l := range r.listeners {
		_ = l.Close()
	}
	done := make(chan struct{})
	go func() { r.accepting.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		r.mu.Lock()
		for _, s := range r.servers {
			s.reset()
		}
		r.mu.Unlock()
		<-done
	}
	r.stopAll()
}

// at is where server i listens.
func (r *run) at(i int) netip.AddrPort {
	a := serverAddrs(i)
	if r.setting.v6 {
		return netip.AddrPortFrom(a.v6, serverPort)
	}
	return netip.AddrPortFrom(a.v4, serverPort)
}

func (r *run) clusterIP() netip.AddrPort {
	a := serviceAddrs
	if r.kind.name == translated.name {
		a = translatedAddrs
	}
	if r.setting.v6 {
		return netip.AddrPortFrom(a.v6, servicePort)
	}
	return netip.AddrPortFrom(a.v4, servicePort)
}

// addr is where the client calls.
func (r *run) addr() netip.AddrPort {
	if r.kind.direct {
		return r.at(0)
	}
	return r.clusterIP()
}

func (r *run) port() uint16 { return r.addr().Port() }

// authority is what the client writes into the Host field.
func (r *run) authority() string {
	return cmp.Or(r.setting.host, fmt.Sprintf("%s:%d", serverName, r.port()))
}

// mark and after order what different actors do.
func (r *run) mark(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.channel(name)
	select {
	case <-c:
	default:
		close(c)
	}
}

// after waits for a mark. It reports false, and notes it, when it does not come.
func (r *run) after(name string) bool {
	r.mu.Lock()
	c := r.channel(name)
	r.mu.Unlock()
	select {
	case <-c:
		return true
	case <-time.After(patience + time.Second):
		r.seen.note("script", "it never came to %q", name)
		return false
	}
}

func (r *run) channel(name string) chan struct{} {
	c := r.marks[name]
	if c == nil {
		c = make(chan struct{})
		r.marks[name] = c
	}
	return c
}

// timed notes the class of the time that something takes.
func (r *run) timed(name string, fn func()) {
	start := time.Now()
	fn()
	r.seen.span(name, time.Since(start))
}

// serve has server i handle every connection by a script.
func (r *run) serve(i int, script func(p *peer)) {
	l := r.listen(i, serverPort)
	r.accept(i, l, script)
}

func (r *run) accept(i int, l *net.TCPListener, script func(p *peer)) {
	r.accepting.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.accepted[i]++
			who := fmt.Sprintf("server %d, connection %d", i, r.accepted[i])
			p := newPeer(r, who, c)
			r.servers = append(r.servers, p)
			r.mu.Unlock()
			r.accepting.Go(func() {
				defer p.close()
				if r.secureServer(p) {
					script(p)
				}
			})
		}
	})
}

// listen listens at server i on both families.
func (r *run) listen(i int, port uint16) *net.TCPListener {
	return r.listenAt(i, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
}

func (r *run) listenAt(i int, at netip.AddrPort) *net.TCPListener {
	r.Helper()
	network := "tcp"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	var l net.Listener
	var err error
	for range 100 { // a server that has just ended may hold the port for a moment
		err = r.world.servers[i].Do(func() (err error) {
			l, err = (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), network, at.String())
			return err
		})
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	check(r, err)
	tcp := l.(*net.TCPListener)
	r.mu.Lock()
	r.listeners = append(r.listeners, tcp)
	r.mu.Unlock()
	return tcp
}

// dial connects as a client in the pod does. When that fails, it notes how and returns nil.
func (r *run) dial() *peer { return r.dialAs("client", r.addr(), patience) }

// dialAs connects a client of that name to an address, within a time.
func (r *run) dialAs(who string, to netip.AddrPort, within time.Duration) *peer {
	ctx, cancel := context.WithTimeout(r.ctx, within)
	defer cancel()
	c, err := r.reach(ctx, to)
	if err != nil {
		if !strings.HasPrefix(who, "quiet") {
			r.seen.note(who, "cannot connect: %s", errorClass(err))
		}
		return nil
	}
	p := newPeer(r, who, c)
	p.silent = strings.HasPrefix(who, "quiet")
	if !r.secureClient(p) {
		return nil
	}
	r.mu.Lock()
	r.clients = append(r.clients, p)
	r.mu.Unlock()
	return p
}

// dialled reports whether a client connected.
func (r *run) dialled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.clients)+len(r.killers[0]) > 0
}

// client runs a script on a new connection.
func (r *run) client(script func(p *peer)) {
	if p := r.dial(); p != nil {
		script(p)
	}
}

// together runs a script for each of n clients at once and notes the outcomes, counted.
func (r *run) together(n int, script func(i int) string) {
	var mu sync.Mutex
	counts := map[string]int{}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			outcome := script(i)
			mu.Lock()
			counts[outcome]++
			mu.Unlock()
		})
	}
	all.Wait()
	for _, outcome := range slices.Sorted(mapsKeys(counts)) {
		r.seen.note("clients", "%d times: %s", counts[outcome], outcome)
	}
}
