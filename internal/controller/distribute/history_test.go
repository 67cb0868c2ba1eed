package distribute

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// largeService is a Service with n endpoints whose last one has that port.
func largeService(n int, port uint16) *policy.Destination {
	d := &policy.Destination{Name: "shop/cart", Ports: []policy.DestinationPort{{Port: 80}}}
	for i := range n {
		d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, policy.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 8080)})
	}
	d.Ports[0].Endpoints[n-1].Addr = netip.AddrPortFrom(d.Ports[0].Endpoints[n-1].Addr.Addr(), port)
	return d
}

// patchingAgent is an agent that understands patches and knows what it holds.
type patchingAgent struct {
	*agent
	holds map[wire.Ref]*wire.Resource
}

func (o *testManager) withPatches(node string, held map[wire.Ref]*wire.Resource) *patchingAgent {
	o.t.Helper()
	p := &patchingAgent{agent: o.agent("token-" + node), holds: held}
	versions := map[wire.Ref]wire.Version{}
	for ref, r := range held {
		versions[ref] = r.Version
	}
	s, err := p.client.Subscribe(p.ctx, wire.Hello{Node: node, Held: versions, Features: wire.AllFeatures()})
	if err != nil {
		o.t.Fatal(err)
	}
	p.stream = s
	return p
}

// receive takes an update and returns how many of its resources were patches.
func (p *patchingAgent) receive() int {
	p.t.Helper()
	u := p.take()
	patches := 0
	for _, r := range u.Set {
		if r.Patch != nil {
			patches++
		}
		whole, err := r.Whole(p.holds[r.Ref])
		if err != nil {
			p.t.Fatal(err)
		}
		p.holds[r.Ref] = whole
	}
	p.acknowledge(u)
	return patches
}

func (o *testManager) publishLarge(port uint16) {
	o.t.Helper()
	o.publish(func(b *Batch) { b.SetDestination(largeService(1000, port)) })
}

func TestALargeServiceIsSentOnceAndThenItsChanges(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		o.publishLarge(1)
		a := o.withPatches("n1", map[wire.Ref]*wire.Resource{})
		defer func() { a.leave() }()
		if n := a.receive(); n != 0 {
			t.Errorf("%d patches of nothing", n)
		}
		for port := uint16(2); port < 5; port++ {
			o.publishLarge(port)
			if n := a.receive(); n != 1 {
				t.Errorf("change to port %d: %d patches", port, n)
			}
		}
		// An agent that is a few versions behind still gets the difference; one that is further behind gets all.
		for behind, want := range map[int]int{3: 1, 9: 0} {
			a.leave()
			for i := range behind {
				o.publishLarge(uint16(100*behind + i))
			}
			a = o.withPatches("n1", a.holds)
			if n := a.receive(); n != want {
				t.Errorf("%d versions behind: %d patches, want %d", behind, n, want)
			}
		}
		// Small things are sent whole.
		o.publish(func(b *Batch) { b.SetDestination(service("shop/stock", 81)) })
		if n := a.receive(); n != 0 {
			t.Errorf("a small destination came as a patch")
		}
	})
}

func TestAnOlderAgentIsSentEverythingWhole(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		o.publishLarge(1)
		a := o.subscribed("n1", nil)
		defer a.leave()
		a.receive()
		o.publishLarge(2)
		if u := a.receive(); len(u.Set) != 1 || u.Set[0].Patch != nil {
			t.Errorf("got %v", refsOf(u))
		}
	})
}

func TestAPatchThatCannotBeAppliedIsFollowedByTheWhole(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		o.publishLarge(1)
		a := o.withPatches("n1", map[wire.Ref]*wire.Resource{})
		defer a.leave()
		a.receive()
		ref := wire.Ref{Kind: wire.Destination, Name: "shop/cart"}
		o.publishLarge(2)
		u := a.take()
		if len(u.Set) != 1 || u.Set[0].Patch == nil {
			t.Fatalf("got %v, want a patch", refsOf(u))
		}
		a.acknowledge(u, wire.Rejection{Ref: ref, Reason: wire.ReasonMalformed, Message: "does not fit", HeldKnown: true, Held: a.holds[ref].Version})
		if r := o.rollout("p1"); r.Failed != 0 {
			t.Errorf("rollout %+v", r)
		}
		if n := a.receive(); n != 0 {
			t.Error("the patch was sent again")
		}
		o.publishLarge(3)
		if n := a.receive(); n != 0 {
			t.Error("another patch was sent")
		}
		wantRollout(t, o.rollout("p1"), Rollout{Desired: 1, Programmed: 1})
	})
}

// Endpoints that come and go quickly are sent ten times a second; the first change, and all else, at once.
func TestChangesOfEndpointsArePacedAndNothingElseIs(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer a.leave()
		a.receive()
		time.Sleep(time.Second)
		updates := make(chan int, 1000) // the last port sent
		wg.Go(func() {
			for {
				u, err := a.stream.RecvWhole(1<<20, a.aside)
				if err != nil {
					return
				}
				for _, r := range u.Set {
					if d, err := r.Destination(); err == nil {
						updates <- int(d.Ports[0].Port)
					}
				}
				_ = a.stream.Ack(wire.Ack{Nonce: u.Nonce})
			}
		})
		wantSent := func(what string, want ...int) {
			t.Helper()
			synctest.Wait()
			var got []int
			for len(updates) > 0 {
				got = append(got, <-updates)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: ports sent (-want +got):\n%s", what, diff)
			}
		}
		publish := func(port int) { o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", uint16(port))) }) }
		publish(1)
		wantSent("the first change", 1)
		for port := 2; port < 10; port++ {
			publish(port)
			time.Sleep(10 * time.Millisecond)
		}
		wantSent("changes within the pause")
		time.Sleep(endpointPause)
		wantSent("after it", 9)
		publish(10)
		publish(11)
		wantSent("a change soon after")
		o.publish(func(b *Batch) { b.SetWorkload("n1", pod("new", "p1")) })
		wantSent("a pod takes it along", 11)
		for port := 100; port < 300; port++ {
			publish(port)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(endpointPause)
		synctest.Wait()
		if n := len(updates); n < 9 || n > 12 {
			t.Errorf("%d updates for 200 changes in a second", n)
		}
	})
}
