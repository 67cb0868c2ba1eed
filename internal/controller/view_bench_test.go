package controller

import (
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// A policy for all namespaces is part of 2,000 profiles.
func BenchmarkViewOfAClusterPolicy(b *testing.B) {
	x := large(b)
	src := clusterPolicy(b, "guardrails", 1, `{to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}`)
	x.setPolicy("guardrails", src)
	x.flush(discard{})
	id := policy.ParseID("guardrails")
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			x.view(id)
		}
	})
	b.Run("afterAnEdit", func(b *testing.B) {
		for b.Loop() {
			x.policies[id].derived = nil
			x.view(id)
		}
	})
	b.Run("forTheFirstTime", func(b *testing.B) {
		for b.Loop() {
			x.policies[id].derived, x.policies[id].overlaps = nil, nil
			x.view(id)
		}
	})
}
