package controller

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// world is a cluster of plain maps: the index's facts, and what a fresh index would be told.
type world struct {
	namespaces map[string]labels.Set
	pods       map[string]Pod // by "namespace/name"
	policies   map[policy.ID]written
	services   map[string]service
	zones      map[string]string // of nodes
}

type written struct {
	uid types.UID
	compile.Source
}

type service struct {
	port      uint16
	endpoints int
	affinity  bool
}

func newWorld() *world {
	return &world{namespaces: map[string]labels.Set{}, pods: map[string]Pod{}, policies: map[policy.ID]written{}, services: map[string]service{}, zones: map[string]string{}}
}

var _ facts = (*world)(nil)

func (w *world) Service(name string) (*compile.Service, bool) {
	s, ok := w.services[name]
	if !ok {
		return nil, false
	}
	return &compile.Service{Ports: []compile.ServicePort{{Name: "http", Port: s.port}}, Affinity: s.affinity}, true
}

func (w *world) Zone(node string) string { return w.zones[node] }

func (w *world) Destination(name string) (*policy.Destination, bool) {
	s, ok := w.services[name]
	if !ok {
		return nil, false
	}
	d := &policy.Destination{Name: name, Ports: []policy.DestinationPort{{Port: s.port, Name: "http"}}}
	for i := range s.endpoints {
		d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, policy.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 8080)})
	}
	return d, true
}

// rebuilt returns what a new index publishes of the world.
func (w *world) rebuilt() *published {
	x, out := newIndex(w, "fairlead-system"), newPublished()
	for name, l := range w.namespaces {
		x.setNamespace(name, l)
	}
	for _, p := range w.policies {
		x.setPolicy(p.uid, p.Source)
	}
	for _, p := range w.pods {
		x.setPod(p)
	}
	x.flush(out)
	return out
}

// published is what agents would have.
type published struct {
	Workloads    map[string]policy.Workload
	Nodes        map[string]string // of workloads
	Profiles     map[string]*policy.Profile
	Destinations map[string]*policy.Destination
}

func newPublished() *published {
	return &published{map[string]policy.Workload{}, map[string]string{}, map[string]*policy.Profile{}, map[string]*policy.Destination{}}
}

var _ outbox = (*published)(nil)

func (p *published) SetWorkload(node string, w *policy.Workload) {
	p.Workloads[w.UID], p.Nodes[w.UID] = *w, node
}
func (p *published) RemoveWorkload(uid string)                    { delete(p.Workloads, uid); delete(p.Nodes, uid) }
func (p *published) SetProfile(f *policy.Profile, _ ...policy.ID) { p.Profiles[f.Name] = f }

func (p *published) RemoveProfile(name string)            { delete(p.Profiles, name) }
func (p *published) SetDestination(d *policy.Destination) { p.Destinations[d.Name] = d }
func (p *published) RemoveDestination(name string)        { delete(p.Destinations, name) }

// dangling lists names that something published refers to and that are not published.
func (p *published) dangling(w *world) []string {
	var out []string
	for _, wl := range p.Workloads {
		if p.Profiles[wl.Profile] == nil {
			out = append(out, "profile "+wl.Profile)
		}
	}
	for _, f := range p.Profiles {
		for _, b := range f.Bindings {
			if s := b.To.Service; s != "" && p.Destinations[s] == nil {
				if _, there := w.services[s]; there {
					out = append(out, "destination "+s)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// retryPolicy returns a policy with that spec, written as YAML.
func retryPolicy(t testing.TB, namespace, name string, generation int64, spec string) compile.Source {
	t.Helper()
	p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: generation, CreationTimestamp: metav1.NewTime(time.Unix(1, 0))}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return compile.FromRetryPolicy(p)
}

func clusterPolicy(t testing.TB, name string, generation int64, spec string) compile.Source {
	t.Helper()
	p := &v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation, CreationTimestamp: metav1.NewTime(time.Unix(1, 0))}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return compile.FromClusterRetryPolicy(p)
}

func testPod(namespace, name, node, app string) Pod {
	return Pod{UID: types.UID(namespace + "-" + name), Namespace: namespace, Name: name, Node: node, Labels: labels.Set{"app": app}, Running: true}
}

// populate makes a world of namespaces ns-0 … with one policy and some pods each.
func populate(t testing.TB, namespaces, pods int) (*world, *index, *published) {
	t.Helper()
	w := newWorld()
	x, out := newIndex(w, "fairlead-system"), newPublished()
	for n := range namespaces {
		ns := fmt.Sprintf("ns-%d", n)
		w.namespaces[ns] = labels.Set{"name": ns}
		w.services[ns+"/api"] = service{port: 80, endpoints: 1}
		x.setNamespace(ns, w.namespaces[ns])
		src := retryPolicy(t, ns, "p", 1, `{podSelector: {matchLabels: {app: a}}, to: [{service: {name: api}}]}`)
		w.policies[src.ID] = written{"p-" + types.UID(ns), src}
		x.setPolicy("p-"+types.UID(ns), src)
		for i := range pods {
			p := testPod(ns, fmt.Sprintf("pod-%d", i), fmt.Sprintf("node-%d", i), "a")
			w.pods[ns+"/"+p.Name] = p
			x.setPod(p)
		}
	}
	x.flush(out)
	return w, x, out
}

func sortedNames(ids []policy.ID) []string {
	names := map[string]struct{}{}
	for _, id := range ids {
		names[id.String()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}
