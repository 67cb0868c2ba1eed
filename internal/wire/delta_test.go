package wire_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// cluster is what a manager published, kept in the plainest way there is.
type cluster struct {
	*rand.Rand
	nodes        map[string]string // by pod UID
	workloads    map[string]*policy.Workload
	profiles     map[string]*policy.Profile
	destinations map[string]*policy.Destination
	roots        map[string]*policy.Roots
	pairs        map[string]*policy.KeyPair
}

func newCluster(seed uint64) *cluster {
	return &cluster{
		Rand: rand.New(rand.NewPCG(seed, 7)), nodes: map[string]string{}, workloads: map[string]*policy.Workload{},
		profiles: map[string]*policy.Profile{}, destinations: map[string]*policy.Destination{},
		roots: map[string]*policy.Roots{}, pairs: map[string]*policy.KeyPair{},
	}
}

func (c *cluster) node() string { return fmt.Sprint("n", c.IntN(2)) }

// edit makes a random change here and in b.
func (c *cluster) edit(b *distribute.Batch) {
	pod, profile, destination := fmt.Sprint("pod-", c.IntN(8)), fmt.Sprint("profile-", c.IntN(4)), fmt.Sprint("shop/service-", c.IntN(5))
	switch c.IntN(13) {
	case 0, 1, 2:
		node, w := c.node(), &policy.Workload{UID: pod, Namespace: "shop", Name: pod, Profile: profile}
		c.nodes[pod], c.workloads[pod] = node, w
		b.SetWorkload(node, w)
	case 3:
		delete(c.nodes, pod)
		delete(c.workloads, pod)
		b.RemoveWorkload(pod)
	case 4, 5:
		p := &policy.Profile{Name: profile}
		for i := range c.IntN(4) {
			binding := policy.Binding{Key: fmt.Sprint(profile, i), Policy: policy.ParseID("shop/" + profile), Base: policy.Defaults()}
			binding.Base.Retry.MaxRetries = c.IntN(10)
			binding.To = policy.Target{Kind: policy.TargetService, Service: fmt.Sprint("shop/service-", c.IntN(5))}
			if c.IntN(3) == 0 {
				binding.To = policy.Target{Kind: policy.TargetHost, Host: "a.example", TLS: policy.TLS{
					Mode: policy.TLSOriginate, Roots: fmt.Sprint("roots-", c.IntN(3)), Certificate: fmt.Sprint("pair-", c.IntN(3)),
				}}
			}
			p.Bindings = append(p.Bindings, binding)
		}
		c.profiles[profile] = p
		b.SetProfile(p)
	case 6:
		delete(c.profiles, profile)
		b.RemoveProfile(profile)
	case 7:
		d := &policy.Destination{Name: destination, Ports: []policy.DestinationPort{{Port: uint16(c.IntN(100))}}}
		for i := range c.IntN(2) * c.IntN(300) { // large enough for patches
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80+uint16(c.IntN(20)/19))
			d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, policy.Endpoint{Addr: a})
		}
		c.destinations[destination] = d
		b.SetDestination(d)
	case 8:
		delete(c.destinations, destination)
		b.RemoveDestination(destination)
	default:
		c.editReference(b)
	}
}

func (c *cluster) editReference(b *distribute.Batch) {
	roots, pair := fmt.Sprint("roots-", c.IntN(3)), fmt.Sprint("pair-", c.IntN(3))
	switch c.IntN(4) {
	case 0:
		c.roots[roots] = &policy.Roots{Name: roots, Certificates: [][]byte{{byte(c.IntN(100))}}}
		b.SetRoots(c.roots[roots])
	case 1:
		delete(c.roots, roots)
		b.RemoveReference(policy.ReferenceRoots, roots)
	case 2:
		c.pairs[pair] = &policy.KeyPair{Name: pair, Chain: [][]byte{{1}}, Key: []byte{byte(c.IntN(100))}}
		b.SetKeyPair(c.pairs[pair])
	case 3:
		delete(c.pairs, pair)
		b.RemoveReference(policy.ReferenceKeyPair, pair)
	}
}

// concerns is what a node's agent should hold.
func (c *cluster) concerns(node string) *policy.Snapshot {
	s := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{}, Profiles: map[string]*policy.Profile{}, Destinations: map[string]*policy.Destination{},
		Roots: map[string]*policy.Roots{}, KeyPairs: map[string]*policy.KeyPair{}, Credentials: map[string]*policy.Credentials{},
	}
	for uid, w := range c.workloads {
		if c.nodes[uid] != node {
			continue
		}
		s.Workloads[uid] = w
		p := c.profiles[w.Profile]
		if p == nil {
			continue
		}
		s.Profiles[p.Name] = p
		for _, b := range p.Bindings {
			if d := c.destinations[b.To.Service]; d != nil {
				s.Destinations[d.Name] = d
			}
			if r := c.roots[b.To.TLS.Roots]; r != nil {
				s.Roots[r.Name] = r
			}
			if k := c.pairs[b.To.TLS.Certificate]; k != nil {
				s.KeyPairs[k.Name] = k
			}
		}
	}
	return s
}

func (c *cluster) wantInForce(t *testing.T, step int, agents map[string]*agent) {
	t.Helper()
	for _, node := range slices.Sorted(maps.Keys(agents)) {
		want := c.concerns(node)
		if diff := cmp.Diff(want, agents[node].Snapshot(), cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}), cmpopts.IgnoreFields(policy.Profile{}, "Generation")); diff != "" {
			t.Fatalf("step %d: node %s (-manager +agent):\n%s", step, node, diff)
		}
		if agents[node].applier.snapshot() != agents[node].Snapshot() {
			t.Fatalf("step %d: node %s: what it holds is not what is in force", step, node)
		}
	}
}

// After any edits, restarts, outages and changes of leader, every agent holds what concerns its node, and nothing else.
func TestAgentsEndUpWithWhatTheManagerPublished(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			withTestbed(t, func(t *testing.T, w *testbed) {
				c := newCluster(seed)
				leader := w.leader("a:1")
				term := 1
				agents := map[string]*agent{}
				for _, node := range []string{"n0", "n1"} {
					agents[node] = w.agent(agentOptions{node: node})
				}
				defer func() {
					for _, a := range agents {
						a.stop()
					}
				}()
				for step := range 60 {
					var b distribute.Batch
					for range 1 + c.IntN(6) {
						c.edit(&b)
					}
					if err := leader.store.Publish(&b); err != nil {
						t.Fatal(err)
					}
					switch c.IntN(12) {
					case 0: // the agent restarts, with its copy
						node := c.node()
						agents[node].stop()
						agents[node] = w.agent(agentOptions{node: node})
					case 1: // the agent restarts on an empty disk
						node := c.node()
						agents[node].stop()
						agents[node] = w.agent(agentOptions{node: node, noCopy: true})
					case 2: // another replica takes over
						leader.store.Serving().Stop()
						term++
						leader = w.replace(leader, fmt.Sprint("a:", term), c)
					case 3: // edits on the heels of the last
						continue
					}
					awaitQuiet()
					c.wantInForce(t, step, agents)
				}
			})
		})
	}
}

// replace starts a replica that compiled what c says before it opened its gate, and stops the old one.
func (w *testbed) replace(old *manager, address string, c *cluster) *manager {
	m := w.manager(address)
	m.publish(w.t, func(b *distribute.Batch) {
		for uid, workload := range c.workloads {
			b.SetWorkload(c.nodes[uid], workload)
		}
		for _, p := range c.profiles {
			b.SetProfile(p)
		}
		for _, d := range c.destinations {
			b.SetDestination(d)
		}
		for _, r := range c.roots {
			b.SetRoots(r)
		}
		for _, k := range c.pairs {
			b.SetKeyPair(k)
		}
	})
	m.store.Serving().Start()
	w.removeReplica(old.address)
	return m
}

func TestAReconnectingAgentIsSentNothingAndAppliesNothingNew(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		c := newCluster(3)
		leader := w.leader("a:1")
		leader.publish(t, func(b *distribute.Batch) {
			for range 150 {
				c.edit(b)
			}
		})
		a := w.agent(agentOptions{node: "n0"})
		defer func() { a.stop() }()
		awaitQuiet()
		before := a.Snapshot()
		if len(before.Workloads) == 0 || len(before.Profiles) == 0 {
			t.Fatal("the test has nothing to show")
		}
		w.replace(leader, "a:2", c)
		awaitQuiet()
		after := a.Snapshot()
		for uid, workload := range after.Workloads {
			if workload != before.Workloads[uid] {
				t.Errorf("%s was sent again", uid)
			}
		}
		for name, p := range after.Profiles {
			if p != before.Profiles[name] {
				t.Errorf("%s was sent again", name)
			}
		}
		if s := a.State(); !s.Connected || s.Manager != "a:2" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestAChangeReachesTheAgentWithoutDelay(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		a := w.agent(agentOptions{node: "n0"})
		defer a.stop()
		awaitQuiet()
		start := time.Now()
		leader.publish(t, func(b *distribute.Batch) {
			b.SetWorkload("n0", &policy.Workload{UID: "u", Profile: "p"})
			b.SetProfile(&policy.Profile{Name: "p"}, policy.ParseID("shop/p"))
		})
		synctest.Wait()
		if took := time.Since(start); a.Snapshot().Profiles["p"] == nil || took != 0 {
			t.Errorf("after %v: %v", took, a.Snapshot().Profiles)
		}
		if r := leader.rollout("p"); r.Programmed != 1 {
			t.Errorf("rollout %+v", r)
		}
	})
}

// One endpoint of a thousand reaches every node that calls the Service as what it is, not as the whole list.
func TestOneEndpointOfManyCostsOneEndpoint(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		crowd := &policy.Destination{Name: "shop/api", Ports: []policy.DestinationPort{{Port: 80}}}
		for i := range 1000 {
			crowd.Ports[0].Endpoints = append(crowd.Ports[0].Endpoints, policy.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 8080)})
		}
		leader.publish(t, func(b *distribute.Batch) {
			b.SetWorkload("n0", &policy.Workload{UID: "u", Profile: "p"})
			b.SetProfile(&policy.Profile{Name: "p", Bindings: []policy.Binding{
				{Key: "k", Base: policy.Defaults(), To: policy.Target{Kind: policy.TargetService, Service: "shop/api"}}}})
			b.SetDestination(crowd)
		})
		var received atomic.Int64
		a := w.agent(agentOptions{node: "n0", received: &received})
		defer a.stop()
		awaitQuiet()
		if n := received.Load(); n < 8000 {
			t.Fatalf("%d bytes for everything: the test has nothing to show", n)
		}
		for i := range 3 {
			next := *crowd
			next.Ports = []policy.DestinationPort{{Port: 80, Endpoints: slices.Delete(slices.Clone(crowd.Ports[0].Endpoints), 300*i, 300*i+1)}}
			time.Sleep(time.Second)
			before := received.Load()
			leader.publish(t, func(b *distribute.Batch) { b.SetDestination(&next) })
			synctest.Wait()
			if got := a.Snapshot().Destinations["shop/api"]; len(got.Ports[0].Endpoints) != 999 || !reflect.DeepEqual(got.Ports[0].Endpoints, next.Ports[0].Endpoints) {
				t.Errorf("change %d did not arrive: %d endpoints", i, len(got.Ports[0].Endpoints))
			}
			if n := received.Load() - before; n > 500 {
				t.Errorf("change %d cost %d bytes", i, n)
			}
		}
	})
}
