package generated

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// specOf is a policy as people write it.
func specOf(to string, m *madePolicy) string {
	text := "to: [" + to + `]
timeouts: {perTry: 2s, overall: 10s}
retry: {maxRetries: 3, when: [ConnectFailure, Reset, GatewayError], backoff: {initialInterval: 50ms}}
circuitBreaker: {consecutiveFailures: 5, open: {duration: 10s}}
rules:
- {name: slow-reports, match: [{methods: [GET], path: {type: Prefix, value: /reports}}], timeouts: {overall: 60s}}
`
	if m.limited {
		text += "rateLimit: {requests: 500, scope: Cluster}\nconcurrency: {max: 100}\n"
	}
	if m.dryRun {
		text += "mode: DryRun\n"
	}
	return text
}

// decode reads a spec, which is one of ours.
func decode(text string, to any) {
	if err := yaml.UnmarshalStrict([]byte(text), to); err != nil {
		panic("generated: " + err.Error() + " in " + text)
	}
}

// statusOf is the status that a manager would write.
func (c *Cluster) statusOf(m *madePolicy, n int) v1alpha1.PolicyStatus {
	nodes := int32(min(c.size.PodsEach, c.size.Nodes)) //nolint:gosec // a few thousand
	s := v1alpha1.PolicyStatus{
		ObservedGeneration: 3, InForceGeneration: 3, Mode: v1alpha1.ModeEnforce, MatchedPods: ptr.To(int32(c.size.PodsEach)), //nolint:gosec // a few thousand
		Nodes:              &v1alpha1.NodesStatus{Desired: nodes, Programmed: nodes, Summary: fmt.Sprintf("%d/%d", nodes, nodes)},
		DestinationSummary: m.label,
	}
	d := v1alpha1.DestinationStatus{To: m.label, Protocol: v1alpha1.ProtocolHTTP, Enforced: v1alpha1.EnforcementFull, Breaker: v1alpha1.BreakerStateClosed}
	if m.service {
		d.Endpoints = ptr.To[int32](5)
	}
	if m.open {
		d.Breaker = v1alpha1.BreakerStateOpen
	}
	conditions := map[string][3]string{
		v1alpha1.ConditionAccepted:   {"True", v1alpha1.ReasonAccepted, "The policy is valid."},
		v1alpha1.ConditionProgrammed: {"True", v1alpha1.ReasonProgrammed, fmt.Sprintf("%d of %d nodes.", nodes, nodes)},
		v1alpha1.ConditionReady:      {"True", v1alpha1.ReasonReady, fmt.Sprintf("The policy is in force on %d nodes.", nodes)},
	}
	switch {
	case !m.service:
		d.Enforced = v1alpha1.EnforcementPartial
		d.NotEnforced = []v1alpha1.NotEnforcedField{{Field: "retry.statusCodes", Reason: v1alpha1.ReasonEncrypted}}
		conditions[v1alpha1.ConditionPartiallyEnforced] = [3]string{"True", v1alpha1.ReasonEncrypted, "Governed as whole connections where the calls are encrypted: to[0].host."}
	case n%61 == 5:
		s.Nodes.Programmed, s.Nodes.Failed, s.Nodes.Summary = nodes-1, 1, fmt.Sprintf("%d/%d", nodes-1, nodes)
		s.Nodes.Failures = []v1alpha1.NodeFailure{{Node: NodeName(1), Reason: "Invalid", Message: "the agent refuses it: " + Script}}
		conditions[v1alpha1.ConditionProgrammed] = [3]string{"False", v1alpha1.ReasonRefusedByNodes, "1 node refuses the policy."}
		conditions[v1alpha1.ConditionReady] = [3]string{"False", v1alpha1.ReasonRefusedByNodes, "1 node refuses the policy. " + Script}
	case m.dryRun:
		s.Mode = v1alpha1.ModeDryRun
		conditions[v1alpha1.ConditionDryRun] = [3]string{"True", v1alpha1.ReasonDryRunMode, "The policy is evaluated and does nothing."}
	}
	s.Conditions = conditionsOf(conditions)
	s.Destinations = []v1alpha1.DestinationStatus{d}
	return s
}

// conditionsOf lists conditions in the order that a manager has them in.
func conditionsOf(is map[string][3]string) []metav1.Condition {
	var out []metav1.Condition
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgrammed, v1alpha1.ConditionReady, v1alpha1.ConditionPartiallyEnforced, v1alpha1.ConditionDryRun} {
		if c, ok := is[kind]; ok {
			out = append(out, metav1.Condition{
				Type: kind, Status: metav1.ConditionStatus(c[0]), Reason: c[1], Message: c[2], LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour)), ObservedGeneration: 3,
			})
		}
	}
	return out
}

// clusterPolicy makes one of the policies that all others are merged with.
func (c *Cluster) clusterPolicy(name string) *v1alpha1.ClusterRetryPolicy {
	m := &madePolicy{key: name, target: "any", label: "any", rate: 40, success: 0.995, p50: 20 * time.Millisecond}
	p := &v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID(name), Generation: 3, CreationTimestamp: metav1.NewTime(time.Now().Add(-2000 * time.Hour)),
	}}
	spec := "to: [{any: {}}]\ndefaults: {timeouts: {connect: 2s, idle: 50s}}\n"
	if name == "guard" {
		spec = "to: [{any: {}}]\noverrides: {retry: {budget: {percent: 10}}}\n"
	}
	decode(spec, &p.Spec)
	p.Status = c.statusOf(m, 1)
	p.Status.Destinations[0].Endpoints = nil
	c.policies = append(c.policies, m)
	return p
}
