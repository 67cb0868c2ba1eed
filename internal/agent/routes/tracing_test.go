package routes

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Calls are traced if their policy asks for it and there is something that exports spans; what a dry run asks for is none of it.
func TestWhichCallsAreTraced(t *testing.T) {
	for name, tc := range map[string]struct {
		exported, asked bool
		mode            policy.Mode
		want            bool
	}{
		"asked for":                   {true, true, policy.ModeEnforce, true},
		"not asked for":               {true, false, policy.ModeEnforce, false},
		"asked for, with no exporter": {false, true, policy.ModeEnforce, false},
		"asked for by a dry run":      {true, true, policy.ModeDryRun, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Traces: tc.exported})
			if err != nil {
				t.Fatal(err)
			}
			b := binding("k", policy.Target{Kind: policy.TargetAny})
			b.Mode = tc.mode
			if tc.asked {
				b.Base.Tracing = &policy.Tracing{SamplePercent: 5}
			}
			b.Rules = []policy.Rule{{Name: "r", Match: []policy.RequestMatch{{Methods: []string{"GET"}}}, Settings: b.Base}}
			install(t, s, snapshot(b))
			for _, method := range []string{"GET", "POST"} {
				got := routeTo(t, s, "a", "10.9.9.9:80").Plan([]byte(method), nil).Tracing
				if (got != nil) != tc.want || got != nil && got.SamplePercent != 5 {
					t.Errorf("%s is traced: %v", method, got)
				}
			}
		})
	}
}
