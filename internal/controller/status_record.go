package controller

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// statusRecord is what the status reconciler remembers of a policy. One Reconcile at a time uses it.
type statusRecord struct {
	uid types.UID
	// version and status are those of the last write; the cache may still show an older one.
	version string
	status  *v1alpha1.PolicyStatus

	knownSince time.Time // when this manager reconciled the policy first
	// wroteAt, conditionsAt and trafficAt are when anything, conditions and figures of traffic were written last.
	wroteAt, conditionsAt, trafficAt time.Time
	breakers                         breakerWatch
	openings                         openings
	endpoints                        endpointWatch
	notices                          noticeWatch
	dryRun                           dryRunWatch

	// guarded by statusReconciler.mu; what the metric shows, with an empty reason until the status has been worked out
	programmed       bool
	programmedReason string
}

// record returns the record of a policy.
func (c *statusReconciler) record(id policy.ID, uid types.UID) *statusRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records[id]
	if r == nil || r.uid != uid {
		r = &statusRecord{uid: uid, knownSince: c.clock.Now()}
		c.records[id] = r
	}
	return r
}

// forget drops what is remembered of a policy that is no more.
func (c *statusReconciler) forget(id policy.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.records, id)
	c.schedule.forget(id)
}

// latest returns the status last written, if the cache has not seen it yet, or else the cache's.
func (r *statusRecord) latest(obj client.Object, cached *v1alpha1.PolicyStatus) *v1alpha1.PolicyStatus {
	if r.ahead(obj) {
		return r.status
	}
	return cached
}

// latestVersion returns the newest resource version known.
func (r *statusRecord) latestVersion(obj client.Object) string {
	if r.ahead(obj) {
		return r.version
	}
	return obj.GetResourceVersion()
}

// ahead reports whether the status last written is newer than the cache's object.
func (r *statusRecord) ahead(obj client.Object) bool {
	if r.status == nil {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), r.version)
	return err == nil && order < 0
}
