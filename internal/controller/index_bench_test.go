package controller

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/policy"
)

// discard takes changes and keeps none.
type discard struct{}

func (discard) SetWorkload(string, *policy.Workload)     {}
func (discard) RemoveWorkload(string)                    {}
func (discard) SetProfile(*policy.Profile, ...policy.ID) {}
func (discard) RemoveProfile(string)                     {}
func (discard) SetDestination(*policy.Destination)       {}
func (discard) RemoveDestination(string)                 {}

// large is a cluster of 5,000 nodes with 150,000 pods under 2,000 policies in 400 namespaces.
func large(b *testing.B) *index {
	b.Helper()
	const namespaces, policies, pods = 400, 5, 375
	x := newIndex(newWorld(), "fairlead-system")
	for n := range namespaces {
		ns := fmt.Sprintf("namespace-%d", n)
		x.setNamespace(ns, labels.Set{corev1.LabelMetadataName: ns})
		for p := range policies {
			x.setPolicy(types.UID(fmt.Sprintf("%s-%d", ns, p)), retryPolicy(b, ns, fmt.Sprintf("policy-%d", p), 1, fmt.Sprintf(
				`{podSelector: {matchLabels: {app: app-%d}}, to: [{host: api-%d.example}, {any: {}}], retry: {maxRetries: 3}, timeouts: {perTry: 2s}}`, p, p)))
		}
		for p := range pods {
			pod := testPod(ns, fmt.Sprintf("pod-with-a-usual-name-%d", p), fmt.Sprintf("node-%d", (n*pods+p)%5000), fmt.Sprintf("app-%d", p%policies))
			x.setPod(pod)
		}
	}
	x.flush(discard{})
	return x
}

// BenchmarkLarge reports what the index costs, without the cache's copies of the pods.
func BenchmarkLarge(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := large(b)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(x)
	}
}

func BenchmarkEditInALargeCluster(b *testing.B) {
	x := large(b)
	generation := int64(1)
	for b.Loop() {
		generation++
		x.setPolicy("namespace-7-1", retryPolicy(b, "namespace-7", "policy-1", generation, fmt.Sprintf(
			`{podSelector: {matchLabels: {app: app-1}}, to: [{any: {}}], retry: {maxRetries: %d}}`, generation%10)))
		x.flush(discard{})
	}
}

func BenchmarkPodComesAndGoes(b *testing.B) {
	x := large(b)
	p := testPod("namespace-7", "new", "node-1", "app-1")
	for b.Loop() {
		x.setPod(p)
		x.flush(discard{})
		x.deletePod(p.Namespace, p.Name)
		x.flush(discard{})
	}
}
