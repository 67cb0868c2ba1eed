package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// podCapture is a pod's capture, as an agent of its node says.
type podCapture struct {
	liveapi.Capture
	node, agent string
}

// captures returns what agents say of pods, one answer for each: that of the agent that has it, where another one of its node is on its way out. known
// is false where no agent has answered.
func (k *checker) captures() (all []podCapture, known bool) {
	by := map[string]podCapture{}
	for i := range k.live.agents {
		a := &k.live.agents[i]
		if a.captures.Err != nil {
			continue
		}
		known = true
		for _, c := range a.captures.Value.Items {
			if c.State == "" { // of an agent that does not say
				c.State = liveapi.CaptureFailed
				if c.Captured {
					c.State = liveapi.CaptureDone
				}
			}
			if other, twice := by[c.UID]; !twice || other.State != liveapi.CaptureDone {
				by[c.UID] = podCapture{c, a.on(), a.pod()}
			}
		}
	}
	for _, c := range by {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b podCapture) int { return cmp.Or(strings.Compare(a.Pod, b.Pod), strings.Compare(a.UID, b.UID)) })
	return all, known
}

// capture checks that the pods that policies select are captured.
func (k *checker) capture(context.Context) {
	all, known := k.captures()
	k.undescribed()
	if !known {
		k.add(Unknown, remedy{}, "no agent has answered: see nodes")
		return
	}
	done, nodes, awaited := 0, map[string]bool{}, sets{}
	b := bounded{k: k}
	for i := range all {
		c := &all[i]
		switch c.State {
		case liveapi.CaptureDone:
			done++
			nodes[c.node] = true
			if len(c.Foreign) > 0 {
				b.add(Warning, remedy{"exclude the destinations from the other proxy, or take it out of the pod", pageLimits},
					"pod %s: another proxy takes its connections first (%s), and only what that sends is governed", c.Pod, strings.Join(c.Foreign, ", "))
			}
		case liveapi.CaptureAwaited:
			awaited.add(c.node, c.Pod)
		case liveapi.CaptureBegun:
			b.add(Warning, remedy{"look again in a moment; if it lasts, " + k.logs(c.agent), pageHappens}, "pod %s on node %s is not captured yet", c.Pod, c.node)
		case liveapi.CaptureFailed:
			k.uncaptured(&b, c)
		case liveapi.CaptureElsewhere, liveapi.CaptureEnds:
		}
	}
	b.end(Problem, "pod", "pods")
	for _, node := range awaited.keys {
		pods := awaited.of[node]
		k.add(Unknown, remedy{"wait until they run; static pods, which a node reads from files of its own, are never captured", pageLimits},
			"%s not known to the container runtime of node %s: %s", output.Count(len(pods), "pod that policies select is", "pods that policies select are"), node, some(pods))
	}
	k.ok("%s on %s", output.Count(done, "pod is captured", "pods are captured"), output.Count(len(nodes), "node", "nodes"))
}

// undescribed says which agents know less of captures than what is checked.
func (k *checker) undescribed() {
	var nothing, less []string
	for i := range k.live.agents {
		a := &k.live.agents[i]
		switch items := a.captures.Value.Items; {
		case ask.OfEarlierVersion(a.captures.Err):
			nothing = append(nothing, a.on())
		case a.captures.Err == nil && len(items) > 0 && items[0].State == "":
			less = append(less, a.on())
		}
	}
	r := remedy{"upgrade the agents", pageUpgrade}
	if len(nothing) > 0 {
		k.add(Unknown, r, "%s: this agent's version does not say", onNodes(nothing))
	}
	if len(less) > 0 {
		k.add(Unknown, r, "%s: this agent's version does not say which pods are still to be captured, and since when others are", onNodes(less))
	}
}

// uncaptured says why a pod is not captured.
func (k *checker) uncaptured(b *bounded, c *podCapture) {
	r, result := remedy{k.logs(c.agent), pageCapture}, Problem
	switch c.Reason {
	case "HostNetwork":
		r, result = remedy{"select other pods: those on the node's network cannot be governed", pageNotEnforced}, Warning
	case "RulesRefused":
		r.do = "see what is found about the kernel of node " + c.node + ", and " + r.do
	case "NamespaceUnavailable":
		r.do = "see that the runtime keeps network namespaces in /run/netns, and " + r.do
	case "ListenFailed":
		r.do = "see which ports the pod's programs listen on, and " + r.do
	case "Overload":
		r = remedy{"raise the memory limit of the agents, or find the pod that opens so many connections", pageOverload}
	}
	selected := ""
	if len(c.Policies) > 0 {
		selected = " (selected by " + some(c.Policies) + ")"
	}
	b.add(result, r, "pod %s on node %s is not captured%s: %s", c.Pod, c.node, selected, cmp.Or(c.Problem, "its agent does not say why"))
}

// keptLong is how long after a pod was captured a connection from before counts as kept alive: it will not end by itself.
const keptLong = 10 * time.Minute

// connections checks that pods have no connections that are older than what governs them.
func (k *checker) connections(context.Context) {
	all, known := k.captures()
	if !known {
		k.add(Unknown, remedy{}, "no agent has answered: see nodes")
		return
	}
	k.olderKnown = !slices.ContainsFunc(k.live.agents, func(a agent) bool { return a.captures.Err != nil }) && k.live.left == 0
	before := len(k.Findings)
	b := bounded{k: k}
	for i := range all {
		if c := &all[i]; c.Older > 0 {
			k.older(&b, c)
		}
	}
	b.end(Warning, "pod", "pods")
	if k.clean(before) {
		k.ok("no captured pod has connections that are older than its policies")
	}
}

func (k *checker) older(b *bounded, c *podCapture) {
	to := make([]string, len(c.OlderTo))
	for i, a := range c.OlderTo {
		to[i] = a.String()
	}
	where := ""
	if len(to) > 0 {
		where = " to " + some(to)
	}
	namespace, name, _ := strings.Cut(c.Pod, "/")
	restart := fmt.Sprintf("kubectl -n %s delete pod %s, if something makes it anew, or kubectl -n %s rollout restart of its workload", namespace, name, namespace)
	count := output.Count(c.Older, "connection", "connections")
	if held := k.env.Now().Sub(c.Since); !c.Since.IsZero() && held >= keptLong {
		b.add(Warning, remedy{restart, pageHappens}, "pod %s keeps alive %s%s from before it was captured, %s ago: no policy governs %s", c.Pod, count, where,
			duration.HumanDuration(held), it(c.Older))
		return
	}
	b.add(Warning, remedy{"wait until the connections end; if they do not, " + restart, pageHappens},
		"pod %s has %s%s from before its policy: no policy governs %s", c.Pod, count, where, it(c.Older))
}

func it(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// trust checks that the pods whose TLS is intercepted trust the egress CA.
func (k *checker) trust(context.Context) {
	agents := k.states()
	before := len(k.Findings)
	b := bounded{k: k}
	for _, a := range agents {
		for _, d := range a.node.Value.Distrusts {
			k.distrust(&b, &d)
		}
	}
	b.end(Problem, "pod", "pods")
	if k.clean(before) && len(agents) > 0 {
		k.ok("no pod has ended handshakes in the last 10 minutes because it does not trust the egress CA")
	}
}

func (k *checker) distrust(b *bounded, d *liveapi.Distrust) {
	namespace, _, _ := strings.Cut(d.Pod, "/")
	do := fmt.Sprintf("kubectl label namespace %s policy.fairlead.dev/egress-ca=publish, mount ConfigMap fairlead-egress-ca into the pod, and have its program trust it", namespace)
	count := output.Count(d.Handshakes, "TLS handshake", "TLS handshakes")
	if d.PassedThrough {
		b.add(Warning, remedy{do, pageTrust}, "pod %s ended %s with %s because it does not trust the egress CA; its connections are passed through, governed as whole connections",
			d.Pod, count, d.Host)
		return
	}
	b.add(Problem, remedy{do, pageTrust}, "pod %s ended %s with %s because it does not trust the egress CA: its calls fail", d.Pod, count, d.Host)
}
