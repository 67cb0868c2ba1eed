package compile

import (
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// endpointWarnings returns sentences about breakers of single endpoints where nothing comes of them.
func endpointWarnings(src *Source) (warnings []string) {
	breakers := []*v1alpha1.CircuitBreaker{src.Body.CircuitBreaker}
	for i := range src.Body.Rules {
		breakers = append(breakers, src.Body.Rules[i].CircuitBreaker)
	}
	breakers = slices.DeleteFunc(breakers, func(b *v1alpha1.CircuitBreaker) bool {
		return b == nil || b.Mode == v1alpha1.SwitchDisabled || b.Scope != v1alpha1.BreakerScopeEndpoint
	})
	if len(breakers) == 0 {
		return nil
	}
	has := func(is func(*v1alpha1.CircuitBreaker) bool) bool { return slices.ContainsFunc(breakers, is) }
	if has(func(b *v1alpha1.CircuitBreaker) bool { return b.Sharing == v1alpha1.SharingCluster }) {
		warnings = append(warnings, "circuitBreaker.sharing: Cluster acts as Node with scope: Endpoint: each node judges endpoints by its own calls.")
	}
	if has(func(b *v1alpha1.CircuitBreaker) bool { return b.MaxEjectedPercent != nil && *b.MaxEjectedPercent == 0 }) {
		warnings = append(warnings, "circuitBreaker.maxEjectedPercent 0 lets no endpoint be ejected, so the circuitBreaker does nothing.")
	}
	if settingsOf(src.Body).LoadBalancing == policy.ClusterIP {
		warnings = append(warnings, "circuitBreaker.scope: Endpoint does nothing with loadBalancing.policy: ClusterIP: the cluster chooses the endpoints.")
	}
	if slices.ContainsFunc(src.To, func(d v1alpha1.Destination) bool { return d.CIDR != nil }) {
		warnings = append(warnings, "circuitBreaker.scope: Endpoint does nothing for to[].cidr: each address is a destination of its own there, which "+
			"scope: Destination opens.")
	}
	return warnings
}
