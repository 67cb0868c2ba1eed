package main

import (
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// The status says of a destination without requests which fields have no effect there: those for which no test of connections that are
// passed through is wanted.
func TestFieldsAboutRequestsAreThoseWithoutEffectOnConnections(t *testing.T) {
	untestable := []string{"circuitBreaker.open.jitterPercent"} // holds there too, see concerns
	for _, f := range compile.Fields() {
		drivers := driversOf(f.Path)
		if !f.Enforced || slices.Contains(drivers, agent) || slices.Contains(untestable, f.Path) {
			continue
		}
		if without := !slices.Contains(drivers, opaque); without != f.Requests {
			t.Errorf("%s is about requests: %v; it concerns %v", f.Path, f.Requests, drivers)
		}
	}
}
