package soak

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// round is one destination, its servers, the pods that call it and everything that happens to them.
type round struct {
	violations
	running // the node, or the first of two
	cluster *cluster
	coverage

	// immutable once calls are made
	seed    uint64
	fixed   fixed
	calm    bool // nothing fails but what the agent does wrong
	servers []*server
	refused netip.AddrPort // where nobody listens
	pods    []*pod
	lag     *lag
	backup  *server
	trust   *trust // nil: nobody speaks TLS
	// protocol is what the policy declares where connections are passed through.
	protocol policy.Protocol
	outage   span // in which all servers fail each call; of rounds of that kind

	behind atomic.Pointer[[]netip.AddrPort] // the address of the host
	called atomic.Int64                     // how often that was
	ends   sync.Map                         // of clients' connections by address: whether they are open

	// guarded by accountsMu
	accountsMu sync.Mutex
	accounts   []*account
	dials      []span // to where nobody answers

	// of the one that makes things happen
	versions  []*version
	restarts  int
	endpoints []netip.AddrPort
}

// lasts is how long calls are begun in a round.
const lasts = 2500 * time.Millisecond

// play plays a round.
func play(t *testing.T, seed uint64) *round {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := &round{seed: seed, fixed: drawFixed(rng, seed), lag: watchLag()}
	r.calm = r.fixed.kind == kindCalm || rng.IntN(4) == 0 && r.fixed.kind != kindAny && !r.fixed.kind.sound()
	defer r.lag.stop()
	r.trust = drawTrust(t, rng, r.fixed.kind)
	r.build(t, rng)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 + rng.IntN(8) {
		c := newClient(r, i%len(r.pods), rng.IntN(2) == 0, rand.New(rand.NewPCG(seed, uint64(100+i))))
		clients.Go(func() { c.run(stop) })
	}
	r.happen(t, rng)
	close(stop)
	clients.Wait()
	r.end()
	return r
}

func (r *round) build(t *testing.T, rng *rand.Rand) {
	brittle := 0
	if r.breaks() && rng.IntN(2) == 0 {
		brittle = 8
	}
	least := 1
	if r.fixed.ill {
		least = 3
	}
	for i := range least + rng.IntN(4) {
		r.servers = append(r.servers, startServer(t, r, false, brittle, rand.New(rand.NewPCG(r.seed, uint64(50+i)))))
	}
	r.servers[0].ill = r.fixed.ill
	r.protocol = oneOf(rng, policy.ProtocolTCP, policy.ProtocolAuto)
	r.backup = startServer(t, r, true, 0, nil)
	if r.fixed.kind.fails() {
		r.outage.from = time.Now().Add(between(rng, 150*time.Millisecond, 400*time.Millisecond))
		r.outage.to = r.outage.from.Add(between(rng, 1200*time.Millisecond, 1500*time.Millisecond))
	}
	r.refused = refusing(t)
	if r.fixed.kind == kindCluster {
		r.cluster = newCluster(r)
	}
	for i, uid := range []string{"pod-0", "pod-1"} {
		r.pods = append(r.pods, startPod(t, r, uid, r.nodes()[i%len(r.nodes())]))
	}
	r.choose(rng)
	r.versions = []*version{r.drawVersion(rng)}
	for _, n := range r.nodes() {
		n.replace(startAgent(t, r, r.snapshot()))
	}
	if r.cluster != nil {
		r.cluster.start()
	}
}

// nodes are those whose pods make calls.
func (r *round) nodes() []*running {
	if r.cluster == nil {
		return []*running{&r.running}
	}
	return []*running{&r.running, &r.cluster.second}
}

// install has all nodes know what they are to know now.
func (r *round) install() {
	for _, n := range r.nodes() {
		n.a.install(r, r.snapshot())
	}
}

// breaks reports whether connections break, or cannot be made, for no reason that an attempt has.
func (r *round) breaks() bool { return !r.calm && r.fixed.breaker == nil && !r.fixed.kind.sound() }

// refusing returns an address where nobody listens. A socket has it until the test ends: else a server of another round might get it.
func refusing(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound := at.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port))
}

// choose draws which endpoints the destination has: at least one that serves.
func (r *round) choose(rng *rand.Rand) {
	r.endpoints = nil
	for _, s := range r.servers {
		if rng.IntN(3) > 0 || r.fixed.ill {
			r.endpoints = append(r.endpoints, s.addr)
		}
	}
	if len(r.endpoints) == 0 {
		r.endpoints = append(r.endpoints, r.servers[0].addr)
	}
	if r.breaks() && rng.IntN(3) == 0 {
		r.endpoints = append(r.endpoints, r.refused)
	}
	if r.fixed.kind == kindOpaque && rng.IntN(2) == 0 {
		r.endpoints = append(r.endpoints, r.refused)
	}
	if r.fixed.kind == kindTimeouts && rng.IntN(2) == 0 {
		r.endpoints = append(r.endpoints, silence)
	}
	slices.SortFunc(r.endpoints, netip.AddrPort.Compare)
	behind := slices.Clone(r.endpoints)
	r.behind.Store(&behind)
}

// happen edits policies and endpoints, and restarts the agent, while calls are made.
func (r *round) happen(t *testing.T, rng *rand.Rand) {
	var stops sync.WaitGroup
	defer stops.Wait()
	for end := time.Now().Add(lasts); ; {
		next := between(rng, 100*time.Millisecond, 900*time.Millisecond)
		if time.Until(end) < next {
			time.Sleep(time.Until(end)) // calls are made meanwhile
			return
		}
		time.Sleep(next)
		switch n := rng.IntN(5); {
		case n < 2:
			r.edit(rng)
		case n < 4 || r.fixed.kind.steady():
			r.choose(rng)
			r.install()
		default:
			r.restarts++
			r.versions[len(r.versions)-1].drains = true
			before := r.replace(startAgent(t, r, r.snapshot()))
			stops.Go(func() { before.stop(r) })
		}
	}
}

// edit puts another policy in force.
func (r *round) edit(rng *rand.Rand) {
	before := r.versions[len(r.versions)-1]
	r.versions = append(r.versions, r.drawVersion(rng))
	r.install()
	before.until = time.Now()
}

func (r *round) drawVersion(rng *rand.Rand) *version {
	v := &version{settings: drawSettings(rng, r.fixed, r.calm), ruled: drawSettings(rng, r.fixed, r.calm)}
	v.ruled.Pool, v.ruled.LoadBalancing = v.settings.Pool, v.settings.LoadBalancing // which no rule changes
	v.from = time.Now()
	if r.fixed.kind == kindForced {
		v.forced = r.drawForced(rng)
	}
	return v
}

// snapshot is what the agent is to know now.
func (r *round) snapshot() *policy.Snapshot {
	v := r.versions[len(r.versions)-1]
	s := snapshotOf(v.settings, v.ruled, r.pods, r.endpoints...)
	s.Profiles["p"].Bindings[0].ForcedBreaker = v.forced
	if r.fixed.kind == kindOpaque {
		s.Profiles["p"].Bindings[0].To.Protocol = r.protocol
	}
	r.trust.add(s)
	s.Destinations[backupService] = backupDestination(r.backup.addr)
	return s
}

func (r *round) end() {
	for _, p := range r.pods {
		p.stop()
	}
	if r.cluster != nil {
		r.cluster.stop()
	}
	for _, n := range r.nodes() {
		n.a.stop(r)
	}
	for _, s := range append(r.servers, r.backup) {
		s.stop()
	}
}

// newAccount draws a call.
func (r *round) newAccount(c *client, rng *rand.Rand) *account {
	if r.fixed.kind == kindOpaque {
		return r.add(newPassed(c, rng))
	}
	a := &account{pod: c.pod, http2: c.http2, method: oneOf(rng, http.MethodGet, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPost)}
	if a.method == http.MethodPut || a.method == http.MethodPost {
		a.size = oneOf(rng, 0, 1+rng.IntN(500), rng.IntN(3000), rng.IntN(200<<10))
		if rng.IntN(3) == 0 {
			a.key = "k" + time.Duration(rng.Int64()).String()
		}
	}
	a.marked, a.ruled = rng.IntN(4) == 0, rng.IntN(3) == 0
	if a.rpc = a.method == http.MethodPost && a.http2 && rng.IntN(2) == 0; a.rpc && a.size == 0 {
		a.size = 1
	}
	for range 1 + rng.IntN(4) {
		a.steps = append(a.steps, r.drawStep(rng))
	}
	if a.steps[0].deaf > 0 && a.size > 0 {
		a.size = 2*windowSize + rng.IntN(windowSize)
	}
	if rng.IntN(20) == 0 && !r.fixed.kind.steady() {
		a.leaves = between(rng, time.Millisecond, 100*time.Millisecond)
	}
	return r.add(a)
}

func (r *round) add(a *account) *account {
	r.accountsMu.Lock()
	defer r.accountsMu.Unlock()
	a.id = len(r.accounts)
	r.accounts = append(r.accounts, a)
	return a
}

func (r *round) account(id int) *account {
	r.accountsMu.Lock()
	defer r.accountsMu.Unlock()
	if id < 0 || id >= len(r.accounts) {
		return nil
	}
	return r.accounts[id]
}

func (r *round) drawStep(rng *rand.Rand) step {
	p := step{status: http.StatusOK, size: oneOf(rng, 0, rng.IntN(400), rng.IntN(5000), rng.IntN(150<<10)), sized: rng.IntN(2) == 0, after: rng.IntN(2000)}
	if rng.IntN(8) == 0 {
		p.pieces = 2 + rng.IntN(8)
	}
	if rng.IntN(5) == 0 {
		p.late = between(rng, time.Millisecond, 20*time.Millisecond)
	}
	switch {
	case r.fixed.kind == kindHedges:
		p.late = between(rng, 0, 300*time.Millisecond)
		return p
	case r.fixed.kind == kindTimeouts:
		p.linger(rng, r.fixed.variant)
		return p
	case r.calm || r.fixed.ill || r.fixed.kind.fails() || r.fixed.kind == kindFaults || rng.IntN(10) < 5:
		return p
	case r.fixed.kind == kindRetries || r.fixed.kind == kindForced:
		p.fail(rng)
		return p
	}
	switch rng.IntN(4) {
	case 0:
		p.fail(rng)
	case 1, 2:
		p.fault = fault(1 + rng.IntN(int(faultCount)-1))
	case 3:
		p.late = between(rng, 20*time.Millisecond, 400*time.Millisecond)
	}
	return p
}

// fail has the server answer with a failure, and perhaps say when it wants to be asked again.
func (p *step) fail(rng *rand.Rand) {
	p.status = oneOf(rng, 404, 409, 429, 500, 501, 502, 503, 504, 529)
	switch rng.IntN(6) {
	case 0:
		p.wish = oneOf(rng, "0", "1", "soon")
	case 1, 2:
		p.wait = time.Duration(oneOf(rng, -1, 20+rng.IntN(130), 20+rng.IntN(130))) * time.Millisecond
	}
}
