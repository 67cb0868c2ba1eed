package doctor

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// policies checks what the manager says of each policy.
func (k *checker) policies(ctx context.Context) {
	all, err := kube.Policies(ctx, k.c, &client.ListOptions{})
	if err != nil {
		k.unknown(err)
		return
	}
	before := len(k.Findings)
	for i := range all {
		k.policy(&all[i])
	}
	if len(k.Findings) == before {
		k.add(OK, "", "%s in force as written", output.Count(len(all), "policy is", "policies are"))
	}
}

// fixes say what to do about the reasons why a policy is not ready.
var fixes = map[string]string{
	v1alpha1.ReasonConflicted:        "remove the destination from one of the policies, or select other pods",
	v1alpha1.ReasonServiceNotFound:   "create the Service, or correct its name in to",
	v1alpha1.ReasonPortNotFound:      "correct the port in to",
	v1alpha1.ReasonRefusedByNodes:    "status.nodes.failures says why; upgrade the agents there if they are older",
	v1alpha1.ReasonNodesDisconnected: "see the agents of these nodes: kubectl -n " + kube.DefaultSystem + " get pods -o wide",
	v1alpha1.ReasonRolledBack:        "see what the change did to calls, and correct it",
}

// unenforcedFixes say what to do about what is not enforced.
var unenforcedFixes = map[string]string{
	v1alpha1.ReasonEncrypted:       "set tls.mode Originate or Intercept for the host, or remove what has no effect",
	v1alpha1.ReasonTLSNotTrusted:   "have the pods trust the egress CA (docs/guides/tls.md)",
	v1alpha1.ReasonNotCaptured:     "see the agent's log on the node, and docs/operations/README.md",
	v1alpha1.ReasonOlderAgents:     "upgrade the agents",
	v1alpha1.ReasonQUICSeen:        "set udp443: Reject, so that clients fall back to TCP",
	v1alpha1.ReasonHostNetwork:     "pods on the host's network cannot be governed: select others",
	v1alpha1.ReasonNoTraceExporter: "start agents with where to send spans (docs/guides/tracing.md)",
}

// fix says what to do about the reason why a policy is not ready, where fairlead is.
func (k *checker) fix(reason string) string {
	return strings.ReplaceAll(fixes[reason], kube.DefaultSystem, k.env.System)
}

func (k *checker) policy(p *kube.Policy) {
	s, name := p.Status, p.Kind+" "+p.Key()
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		k.add(Problem, "see whether a manager runs", "%s: no manager has looked at it", name)
		return
	case ready.Status == metav1.ConditionFalse && ready.Reason != v1alpha1.ReasonRollingOut && ready.Reason != v1alpha1.ReasonWaitingForNodes:
		k.add(Problem, k.fix(ready.Reason), "%s: %s", name, ready.Message)
	case s.MatchedPods != nil && *s.MatchedPods == 0 && s.Mode != v1alpha1.ModeDisabled:
		k.add(Warning, "compare its podSelector with kubectl get pods --show-labels", "%s: it selects no pod, so it has no effect", name)
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted); c != nil && c.Reason == v1alpha1.ReasonAcceptedWithWarnings {
		k.add(Warning, "", "%s: %s", name, c.Message)
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPartiallyEnforced); c != nil && c.Status == metav1.ConditionTrue {
		k.add(Warning, unenforcedFixes[c.Reason], "%s: %s", name, c.Message)
	}
	if t := s.Traffic; t != nil && t.OlderConnections > 0 {
		k.add(Warning, "restart the pods, or wait until they open new connections", "%s: %s, opened before the policy came", name,
			output.Count(int(t.OlderConnections), "connection is not governed", "connections are not governed"))
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		if d.Endpoints != nil && *d.Endpoints == 0 {
			k.add(Warning, "see whether the Service's pods are ready", "%s: %s has no endpoints", name, d.To)
		}
	}
}
