package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/controller/live"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// addressIndex is the cache's index of Services by their cluster IPs, and of EndpointSlices of headless Services, which have none, by the addresses of their
// endpoints.
const addressIndex = "address"

// indexService returns the cluster IPs of a Service.
func indexService(obj client.Object) []string {
	var all []string
	for _, ip := range obj.(*corev1.Service).Spec.ClusterIPs {
		if ip != corev1.ClusterIPNone && ip != "" {
			all = append(all, ip)
		}
	}
	return all
}

// indexHeadless returns the addresses of an EndpointSlice of a headless Service, which Kubernetes labels so.
func indexHeadless(obj client.Object) []string {
	s := obj.(*discoveryv1.EndpointSlice)
	if _, headless := s.Labels[corev1.IsHeadlessService]; !headless {
		return nil
	}
	var all []string
	for i := range s.Endpoints {
		all = append(all, s.Endpoints[i].Addresses...)
	}
	return all
}

// ServiceAt returns the Service that has a cluster IP, or else the headless one that a pod with the address is of and that has the port, the first by name, as
// namespace/name:port; empty: there is none.
func (c *clusterLookup) ServiceAt(a netip.AddrPort) string {
	at := client.MatchingFields{addressIndex: a.Addr().String()}
	var services corev1.ServiceList
	var headless discoveryv1.EndpointSliceList
	// The cache is in memory and has synced: an error here means that the process is ending.
	if err := errors.Join(c.reader.List(context.Background(), &services, at), c.reader.List(context.Background(), &headless, at)); err != nil {
		return ""
	}
	var names []string
	if len(services.Items) > 0 {
		names = []string{services.Items[0].Namespace + "/" + services.Items[0].Name}
	}
	for i := range headless.Items {
		if s := &headless.Items[i]; hasPort(s, a.Port()) {
			names = append(names, s.Namespace+"/"+s.Labels[discoveryv1.LabelServiceName])
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case len(services.Items) == 0:
		slices.Sort(names)
	}
	return names[0] + ":" + strconv.Itoa(int(a.Port()))
}

// hasPort reports whether the endpoints of a slice have a port: the address of a pod on its node's network has those of all that the node runs.
func hasPort(s *discoveryv1.EndpointSlice, port uint16) bool {
	return slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool {
		return ptr.Deref(p.Port, 0) == int32(port) && ptr.Deref(p.Protocol, corev1.ProtocolTCP) == corev1.ProtocolTCP
	})
}

// HasBreaker reports whether the status of a policy shows circuit breakers.
func (c *clusterLookup) HasBreaker(id policy.ID) bool {
	key := client.ObjectKey{Namespace: id.Namespace, Name: id.Name}
	var destinations []v1alpha1.DestinationStatus
	if id.Kind == policy.KindClusterRetryPolicy {
		var p v1alpha1.ClusterRetryPolicy
		if c.reader.Get(context.Background(), key, &p) != nil {
			return false // it is gone
		}
		destinations = p.Status.Destinations
	} else {
		var p v1alpha1.RetryPolicy
		if c.reader.Get(context.Background(), key, &p) != nil {
			return false
		}
		destinations = p.Status.Destinations
	}
	return slices.ContainsFunc(destinations, func(d v1alpha1.DestinationStatus) bool { return d.Breaker != "" })
}

// liveParts are what the live API answers from.
type liveParts struct {
	inventory *inventory.Store // nil: none is kept
	changes   *changes.Log
}

func newLiveParts(o *Options) (*liveParts, error) {
	if o.InventoryFlows < 0 || o.InventoryFlows > maxInventoryFlows {
		return nil, fmt.Errorf("controller: an inventory of %d flows is not possible; set --inventory-flows from 1 to %d, or to 0 for none", o.InventoryFlows, maxInventoryFlows)
	}
	p := &liveParts{changes: changes.New()}
	if o.InventoryFlows > 0 {
		p.inventory = inventory.New(o.InventoryFlows, time.Now())
	}
	return p, nil
}

// maxInventoryFlows bounds the memory of the inventory, to half a gigabyte.
const maxInventoryFlows = 20_000

// storeOptions are those of the store, from which the live API hears of agents.
func (p *liveParts) storeOptions(notify func(profiles []string), acknowledged prometheus.Observer) distribute.StoreOptions {
	o := distribute.StoreOptions{Notify: notify, Acknowledged: func(d time.Duration) { acknowledged.Observe(d.Seconds()) }}
	if p.inventory != nil {
		o.Flows = p.inventory.Add
	}
	o.AgentChanged = func(node, version string, connected bool) {
		c := liveapi.Change{At: time.Now(), Kind: changes.AgentGone, Node: node, Note: version}
		if connected {
			c.Kind = changes.AgentConnected
		}
		p.changes.Add(c)
	}
	return o
}

// addLive adds the live API, on every replica: those that do not lead say so.
func (m *Manager) addLive(p *liveParts, store *distribute.Store, lookup *clusterLookup) error {
	indexer := m.manager.GetFieldIndexer()
	if err := errors.Join(indexer.IndexField(context.Background(), &corev1.Service{}, addressIndex, indexService),
		indexer.IndexField(context.Background(), &discoveryv1.EndpointSlice{}, addressIndex, indexHeadless)); err != nil {
		return fmt.Errorf("index Services by address: %w", err)
	}
	if p.inventory != nil && m.opts.InventoryMetrics {
		if err := m.opts.Metrics.Register(&flowMetrics{p.inventory}); err != nil {
			return fmt.Errorf("register the inventory's metrics: %w", err)
		}
	}
	if m.opts.LiveAddress == "" || m.opts.LiveAddress == "0" {
		return nil
	}
	h := live.Handler(live.Options{
		Store: store, Inventory: p.inventory, Changes: p.changes, ServiceAt: lookup.ServiceAt, HasBreaker: lookup.HasBreaker,
		EgressExpires: func() int64 { return m.egress.Expires() },
	})
	return m.manager.Add(onEveryReplica{func(ctx context.Context) error { return liveapi.Serve(ctx, "the live API", m.opts.LiveAddress, h) }})
}

// recordingChanges records Events, and notes those about policies as changes, but for breakers that open and close: openings notes those of each destination.
type recordingChanges struct {
	events.EventRecorder
	log *changes.Log
}

// Eventf implements events.EventRecorder.
func (r recordingChanges) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	r.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
	if o, err := meta.Accessor(regarding); err == nil && reason != eventBreakerOpened && reason != eventBreakerClosed {
		id := policy.ID{Namespace: o.GetNamespace(), Name: o.GetName()}
		if id.Namespace == "" {
			id.Kind = policy.KindClusterRetryPolicy
		}
		r.log.Add(liveapi.Change{At: time.Now(), Kind: reason, Policy: id.String(), Note: fmt.Sprintf(note, args...)})
	}
}

// flowMetrics shows the inventory as metrics.
type flowMetrics struct{ of *inventory.Store }

var (
	flowLabels = []string{"caller_namespace", "caller_workload", "destination", "protocol", "policy", "target"}
	flowCalls  = prometheus.NewDesc("fairlead_inventory_calls_total", "Calls of a workload to a destination, while they are kept apart.", flowLabels, nil)
	flowFailed = prometheus.NewDesc("fairlead_inventory_failed_calls_total", "Those that did not end well.", flowLabels, nil)
	flowAgain  = prometheus.NewDesc("fairlead_inventory_retries_total", "Retries of them.", flowLabels, nil)
)

// Describe implements prometheus.Collector.
func (flowMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- flowCalls
	to <- flowFailed
	to <- flowAgain
}

// Collect implements prometheus.Collector. Flows are not added up: one that ends would take its calls from what others have, and a counter that falls is
// one that began anew, all of whose calls count once more.
func (m *flowMetrics) Collect(to chan<- prometheus.Metric) {
	var flows []policy.Flow // the inventory takes no reports while it calls, and who takes metrics may be slow
	m.of.Totals(func(f policy.Flow) { flows = append(flows, f) })
	for i := range flows {
		f := &flows[i]
		labels := []string{f.Caller.Namespace, f.Caller.Workload, f.Destination, f.Protocol.String(), f.Policy.String(), f.Target}
		to <- prometheus.MustNewConstMetric(flowCalls, prometheus.CounterValue, float64(f.Counts.Calls), labels...)
		to <- prometheus.MustNewConstMetric(flowFailed, prometheus.CounterValue, float64(f.Counts.Calls-f.Counts.Successes), labels...)
		to <- prometheus.MustNewConstMetric(flowAgain, prometheus.CounterValue, float64(f.Counts.Retries), labels...)
	}
}
