package index_test

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
)

// large is a cluster of 5,000 nodes with 150,000 pods under 2,000 policies in 400 namespaces.
func large(b *testing.B) *index.Index {
	b.Helper()
	const namespaces, policies, pods = 400, 5, 375
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	for n := range namespaces {
		ns := fmt.Sprintf("namespace-%d", n)
		x.SetNamespace(ns, labels.Set{corev1.LabelMetadataName: ns})
		for p := range policies {
			x.SetPolicy(types.UID(fmt.Sprintf("%s-%d", ns, p)), indextest.RetryPolicy(b, ns, fmt.Sprintf("policy-%d", p), 1, fmt.Sprintf(
				`{podSelector: {matchLabels: {app: app-%d}}, to: [{host: api-%d.example}, {any: {}}], retry: {maxRetries: 3}, timeouts: {perTry: 2s}}`, p, p)))
		}
		for p := range pods {
			pod := indextest.RunningPod(ns, fmt.Sprintf("pod-with-a-usual-name-%d", p), fmt.Sprintf("node-%d", (n*pods+p)%5000), fmt.Sprintf("app-%d", p%policies))
			x.SetPod(pod)
		}
	}
	indextest.Publish(x, indextest.Discard{})
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
		x.SetPolicy("namespace-7-1", indextest.RetryPolicy(b, "namespace-7", "policy-1", generation, fmt.Sprintf(
			`{podSelector: {matchLabels: {app: app-1}}, to: [{any: {}}], retry: {maxRetries: %d}}`, generation%10)))
		indextest.Publish(x, indextest.Discard{})
	}
}

func BenchmarkPodComesAndGoes(b *testing.B) {
	x := large(b)
	p := indextest.RunningPod("namespace-7", "new", "node-1", "app-1")
	for b.Loop() {
		x.SetPod(p)
		indextest.Publish(x, indextest.Discard{})
		x.DeletePod(p.Namespace, p.Name)
		indextest.Publish(x, indextest.Discard{})
	}
}
