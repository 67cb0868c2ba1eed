package compile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// checkSettings checks what bodies mean that are merged in order.
func checkSettings(t *testing.T, give []string, change func(*policy.Settings)) {
	t.Helper()
	var bodies []*v1alpha1.PolicyBody
	for _, text := range give {
		bodies = append(bodies, body(t, text))
	}
	want := policy.Defaults()
	change(&want)
	if diff := cmp.Diff(want, settingsOf(merged(bodies...))); diff != "" {
		t.Error(diff)
	}
}

// Adaptive timeouts, hedging and fallbacks.
//
//enforces:agent fallback.mode timeouts.adaptive.mode
func TestSettingsForSlowUpstreams(t *testing.T) {
	tests := map[string]struct {
		give []string
		want func(*policy.Settings)
	}{
		"an adaptive timeout stands beside perTry, and has defaults but for its bounds": {
			give: []string{`timeouts: {perTry: 2s, adaptive: {min: 500ms, max: 5s}}`},
			want: func(s *policy.Settings) {
				s.Timeouts.PerTry = 2 * time.Second
				s.Timeouts.Adaptive = policy.Adaptive{Min: 500 * time.Millisecond, Max: 5 * time.Second, Deviations: 2000, Window: 200}
			},
		},
		"an adaptive timeout in full": {
			give: []string{`timeouts: {adaptive: {min: 500ms, max: 5s, deviations: "1.5", window: 20}}`, `timeouts: {adaptive: {min: 1s, max: 9s, deviations: "0.125"}}`},
			want: func(s *policy.Settings) {
				s.Timeouts.Adaptive = policy.Adaptive{Min: time.Second, Max: 9 * time.Second, Deviations: 125, Window: 20}
			},
		},
		"an adaptive timeout that is switched off is off": {
			give: []string{`timeouts: {perTry: 2s, adaptive: {min: 500ms, max: 5s}}`, `timeouts: {adaptive: {mode: Disabled}}`},
			want: func(s *policy.Settings) { s.Timeouts.PerTry = 2 * time.Second },
		},
		"hedging, once unless a number is written": {
			give: []string{`retry: {hedging: {delay: 200ms}}`},
			want: func(s *policy.Settings) { s.Retry.Hedging = policy.Hedging{Max: 1, Delay: 200 * time.Millisecond} },
		},
		"hedging by a percentile in place of a delay": {
			give: []string{`retry: {hedging: {delay: 200ms, maxHedges: 3}}`, `retry: {hedging: {percentile: 95}}`},
			want: func(s *policy.Settings) { s.Retry.Hedging = policy.Hedging{Max: 3, Percentile: 95} },
		},
		"hedging that is switched off is off": {
			give: []string{`retry: {hedging: {delay: 200ms}}`, `retry: {hedging: {maxHedges: 0}}`},
			want: func(*policy.Settings) {},
		},
		"a fallback, in all cases unless some are named": {
			give: []string{`fallback: {response: {statusCode: 200, headers: [{name: X-A, value: b}], body: "{}"}}`},
			want: func(s *policy.Settings) {
				s.Fallback = &policy.Fallback{
					On:       policy.FallbackOn{CircuitOpen: true, RetriesExhausted: true, RateLimited: true},
					Response: &policy.FallbackResponse{Status: 200, Headers: []policy.HeaderField{{Name: "X-A", Value: "b"}}, Body: "{}"},
				}
			},
		},
		"a fallback in some cases": {
			give: []string{`fallback: {when: [CircuitOpen], response: {statusCode: 204}}`},
			want: func(s *policy.Settings) {
				s.Fallback = &policy.Fallback{On: policy.FallbackOn{CircuitOpen: true}, Response: &policy.FallbackResponse{Status: 204}}
			},
		},
		"a response in place of a destination": {
			give: []string{`fallback: {when: [RateLimited], destination: {host: b.example}}`, `fallback: {response: {statusCode: 204}}`},
			want: func(s *policy.Settings) {
				s.Fallback = &policy.Fallback{On: policy.FallbackOn{RateLimited: true}, Response: &policy.FallbackResponse{Status: 204}}
			},
		},
		"a fallback that is switched off is off": {
			give: []string{`fallback: {response: {statusCode: 204}}`, `fallback: {mode: Disabled}`},
			want: func(*policy.Settings) {},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { checkSettings(t, tc.give, tc.want) })
	}
}
