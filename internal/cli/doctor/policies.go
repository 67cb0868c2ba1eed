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
		k.ok("%s in force as written", output.Count(len(all), "policy is", "policies are"))
	}
}

// fixes say what to do about the reasons why a policy is not ready. The table is never written to.
var fixes = map[string]remedy{
	v1alpha1.ReasonConflicted:         {"remove the destination from one of the policies, or select other pods", pageSeveral},
	v1alpha1.ReasonInvalid:            {"correct what the message names, and apply the policy again", pageRefused},
	v1alpha1.ReasonInvalidSelector:    {"correct podSelector or namespaceSelector, and apply the policy again", pageSelection},
	v1alpha1.ReasonServiceNotFound:    {"create the Service, or correct its name in to", pageSelection},
	v1alpha1.ReasonPortNotFound:       {"correct the port in to", pageSelection},
	v1alpha1.ReasonReferenceNotFound:  {"create the object that the message names, or correct its name", pageReferences},
	v1alpha1.ReasonReferenceForbidden: {"give the manager the right to read the object: see the page", pageReferences},
	v1alpha1.ReasonRefusedByNodes:     {"status.nodes.failures says why; upgrade the agents there if they are older", pageProgrammed},
	v1alpha1.ReasonNodesDisconnected:  {"see the agents of these nodes: kubectl -n " + kube.DefaultSystem + " get pods -o wide", pageAgentsLost},
	v1alpha1.ReasonRolledBack:         {"see what the change did to calls, and correct it", pageRollout},
}

// unenforcedFixes say what to do about what is not enforced. The table is never written to.
var unenforcedFixes = map[string]remedy{
	v1alpha1.ReasonEncrypted:       {"set tls.mode Originate or Intercept for the host, or remove what has no effect", pageTLS},
	v1alpha1.ReasonTLSNotTrusted:   {"have the pods trust the egress CA", pageTrust},
	v1alpha1.ReasonTLSNoIssuer:     {"see that a manager runs, and that the agents of these nodes are connected to it", pageNoIssuer},
	v1alpha1.ReasonNotCaptured:     {"see what is found about capture, and the agent's log on the node", pageCapture},
	v1alpha1.ReasonOlderAgents:     {"upgrade the agents", pageUpgrade},
	v1alpha1.ReasonQUICSeen:        {"set udp443: Reject, so that clients fall back to TCP", pageQUIC},
	v1alpha1.ReasonHostNetwork:     {"pods on the host's network cannot be governed: select others", pageNotEnforced},
	v1alpha1.ReasonNoTraceExporter: {"start agents with where to send spans", pageTracing},
}

// unenforced says what to do about a reason for which something is not enforced.
func unenforced(reason string) remedy {
	if r, known := unenforcedFixes[reason]; known {
		return r
	}
	return remedy{see: pageNotEnforced}
}

// fix says what to do about the reason why a policy is not ready, where fairlead is.
func (k *checker) fix(reason string) remedy {
	r, known := fixes[reason]
	if !known {
		r = remedy{"status.conditions say why: kubectl describe it", pageRefused}
	}
	r.do = strings.ReplaceAll(r.do, kube.DefaultSystem, k.env.System)
	return r
}

func (k *checker) policy(p *kube.Policy) {
	s, name := p.Status, p.Kind+" "+p.Key()
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		k.add(Problem, remedy{"see whether a manager runs: kubectl -n " + k.env.System + " get pods", pageManagerAway}, "%s: no manager has looked at it", name)
		return
	case ready.Status == metav1.ConditionFalse && ready.Reason != v1alpha1.ReasonRollingOut && ready.Reason != v1alpha1.ReasonWaitingForNodes:
		k.add(Problem, k.fix(ready.Reason), "%s: %s", name, ready.Message)
	case s.MatchedPods != nil && *s.MatchedPods == 0 && s.Mode != v1alpha1.ModeDisabled:
		k.add(Warning, remedy{"compare its podSelector with kubectl get pods --show-labels", pageSelection}, "%s: it selects no pod, so it has no effect", name)
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted); c != nil && c.Reason == v1alpha1.ReasonAcceptedWithWarnings {
		k.add(Warning, remedy{see: pageRefused}, "%s: %s", name, c.Message)
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPartiallyEnforced); c != nil && c.Status == metav1.ConditionTrue {
		k.add(Warning, unenforced(c.Reason), "%s: %s", name, c.Message)
	}
	if t := s.Traffic; t != nil && t.OlderConnections > 0 && !k.olderKnown {
		k.add(Warning, remedy{"restart the pods, or wait until they open new connections", pageHappens}, "%s: %s, opened before the policy came", name,
			output.Count(int(t.OlderConnections), "connection is not governed", "connections are not governed"))
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		if d.Endpoints != nil && *d.Endpoints == 0 {
			k.add(Warning, remedy{"see whether the Service's pods are ready: kubectl get endpointslices", pageSelection}, "%s: %s has no endpoints", name, d.To)
		}
	}
}
