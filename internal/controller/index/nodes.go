package index

// nodeZone is the zone of a node with which workloads of its pods were published.
type nodeZone struct {
	name string
	// mixed: some were published with another, since its change was seen before the notice of it.
	mixed bool
}

// zoneOf returns the zone of a node, for a workload that is published now.
func (x *Index) zoneOf(node string) string {
	zone := x.lookup.Zone(node)
	before, published := x.zones[node]
	x.zones[node] = nodeZone{name: zone, mixed: published && (before.mixed || before.name != zone)}
	return zone
}

// NodeChanged takes note that a node is not what it was. Where its zone has changed, the workloads of its pods are published again.
func (x *Index) NodeChanged(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	zone, published := x.zones[name]
	if !published || !zone.mixed && zone.name == x.lookup.Zone(name) {
		return
	}
	delete(x.zones, name)
	for _, ns := range x.namespaces {
		for _, p := range ns.pods {
			if p.Node == name && p.profile != nil {
				x.changes.workload(p)
			}
		}
	}
}
