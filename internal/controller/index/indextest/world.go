// Package indextest makes clusters for tests of the index and of what uses it.
package indextest

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// Exempt is the namespace whose pods are never governed.
const Exempt = "fairlead-system"

// World is a cluster of plain maps. Where goroutines share it, the mutex guards it; what the index looks up takes it too.
type World struct {
	sync.Mutex
	Namespaces map[string]labels.Set
	Pods       map[string]index.Pod // by "namespace/name"
	Policies   map[policy.ID]Policy
	Services   map[string]Service
	Zones      map[string]string // of nodes
	References map[compile.Reference]compile.Referent
}

// Policy is a policy as the API server has it.
type Policy struct {
	UID types.UID
	compile.Source
}

// Service is a Service with one port, named http.
type Service struct {
	Port      uint16
	Endpoints int
	Affinity  bool
}

// NewWorld returns an empty cluster.
func NewWorld() *World {
	return &World{Namespaces: map[string]labels.Set{}, Pods: map[string]index.Pod{}, Policies: map[policy.ID]Policy{}, Services: map[string]Service{}, Zones: map[string]string{},
		References: map[compile.Reference]compile.Referent{}}
}

var _ index.ClusterLookup = (*World)(nil)

// Service implements index.ClusterLookup.
func (w *World) Service(name string) (*compile.Service, bool) {
	w.Lock()
	defer w.Unlock()
	s, ok := w.Services[name]
	if !ok {
		return nil, false
	}
	return &compile.Service{Ports: []compile.ServicePort{{Name: "http", Port: s.Port}}, Affinity: s.Affinity}, true
}

// Destination implements index.ClusterLookup.
func (w *World) Destination(name string) (*policy.Destination, bool) {
	w.Lock()
	defer w.Unlock()
	s, ok := w.Services[name]
	if !ok {
		return nil, false
	}
	d := &policy.Destination{Name: name, Ports: []policy.DestinationPort{{Port: s.Port, Name: "http"}}}
	for i := range s.Endpoints {
		d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, policy.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 8080)})
	}
	return d, true
}

// Reference implements index.ClusterLookup.
func (w *World) Reference(r compile.Reference) compile.Referent {
	w.Lock()
	defer w.Unlock()
	return w.References[r]
}

// Zone implements index.ClusterLookup.
func (w *World) Zone(node string) string {
	w.Lock()
	defer w.Unlock()
	return w.Zones[node]
}

// RetryPolicy returns a policy with that spec, written as YAML.
func RetryPolicy(t testing.TB, namespace, name string, generation int64, spec string) compile.Source {
	t.Helper()
	p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: generation, CreationTimestamp: metav1.NewTime(time.Unix(1, 0))}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return compile.FromRetryPolicy(p)
}

// ClusterPolicy is RetryPolicy for a ClusterRetryPolicy.
func ClusterPolicy(t testing.TB, name string, generation int64, spec string) compile.Source {
	t.Helper()
	p := &v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation, CreationTimestamp: metav1.NewTime(time.Unix(1, 0))}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return compile.FromClusterRetryPolicy(p)
}

// RunningPod returns a pod with the label app.
func RunningPod(namespace, name, node, app string) index.Pod {
	return index.Pod{UID: types.UID(namespace + "-" + name), Namespace: namespace, Name: name, Node: node, Labels: labels.Set{"app": app}, Running: true}
}
