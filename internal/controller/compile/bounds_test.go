package compile

import "testing"

func TestBoundsBesideWhatThereIs(t *testing.T) {
	const few = "rateLimit.burst 2 is less than the 3 nodes that share it by scope: Cluster, and each can start a call at once all the same, " +
		"so 3 may start at once. Set it to 3 or more if that must not be."
	const none = "circuitBreaker.maxEjectedPercent 30 of the 3 endpoints of shop/api:80 is none, rounded down, so none is ever ejected. " +
		"Set it to 34 or more to let one be."
	for name, tc := range map[string]struct {
		give             string
		nodes, endpoints int
		burst, ejected   string
	}{
		"a burst for each node":   {give: `rateLimit: {requests: 1, burst: 3, scope: Cluster}`, nodes: 3},
		"a burst for fewer":       {give: `rateLimit: {requests: 1, burst: 2, scope: Cluster}`, nodes: 3, burst: few},
		"requests for fewer":      {give: `rateLimit: {requests: 2, scope: Cluster}`, nodes: 3, burst: few},
		"a burst of each node":    {give: `rateLimit: {requests: 1, burst: 2, scope: Node}`, nodes: 3},
		"a rule's burst":          {give: `{rateLimit: {requests: 9, scope: Cluster}, rules: [{name: r, match: [{methods: [GET]}], rateLimit: {burst: 2}}]}`, nodes: 3, burst: few},
		"a rule's limit alone":    {give: `{rules: [{name: r, match: [{methods: [GET]}], rateLimit: {requests: 2, scope: Cluster}}]}`, nodes: 3, burst: few},
		"a limit that is off":     {give: `rateLimit: {mode: Disabled, requests: 2, scope: Cluster}`, nodes: 3},
		"a share that is none":    {give: `circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 30}`, endpoints: 3, ejected: none},
		"a share that is one":     {give: `circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 34}`, endpoints: 3},
		"as much as is needed":    {give: `circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 25}`, endpoints: 4},
		"of one endpoint":         {give: `circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 30}`, endpoints: 1},
		"of none":                 {give: `circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 30}`},
		"of nothing, as is meant": {give: `circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 0}`, endpoints: 3},
		"of a destination":        {give: `circuitBreaker: {consecutiveFailures: 1, maxEjectedPercent: 30}`, endpoints: 3},
		"where the cluster chooses": {
			give: `{circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 30}, loadBalancing: {policy: ClusterIP}}`, endpoints: 3,
		},
		"neither": {give: `retry: {maxRetries: 1}`, nodes: 3, endpoints: 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := BoundsOf(&Source{Body: body(t, tc.give)})
			if got := b.BelowNodes(tc.nodes); got != tc.burst {
				t.Errorf("%q, want %q", got, tc.burst)
			}
			if got := b.EjectsNone("shop/api:80", tc.endpoints); got != tc.ejected {
				t.Errorf("%q, want %q", got, tc.ejected)
			}
		})
	}
	if b := BoundsOf(&Source{}); b != (Bounds{}) {
		t.Errorf("%+v of nothing", b)
	}
}
