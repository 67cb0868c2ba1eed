package routes

import "fairlead.dev/fairlead/internal/agent/upstream"

// affinities are which endpoints pods keep of Services, by pod and destination. Policies come and go without a change of them. It is
// guarded by Table.mu.
type affinities map[string]map[string]*upstream.Affinity

// find returns a pod's affinity to a destination. One that is not there is new, and nobody else will find it.
func (a affinities) find(pod, destination string) *upstream.Affinity {
	if known := a[pod][destination]; known != nil {
		return known
	}
	return upstream.NewAffinity(pod, destination)
}

// get is find, but others find what is new.
func (a affinities) get(pod, destination string) *upstream.Affinity {
	if a[pod] == nil {
		a[pod] = map[string]*upstream.Affinity{}
	}
	a[pod][destination] = a.find(pod, destination)
	return a[pod][destination]
}

// retain forgets all pods but those of a version.
func (a affinities) retain(v *version) {
	for pod := range a {
		if v.tables[pod] == nil {
			delete(a, pod)
		}
	}
}
