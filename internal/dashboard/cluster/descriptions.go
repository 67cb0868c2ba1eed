package cluster

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/cli/describe"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// keptDescriptions is of how many policies it is kept what they come to.
const keptDescriptions = 16

// descriptions keep what policies come to: to work that out for a ClusterRetryPolicy, all pods of the cluster are listed.
type descriptions struct {
	mu sync.Mutex
	// guarded by mu
	all map[string]*described // by kind, name and version
}

type described struct {
	memo[*describe.Description]
	used time.Time // guarded by descriptions.mu
}

// get returns what a version of a policy comes to, as it was read a while ago at most: other policies and pods count, too.
func (d *descriptions) get(p *kube.Policy, read func() (*describe.Description, error)) (*describe.Description, error) {
	d.mu.Lock()
	key := p.Kind + "/" + p.Key() + "/" + p.Object.GetResourceVersion()
	of := d.all[key]
	if of == nil {
		if d.all == nil {
			d.all = map[string]*described{}
		}
		of = &described{}
		d.all[key] = of
	}
	of.used = time.Now()
	if len(d.all) > keptDescriptions {
		d.dropOldest()
	}
	d.mu.Unlock()
	return of.get(long, read)
}

// dropOldest expects the lock.
func (d *descriptions) dropOldest() {
	oldest := ""
	for key, of := range d.all {
		if oldest == "" || of.used.Before(d.all[oldest].used) {
			oldest = key
		}
	}
	delete(d.all, oldest)
}
