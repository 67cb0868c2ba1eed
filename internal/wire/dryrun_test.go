package wire

import (
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// To an agent that does not know dry runs they are switched off, whatever else it knows; what is enforced is sent as ever.
func TestOlderAgentsNeverEnforceDryRuns(t *testing.T) {
	binding := func(key string, mode policy.Mode, unchanged bool) policy.Binding {
		return policy.Binding{Key: key, Mode: mode, Unchanged: unchanged, To: policy.Target{Kind: policy.TargetAny}, Base: policy.Defaults()}
	}
	r, err := StandardEncoder().Profile(&policy.Profile{Name: "p", Bindings: []policy.Binding{
		binding("a", policy.ModeEnforce, false), binding("b", policy.ModeDryRun, false), binding("c", policy.ModeDryRun, true),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, knows := range map[string]Features{"all others": AllFeatures() &^ FeaturesOf(FeatureDryRun), "none": 0} {
		if !r.LeftOut(knows).Has(FeatureDryRun) {
			t.Errorf("%s: nothing is said to be left out", name)
		}
		p, err := r.For(knows).Profile()
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Bindings[0].Mode; got != policy.ModeEnforce {
			t.Errorf("%s: what is enforced is sent with mode %d", name, got)
		}
		for _, b := range p.Bindings[1:] {
			if b.Mode != policy.ModeDisabled || b.Unchanged {
				t.Errorf("%s: got %s with mode %d, unchanged %v", name, b.Key, b.Mode, b.Unchanged)
			}
		}
	}
	p, err := r.For(AllFeatures()).Profile()
	if err != nil {
		t.Fatal(err)
	}
	if p.Bindings[1].Mode != policy.ModeDryRun || !p.Bindings[2].Unchanged {
		t.Errorf("got %+v", p.Bindings)
	}
}
