package index_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// A policy for all namespaces is part of 2,000 profiles.
func BenchmarkViewOfAClusterPolicy(b *testing.B) {
	x := large(b)
	src := indextest.ClusterPolicy(b, "guardrails", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`)
	x.SetPolicy("guardrails", src)
	indextest.Publish(x, indextest.Discard{})
	id := policy.ParseID("guardrails")
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			x.View(id)
		}
	})
	b.Run("afterAnEdit", func(b *testing.B) {
		for b.Loop() {
			x.ForgetDerived(id, false)
			x.View(id)
		}
	})
	b.Run("forTheFirstTime", func(b *testing.B) {
		for b.Loop() {
			x.ForgetDerived(id, true)
			x.View(id)
		}
	})
}
