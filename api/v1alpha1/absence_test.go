package v1alpha1

import (
	"encoding/json"
	"testing"
)

// Policies merge, so what is not set, what is empty and what is zero must stay
// three different things, also when the manager writes an object back.
func TestAbsenceSurvivesRoundTrip(t *testing.T) {
	const to = `"to":[{"any":{}}]`
	for _, spec := range []string{
		`{` + to + `}`,
		`{` + to + `,"retry":{}}`,
		`{` + to + `,"retry":{"maxRetries":0,"when":[],"statusCodes":[],"responseHeaders":[],"grpcStatuses":[],"overrides":[],"avoidPreviousEndpoints":false}}`,
		`{` + to + `,"rules":[]}`,
		`{` + to + `,"timeouts":{"overall":"0s"},"circuitBreaker":{"consecutiveFailures":5,"failures":{"when":[],"grpcStatuses":[]}}}`,
		`{` + to + `,"retry":{"body":{"maxBytes":"0"}},"connectionPool":{"maxPending":0}}`,
	} {
		var typed RetryPolicySpec
		if err := json.Unmarshal([]byte(spec), &typed); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		if got, err := json.Marshal(typed.DeepCopy()); err != nil || string(got) != spec {
			t.Errorf("read and written back:\n got %s, %v\nwant %s", got, err, spec)
		}
	}
}

func TestClusterBody(t *testing.T) {
	body := &PolicyBody{}
	for name, tc := range map[string]struct {
		spec ClusterRetryPolicySpec
		want *PolicyBody
	}{
		"defaults":  {ClusterRetryPolicySpec{Defaults: body}, body},
		"overrides": {ClusterRetryPolicySpec{Overrides: body}, body},
		"neither":   {ClusterRetryPolicySpec{}, nil},
	} {
		if got := tc.spec.Body(); got != tc.want {
			t.Errorf("%s: got %p, want %p", name, got, tc.want)
		}
	}
}
