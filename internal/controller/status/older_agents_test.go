package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/wire"
)

// While agents are upgraded after the manager, a policy is in force on all nodes, and its status says what some of them do not enforce.
func TestStatusSaysWhatOlderAgentsDoNotEnforce(t *testing.T) {
	for name, tc := range map[string]struct {
		nodes int
		want  string
	}{
		"one node":      {1, "The agent on n1 is older and does not know Patches."},
		"several nodes": {7, "The agents on 7 nodes, such as n1, are older and do not know Patches."},
	} {
		t.Run(name, func(t *testing.T) {
			v := index.View{Generation: 3, Mode: v1alpha1.ModeEnforce, Pods: 9, InForce: true}
			r := distribute.Rollout{
				Desired: 9, Programmed: 9, LeftOut: []distribute.LeftOut{{Feature: wire.FeaturePatches, Nodes: tc.nodes, Example: "n1"}},
			}
			s := Of(&v, &Reports{Rollout: r}, before(), metav1.NewTime(begin))
			if diff := cmp.Diff([]string{
				"Accepted True Accepted: The policy is valid.",
				"Programmed True Programmed: All 9 nodes have it (generation 3).",
				"Ready True Ready: In force for 9 pods on 9 nodes. " + tc.want,
				"PartiallyEnforced True OlderAgents: " + tc.want,
			}, brief(s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
