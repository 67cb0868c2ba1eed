package doctor

import (
	"net/http"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// pages answer the live API.
type pagesOf map[string]any

func (p pagesOf) handler() http.Handler {
	mux := http.NewServeMux()
	for path, v := range p {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { liveapi.Answer(w, v) })
	}
	return mux
}

// features are all that a kernel has, but for some.
func features(lacking ...string) []liveapi.KernelFeature {
	out := []liveapi.KernelFeature{
		{Module: "nf_tables", For: "nftables, with sets whose elements expire", Needed: true, Works: true, Loaded: true},
		{Module: "nft_redir", For: "redirecting connections to the agent", Needed: true, Works: true, Loaded: true},
		{Module: "nft_reject_inet", For: "udp443: Reject", Works: true},
	}
	for i := range out {
		for _, module := range lacking {
			if out[i].Module == module {
				out[i].Works, out[i].Loaded, out[i].Problem = false, false, "change nftables: no such file or directory"
			}
		}
	}
	return out
}

// state is that of a node on which all is well.
func state(node string) liveapi.NodeState {
	return liveapi.NodeState{
		Node: node, At: clitest.Now, Version: "v0.9.0", Kernel: liveapi.Kernel{Release: "6.12.8", Features: features()},
		Runtime: liveapi.Runtime{Socket: "/run/containerd/containerd.sock", Name: "containerd", Version: "v2.1.0", Sandboxes: 7},
		Manager: liveapi.Subscribed{Connected: true, Since: clitest.Now.Add(-time.Hour), Source: "manager"},
		Issuer:  &liveapi.Issuer{NotBefore: clitest.Now.Add(-time.Hour), NotAfter: clitest.Now.Add(23 * time.Hour)}, Distrusts: []liveapi.Distrust{},
	}
}

// done is the capture of a pod that has been captured for an hour.
func done(pod string) liveapi.Capture {
	return liveapi.Capture{Pod: pod, UID: pod, Captured: true, State: liveapi.CaptureDone, Since: clitest.Now.Add(-time.Hour), Connections: 2, Policies: []string{"shop/partner"}}
}

func captures(node string, all ...liveapi.Capture) liveapi.List[liveapi.Capture] {
	return liveapi.List[liveapi.Capture]{Node: node, At: clitest.Now, Items: all}
}

func managed(nodes ...liveapi.Node) pagesOf {
	return pagesOf{
		liveapi.NodesPath:   liveapi.List[liveapi.Node]{At: clitest.Now, Items: nodes},
		liveapi.ManagerPath: liveapi.ManagerState{At: clitest.Now, EgressCAExpires: clitest.Now.AddDate(2, 0, 0)},
	}
}

func connected(name string, missing ...string) liveapi.Node {
	return liveapi.Node{Node: name, Pods: 2, Agents: []liveapi.AgentState{{PodUID: name, Version: "v0.9.0", Missing: missing}}}
}

func healthy(c *asktest.Cluster) {
	c.Serve("fairlead-manager-1", managed(connected("node-1"), connected("node-2")).handler())
	for _, n := range []string{"1", "2"} {
		c.Serve("fairlead-agent-"+n, pagesOf{liveapi.NodePath: state("node-" + n), liveapi.CapturePath: captures("node-"+n, done("shop/web-"+n))}.handler())
	}
}

// earlier are a manager and agents that know less: the second of them neither what captures are like.
func earlier(c *asktest.Cluster) {
	m := managed(connected("node-1"))
	delete(m, liveapi.ManagerPath)
	c.Serve("fairlead-manager-1", m.handler())
	c.Serve("fairlead-agent-1", pagesOf{liveapi.CapturePath: captures("node-1", liveapi.Capture{Pod: "shop/web-1", UID: "1", Captured: true},
		liveapi.Capture{Pod: "shop/web-2", UID: "2", Captured: true, Older: 1})}.handler())
	c.Serve("fairlead-agent-2", pagesOf{}.handler())
}

// ended are nodes and a manager whose certificates have ended, before a clock that is wrong.
func ended(c *asktest.Cluster) {
	m := managed(connected("node-1"))
	m[liveapi.NodesPath] = liveapi.List[liveapi.Node]{At: clitest.Now.Add(2 * time.Hour), Items: []liveapi.Node{}}
	m[liveapi.ManagerPath] = liveapi.ManagerState{EgressCAExpires: clitest.Now.Add(-time.Hour)}
	c.Serve("fairlead-manager-1", m.handler())
	for _, n := range []string{"1", "2"} {
		s, l := state("node-"+n), captures("node-"+n)
		s.Issuer.NotAfter = clitest.Now.Add(time.Minute)
		l.At = clitest.Now.Add(2*time.Hour + time.Second)
		c.Serve("fairlead-agent-"+n, pagesOf{liveapi.NodePath: s, liveapi.CapturePath: l}.handler())
	}
}

// troubled is a cluster in which most of what can be wrong is.
func troubled(c *asktest.Cluster) {
	m := managed(connected("node-1", "faults", "hedging"), connected("node-4"), liveapi.Node{Node: "node-3", Pods: 1, Agents: []liveapi.AgentState{}})
	m[liveapi.ManagerPath] = liveapi.ManagerState{EgressCAExpires: clitest.Now.AddDate(0, 0, 20)}
	c.Serve("fairlead-manager-1", m.handler())
	one := state("node-1")
	one.Distrusts = []liveapi.Distrust{
		{Pod: "shop/web-1", Host: "api.payments.example", Policies: []string{"shop/partner"}, Handshakes: 12},
		{Pod: "shop/web-2", Host: "api.payments.example", Policies: []string{"shop/partner"}, Handshakes: 3, PassedThrough: true},
	}
	one.Issuer, one.Unissued = nil, []string{"shop/partner"}
	kept, fresh, host, failed, foreign := done("shop/kept"), done("shop/fresh"), done("shop/host"), done("shop/failed"), done("shop/foreign")
	kept.Older, kept.OlderTo = 2, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:443"), netip.MustParseAddrPort("10.0.0.8:443")}
	kept.Since = clitest.Now.Add(-26 * time.Hour)
	fresh.Older, fresh.Since = 1, clitest.Now.Add(-time.Minute)
	host.Captured, host.State, host.Reason, host.Problem = false, liveapi.CaptureFailed, "HostNetwork", "the pod uses the node's network, which is never captured"
	failed.Captured, failed.State, failed.Reason, failed.Problem = false, liveapi.CaptureFailed, "RulesRefused", "change nftables: no such file or directory"
	foreign.Foreign = []string{"iptables nat"}
	starting, absent := liveapi.Capture{Pod: "shop/starting", UID: "s", State: liveapi.CaptureBegun}, liveapi.Capture{Pod: "kube-system/static", UID: "a", State: liveapi.CaptureAwaited}
	taken := kept
	taken.State, taken.Older = liveapi.CaptureElsewhere, 9
	c.Serve("fairlead-agent-1", pagesOf{liveapi.NodePath: one, liveapi.CapturePath: captures("node-1", kept, fresh, host, foreign, starting, absent)}.handler())
	four := state("node-4")
	four.Kernel = liveapi.Kernel{Release: "6.1.0", Features: features("nft_redir", "nft_reject_inet")}
	four.Manager = liveapi.Subscribed{Since: clitest.Now.Add(-time.Minute), Problem: "dial tcp 10.96.0.3:9443: connection refused", Source: "disk"}
	four.Runtime.Problem = "list sandboxes: no such file or directory"
	late := captures("node-4", failed, taken)
	late.At = clitest.Now.Add(-90 * time.Second)
	c.Serve("fairlead-agent-4", pagesOf{liveapi.NodePath: four, liveapi.CapturePath: late}.handler())
	c.Serve("fairlead-agent-5", pagesOf{liveapi.CapturePath: captures("node-5", liveapi.Capture{Pod: "shop/old", UID: "o", Problem: "no namespace"})}.handler())
}

func podOn(node string) *corev1.Pod { return &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}} }
