package controller

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// serviceIndex is the cache's index of EndpointSlices by the name of their Service.
const serviceIndex = "service"

// indexSlice returns the Service an EndpointSlice belongs to.
func indexSlice(obj client.Object) []string {
	if name := obj.GetLabels()[discoveryv1.LabelServiceName]; name != "" {
		return []string{name}
	}
	return nil
}

// clusterLookup looks Services and their endpoints up in the cache, which is in memory and does not block.
type clusterLookup struct {
	reader client.Reader
	domain string // of the cluster's DNS
	// references finds what policies refer to; it does not block either.
	references compile.FindReference
}

var _ index.ClusterLookup = (*clusterLookup)(nil)

// Service implements index.ClusterLookup.
func (c *clusterLookup) Service(name string) (*compile.Service, bool) {
	svc, ok := c.service(name)
	if !ok {
		return nil, false
	}
	return compile.ServiceOf(svc), true
}

// Destination implements index.ClusterLookup.
func (c *clusterLookup) Destination(name string) (*policy.Destination, bool) {
	svc, ok := c.service(name)
	if !ok {
		return nil, false
	}
	var list discoveryv1.EndpointSliceList
	// The cache is in memory and has synced: an error here means that the process is ending.
	if err := c.reader.List(context.Background(), &list, client.InNamespace(svc.Namespace), client.MatchingFields{serviceIndex: svc.Name}); err != nil {
		return nil, false
	}
	return compile.DestinationOf(svc, list.Items, c.domain), true
}

// Reference implements index.ClusterLookup.
func (c *clusterLookup) Reference(ref compile.Reference) compile.Referent { return c.references(ref) }

// Zone implements index.ClusterLookup.
func (c *clusterLookup) Zone(node string) string {
	n := &corev1.Node{}
	if err := c.reader.Get(context.Background(), client.ObjectKey{Name: node}, n); err != nil {
		return ""
	}
	return n.Labels[corev1.LabelTopologyZone]
}

func (c *clusterLookup) service(name string) (*corev1.Service, bool) {
	namespace, base, _ := strings.Cut(name, "/")
	svc := &corev1.Service{}
	if err := c.reader.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: base}, svc); err != nil {
		return nil, false
	}
	return svc, true
}
