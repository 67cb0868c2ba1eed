package drive

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// What the client or another attempt has ended says nothing of the endpoint.
func TestRule17_AnAttemptThatLostIsNoFailureOfItsEndpoint(t *testing.T) {
	for kind, want := range map[call.Kind]verdict{
		call.OK: good, call.Reset: bad, call.AttemptTimeout: bad, call.ClientGone: none, call.Superseded: none,
	} {
		if got := verdictOn(&routes.Attempt{Kind: kind}); got != want {
			t.Errorf("%v: %d, want %d", kind, got, want)
		}
	}
	for status, want := range map[int]verdict{200: good, 404: good, 429: bad, 503: bad} {
		if got := verdictOn(&routes.Attempt{Status: status}); got != want {
			t.Errorf("%d: %d, want %d", status, got, want)
		}
	}
}
