package generated

import (
	"net/http"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// states are what agents say of their nodes and captures. The first node has a pod that does not trust the egress CA and one that keeps connections alive, with
// hostile names; the third has a kernel that lacks a module; the fourth has an agent that is too old to say.
func (c *Cluster) states(mux *http.ServeMux, node string) {
	now := time.Now()
	captures := []liveapi.Capture{{Pod: "shop/web-1", UID: node, Captured: true, State: liveapi.CaptureDone, Since: now.Add(-time.Hour), Connections: 3}}
	s := liveapi.NodeState{
		Node: node, Version: "v0.9.0", Kernel: liveapi.Kernel{Release: "6.12.8", Features: []liveapi.KernelFeature{
			{Module: "nft_redir", For: "redirecting connections to the agent", Needed: true, Works: true, Loaded: true},
			{Module: "nft_reject_inet", For: "udp443: Reject", Works: true},
		}},
		Runtime: liveapi.Runtime{Socket: "/run/containerd/containerd.sock", Name: "containerd", Version: "v2.1.0", Sandboxes: 9},
		Manager: liveapi.Subscribed{Connected: true, Source: "manager"}, Distrusts: []liveapi.Distrust{},
	}
	switch node {
	case NodeName(0):
		s.Distrusts = append(s.Distrusts, liveapi.Distrust{Pod: "shop/web-1", Host: Script + ".example", Policies: []string{"shop/backend-1"}, Handshakes: 12})
		captures[0].Older, captures[0].OlderTo = 2, []netip.AddrPort{netip.MustParseAddrPort("10.1.0.7:443")}
	case NodeName(2):
		f := &s.Kernel.Features[1]
		f.Works, f.Problem = false, "change nftables: no such file or directory"
	}
	mux.HandleFunc("GET "+liveapi.CapturePath, func(w http.ResponseWriter, _ *http.Request) {
		liveapi.Answer(w, liveapi.List[liveapi.Capture]{Node: node, At: time.Now(), Items: captures})
	})
	if node == NodeName(3) {
		return
	}
	mux.HandleFunc("GET "+liveapi.NodePath, func(w http.ResponseWriter, _ *http.Request) {
		now := s
		now.At = time.Now()
		liveapi.Answer(w, now)
	})
}
