package compile

import (
	"slices"
	"strings"

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
	return append(warnings, singleAddressWarnings(src.To)...)
}

// singleAddressWarnings says which entries of to have no endpoint that could stand in for another one.
func singleAddressWarnings(to []v1alpha1.Destination) (warnings []string) {
	var single []string
	for _, kind := range []struct {
		entry string
		is    func(v1alpha1.Destination) bool
	}{
		{"to[].cidr", func(d v1alpha1.Destination) bool { return d.CIDR != nil }},
		{"to[].any", func(d v1alpha1.Destination) bool { return d.Any != nil }},
		{`to[].host "*"`, func(d v1alpha1.Destination) bool { return d.Host == "*" }},
	} {
		if slices.ContainsFunc(to, kind.is) {
			single = append(single, kind.entry)
		}
	}
	if len(single) > 0 {
		warnings = append(warnings, "circuitBreaker.scope: Endpoint does nothing for "+strings.Join(single, " and ")+
			": each address is a destination of its own there, which scope: Destination opens.")
	}
	if slices.ContainsFunc(to, func(d v1alpha1.Destination) bool { return d.Via != nil && d.Via.Mode != v1alpha1.SwitchDisabled }) {
		warnings = append(warnings, "circuitBreaker.scope: Endpoint does nothing for to[].via: the proxy chooses the endpoints.")
	}
	return warnings
}
