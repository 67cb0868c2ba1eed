package index

// NodeChanged takes note that a node is not what it was. Where its zone has changed, the workloads of its pods are published again.
func (x *Index) NodeChanged(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	zone, published := x.zones[name]
	if !published || zone == x.lookup.Zone(name) {
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
