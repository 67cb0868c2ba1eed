package compile

import (
	"fmt"
	"slices"
	"testing"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// What agents show of the policy in force is in the words in which it was written.
func TestAgentsUseTheWordsOfTheAPI(t *testing.T) {
	pairs := map[any]fmt.Stringer{}
	for _, v := range []v1alpha1.BackoffStrategy{v1alpha1.BackoffFixed, v1alpha1.BackoffLinear, v1alpha1.BackoffExponential} {
		pairs[v] = strategyOf(v)
	}
	for _, v := range []v1alpha1.Jitter{
		v1alpha1.JitterNone, v1alpha1.JitterFull, v1alpha1.JitterEqual, v1alpha1.JitterAdditive, v1alpha1.JitterProportional, v1alpha1.JitterDecorrelated,
	} {
		pairs[v] = jitterOf(v)
	}
	for _, v := range []v1alpha1.IdempotencyMode{
		v1alpha1.IdempotencySafeMethods, v1alpha1.IdempotencyIdempotentMethods, v1alpha1.IdempotencyIdempotentOrKeyed, v1alpha1.IdempotencyAny,
	} {
		pairs[v] = idempotencyOf(v)
	}
	for _, v := range []v1alpha1.LoadBalancingPolicy{
		v1alpha1.LoadBalancingLeastRequest, v1alpha1.LoadBalancingRoundRobin, v1alpha1.LoadBalancingRandom, v1alpha1.LoadBalancingClusterIP,
	} {
		pairs[v] = loadBalancingOf(v)
	}
	for _, v := range []v1alpha1.AccessLog{v1alpha1.AccessLogNone, v1alpha1.AccessLogErrors, v1alpha1.AccessLogAll} {
		pairs[v] = accessLogOf(v)
	}
	for _, v := range []v1alpha1.Protocol{
		v1alpha1.ProtocolAuto, v1alpha1.ProtocolHTTP, v1alpha1.ProtocolHTTP2, v1alpha1.ProtocolGRPC, v1alpha1.ProtocolTLS, v1alpha1.ProtocolTCP,
	} {
		pairs[v] = protocolOf(v)
	}
	for n := policy.GRPCStatus(1); n <= 16; n++ {
		number, ok := grpcNumber(v1alpha1.GRPCStatus(n.String()))
		if !ok || number != n {
			t.Errorf("gRPC status %d is shown as %v, which the API says for %d", n, n, number)
		}
	}
	pairs[v1alpha1.BreakerScopeDestination], pairs[v1alpha1.BreakerScopeEndpoint] = policy.ScopeDestination, policy.ScopeEndpoint
	pairs[v1alpha1.SharingNode], pairs[v1alpha1.SharingPod], pairs[v1alpha1.SharingCluster] = policy.ShareNode, policy.SharePod, policy.ShareCluster
	pairs[v1alpha1.ModeEnforce], pairs[v1alpha1.ModeDryRun], pairs[v1alpha1.ModeDisabled] = policy.ModeEnforce, policy.ModeDryRun, policy.ModeDisabled
	pairs[v1alpha1.PathExact], pairs[v1alpha1.PathPrefix] = policy.PathExact, policy.PathPrefix
	pairs[v1alpha1.RetryPolicyKind], pairs[v1alpha1.ClusterRetryPolicyKind] = policy.KindRetryPolicy, policy.KindClusterRetryPolicy
	for word, shown := range pairs {
		if fmt.Sprint(word) != shown.String() {
			t.Errorf("the API's %T %v is shown as %v", word, word, shown)
		}
	}
}

func TestAgentsUseTheCausesOfTheAPI(t *testing.T) {
	causes := []v1alpha1.RetryCondition{
		v1alpha1.RetryOnConnectFailure, v1alpha1.RetryOnRefusedStream, v1alpha1.RetryOnResetBeforeRequest, v1alpha1.RetryOnReset,
		v1alpha1.RetryOnPerTryTimeout, v1alpha1.RetryOnDNSFailure, v1alpha1.RetryOnGatewayError, v1alpha1.RetryOnServerError,
		v1alpha1.RetryOnRateLimited, v1alpha1.RetryOnConflict, v1alpha1.RetryOnRetryAfter,
	}
	for _, c := range causes {
		if got := conditionOf(c).Names(); !slices.Equal(got, []string{string(c)}) {
			t.Errorf("the cause %s is shown as %v", c, got)
		}
	}
	if got := conditionsOf(causes).Names(); len(got) != len(causes) {
		t.Errorf("%d causes are shown as %v", len(causes), got)
	}
}
