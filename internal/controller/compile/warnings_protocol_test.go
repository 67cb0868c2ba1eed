package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// What only HTTP/2 has does nothing where all destinations are declared to speak HTTP/1.1, and the policy says so.
func TestFieldsOfAnotherProtocol(t *testing.T) {
	const (
		rpc   = ` does nothing with protocol HTTP, which is HTTP/1.1: write HTTP2 or GRPC where that is what calls speak, or leave it out.`
		all   = `{retry: {idempotency: {mode: Any}, grpcStatuses: [UNAVAILABLE], overrides: [{grpcStatuses: [ABORTED], maxRetries: 1}]}, connectionPool: {http2: {maxConcurrentStreams: 9, pingInterval: 1m}}}`
		ruled = `rules: [{name: r, match: [{grpc: {service: a.B}}, {methods: [GET]}], circuitBreaker: {consecutiveFailures: 1, failures: {grpcStatuses: [INTERNAL]}}}]`
	)
	speaks := func(p v1alpha1.Protocol) v1alpha1.Destination {
		d := host("a.example", 80)
		d.Protocol = p
		return d
	}
	cidr := v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{Block: "192.0.2.0/24", Protocol: v1alpha1.ProtocolHTTP}}
	for name, tc := range map[string]struct {
		give string
		to   []v1alpha1.Destination
		want []string
	}{
		"HTTP/1.1":             {all, to(speaks("HTTP"), cidr), []string{"retry.grpcStatuses" + rpc, "retry.overrides[0].grpcStatuses" + rpc, "connectionPool.http2" + rpc}},
		"HTTP/1.1, in a rule":  {ruled, to(speaks("HTTP")), []string{"rules[r].match[0].grpc" + rpc, "rules[r].circuitBreaker.failures.grpcStatuses" + rpc}},
		"HTTP/1.1 and others":  {all, to(speaks("HTTP"), speaks("Auto")), nil},
		"HTTP/2":               {all, to(speaks("HTTP2")), nil},
		"gRPC":                 {all, to(speaks("GRPC")), nil},
		"what HTTP/1.1 has":    {`retry: {statusCodes: ["500"]}`, to(speaks("HTTP")), nil},
		"found out by looking": {all, to(speaks("")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source{Body: body(t, tc.give), To: tc.to}
			if diff := cmp.Diff(tc.want, Warnings(&src)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
