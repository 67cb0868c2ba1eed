package routes

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/upstream"
)

// affinities are which endpoints pods keep of Services, by pod and destination. Policies come and go without a change of them: one is
// forgotten with its pod, or when no pool uses it and the pod need not keep the endpoint any longer. It is guarded by Table.mu.
type affinities struct {
	pods   map[string]map[string]*affinity
	unused map[*affinity]struct{} // by pools
}

// affinity is a pod's to a destination.
type affinity struct {
	*upstream.Affinity
	pod, destination string
	pools            int // that use it
}

// find returns a pod's affinity to a destination. One that is not there is new, and nobody else will find it.
func (a *affinities) find(pod, destination string) *affinity {
	if known := a.pods[pod][destination]; known != nil {
		return known
	}
	return &affinity{Affinity: upstream.NewAffinity(pod, destination), pod: pod, destination: destination}
}

// use notes that a pool uses an affinity, which others find from then on.
func (a *affinities) use(of *affinity) {
	if a.pods[of.pod] == nil {
		a.pods[of.pod] = map[string]*affinity{}
	}
	a.pods[of.pod][of.destination] = of
	of.pools++
	delete(a.unused, of)
}

// leave notes that a pool uses an affinity no more.
func (a *affinities) leave(of *affinity) {
	if of.pools--; of.pools == 0 && a.pods[of.pod][of.destination] == of {
		a.unused[of] = struct{}{}
	}
}

// retain removes pods that are not in a version, and affinities that no pool uses and whose timeout has passed.
func (a *affinities) retain(v *version, now time.Time) {
	for pod, all := range a.pods {
		if v.tables[pod] == nil {
			delete(a.pods, pod)
			for _, of := range all {
				delete(a.unused, of)
			}
		}
	}
	for of := range a.unused {
		if of.Keeps(now) {
			continue
		}
		delete(a.unused, of)
		if delete(a.pods[of.pod], of.destination); len(a.pods[of.pod]) == 0 {
			delete(a.pods, of.pod)
		}
	}
}
