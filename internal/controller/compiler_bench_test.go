package controller

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// BenchmarkEditOfAClusterPolicy edits a policy that is part of 2,000 profiles, and says how the time is spent.
func BenchmarkEditOfAClusterPolicy(b *testing.B) {
	const namespaces, policies = 400, 5
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	for n := range namespaces {
		ns := fmt.Sprintf("namespace-%d", n)
		x.SetNamespace(ns, labels.Set{})
		for p := range policies {
			x.SetPolicy(types.UID(fmt.Sprintf("%s-%d", ns, p)), indextest.RetryPolicy(b, ns, fmt.Sprintf("policy-%d", p), 1, fmt.Sprintf(
				`{podSelector: {matchLabels: {app: app-%d}}, to: [{host: api-%d.example}, {any: {}}], retry: {maxRetries: 3}, timeouts: {perTry: 2s}}`, p, p)))
			x.SetPod(indextest.RunningPod(ns, fmt.Sprintf("pod-%d", p), fmt.Sprintf("node-%d", n), fmt.Sprintf("app-%d", p)))
		}
	}
	store := distribute.NewStore(distribute.StoreOptions{})
	c := newCompiler(x, store, func([]policy.ID) {}, slog.New(slog.DiscardHandler))
	generation := int64(0)
	edit := func() {
		generation++
		x.SetPolicy("guardrails", indextest.ClusterPolicy(b, "guardrails", generation, fmt.Sprintf(`{to: [{any: {}}], defaults: {retry: {maxRetries: %d}}}`, generation%10)))
	}
	edit()
	c.publishAll(b.Context())
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			edit()
			c.publishAll(b.Context())
		}
	})
	b.Run("take", func(b *testing.B) {
		for b.Loop() {
			edit()
			x.Take()
		}
	})
	b.Run("compile", func(b *testing.B) {
		edit()
		jobs := x.Take()
		for b.Loop() {
			compileAll(jobs, runtime.GOMAXPROCS(0))
		}
	})
	b.Run("encode", func(b *testing.B) {
		edit()
		jobs := x.Take()
		compileAll(jobs, 2)
		changes, _ := x.Publish(jobs)
		for b.Loop() {
			encode(changes, runtime.GOMAXPROCS(0))
		}
	})
}
