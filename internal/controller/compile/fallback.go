package compile

import (
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// fallbackOf returns nil when the block is absent, switched off, or has nothing that agents know.
func fallbackOf(in *v1alpha1.Fallback) *policy.Fallback {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled || in.Response == nil {
		return nil
	}
	on := func(c v1alpha1.FallbackCondition) bool { return in.When == nil || slices.Contains(in.When, c) }
	f := &policy.Fallback{On: policy.FallbackOn{
		CircuitOpen:      on(v1alpha1.FallbackOnCircuitOpen),
		RetriesExhausted: on(v1alpha1.FallbackOnRetriesExhausted),
		RateLimited:      on(v1alpha1.FallbackOnRateLimited),
	}}
	f.Response = &policy.FallbackResponse{Status: int(in.Response.StatusCode), Body: in.Response.Body}
	for _, h := range in.Response.Headers {
		f.Response.Headers = append(f.Response.Headers, policy.HeaderField{Name: string(h.Name), Value: h.Value})
	}
	return f
}
