package doctor

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/output"
)

// nodes checks that each agent that there is is ready, answers, and hears of the manager; and that there is one where one is needed.
func (k *checker) nodes(ctx context.Context) {
	if k.live.err != nil {
		k.unknown(k.live.err)
		return
	}
	before := len(k.Findings)
	has := map[string]bool{}
	for i := range k.live.pods {
		p := &k.live.pods[i]
		has[p.Spec.NodeName] = true
		if why := notReady(p); why != "" && p.DeletionTimestamp == nil {
			k.add(Problem, remedy{fmt.Sprintf("%s, and kubectl -n %s describe pod %s", k.logs(p.Name), p.Namespace, p.Name), pageAgentsLost},
				"node %s: the agent %s", p.Spec.NodeName, why)
		}
	}
	k.withoutAgent(ctx, has)
	k.disconnected()
	if k.clean(before) {
		k.ok("%s ready", output.Count(len(k.live.pods), "agent is", "agents are"))
	}
	k.silent()
}

func notReady(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			return "waits: " + w.Reason
		}
		if t := c.LastTerminationState.Terminated; t != nil && !c.Ready {
			return "has ended: " + t.Reason
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return ""
		}
	}
	return "is not ready"
}

// withoutAgent finds nodes with no agent: those with pods that policies select, of which the manager knows, and for who may list nodes all.
func (k *checker) withoutAgent(ctx context.Context, has map[string]bool) {
	do := fmt.Sprintf("kubectl -n %s get pods -o wide, and kubectl describe node: compare its taints and labels with the DaemonSet's tolerations and node selector", k.env.System)
	lost := map[string]bool{}
	for _, n := range k.live.nodes.Items {
		if n.Pods > 0 && len(n.Agents) == 0 {
			lost[n.Node] = true
			k.add(Problem, remedy{do, pageAgentsLost}, "node %s: no agent there is connected to the manager; policies select %s of it", n.Node, output.Count(n.Pods, "pod", "pods"))
		}
	}
	if k.live.nodesErr != nil {
		k.unknown(k.live.nodesErr)
	}
	var all corev1.NodeList
	if err := k.c.List(ctx, &all); err != nil {
		return // nodes are a right of its own; the manager knows of those that matter
	}
	var without []string
	for i := range all.Items {
		n := &all.Items[i]
		if os := n.Status.NodeInfo.OperatingSystem; !has[n.Name] && !lost[n.Name] && (os == "" || os == "linux") {
			without = append(without, n.Name)
		}
	}
	if len(without) > 0 {
		k.add(Warning, remedy{do, pageAgentsLost}, "%s: there is no agent, so calls of pods there go directly", onNodes(without))
	}
}

// disconnected finds agents that have no connection to the manager.
func (k *checker) disconnected() {
	b := bounded{k: k}
	for i := range k.live.agents {
		a := &k.live.agents[i]
		m := &a.node.Value.Manager
		if a.node.Err != nil || m.Connected {
			continue
		}
		force := "it goes on with the policies that it has, from the " + m.Source
		if m.Source == "none" {
			force = "no policy is in force there"
		}
		since := ""
		if !m.Since.IsZero() {
			since = " since " + m.Since.UTC().Format(time.RFC3339)
		}
		b.add(Problem, remedy{k.logs(a.pod()), pageManagerAway}, "node %s: the agent is not connected to the manager%s: %s; %s", a.on(), since, m.Problem, force)
	}
	b.end(Problem, "agent is not connected", "agents are not connected")
}

// silent says which agents do not answer.
func (k *checker) silent() {
	b := bounded{k: k}
	for i := range k.live.agents {
		if a := &k.live.agents[i]; !a.answered() && !ask.OfEarlierVersion(a.captures.Err) {
			b.add(Unknown, remedy{}, "node %s: %v", a.on(), a.captures.Err)
		}
	}
	b.end(Unknown, "agent does not answer", "agents do not answer")
	if k.live.left > 0 {
		k.add(Unknown, remedy{}, "%s not asked", output.Count(k.live.left, "more agent was", "more agents were"))
	}
}
