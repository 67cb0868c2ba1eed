package agent

import (
	"context"
	"net/http"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/kernel"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// nodePage answers what the agent knows of its node and of itself.
func (a *Agent) nodePage(w http.ResponseWriter, r *http.Request) {
	if err := liveapi.ParseQuery(r).Err(); err != nil {
		liveapi.Refuse(w, http.StatusBadRequest, err)
		return
	}
	liveapi.Answer(w, a.liveNode(r.Context(), time.Now()))
}

func (a *Agent) liveNode(ctx context.Context, now time.Time) *liveapi.NodeState {
	n := &liveapi.NodeState{
		Node: a.opts.Node, At: now, Version: a.client.AgentVersion(), Started: a.started, Kernel: liveKernel(a.kernel.Facts(now)),
		Runtime: a.liveRuntime(ctx), Manager: liveSubscribed(a.client.State()), Distrusts: a.liveDistrusts(a.routes.Distrusts(now)),
	}
	if notBefore, notAfter, ok := a.routes.Issuer(); ok {
		n.Issuer = &liveapi.Issuer{NotBefore: notBefore, NotAfter: notAfter}
	}
	for _, ids := range a.routes.Unissued(now) {
		n.Unissued = append(n.Unissued, names(ids)...)
	}
	slices.Sort(n.Unissued)
	n.Unissued = slices.Compact(n.Unissued)
	return n
}

func liveKernel(f kernel.Facts) liveapi.Kernel {
	k := liveapi.Kernel{Release: f.Release, Features: make([]liveapi.KernelFeature, len(f.Features))}
	if f.Err != nil {
		k.Problem = f.Err.Error()
	}
	for i, x := range f.Features {
		k.Features[i] = liveapi.KernelFeature{Module: x.Module, For: x.For, Needed: x.Needed, Works: x.Err == nil, Loaded: x.Loaded}
		if x.Err != nil {
			k.Features[i].Problem = x.Err.Error()
		}
	}
	return k
}

// liveRuntime says which container runtime there is, and what was wrong when it was asked the last time for the node's pods.
func (a *Agent) liveRuntime(ctx context.Context) liveapi.Runtime {
	sandboxes, _ := a.watcher.Sandboxes()
	r := liveapi.Runtime{Socket: a.opts.CRISocket, Sandboxes: len(sandboxes)}
	var err error
	r.Name, r.Version, err = a.watcher.Runtime(ctx)
	if err == nil {
		err = a.watcher.Err()
	}
	if err != nil {
		r.Problem = err.Error()
	}
	return r
}

func liveSubscribed(s subscribe.State) liveapi.Subscribed {
	of := liveapi.Subscribed{Connected: s.Connected, Since: s.Changed, Problem: s.LastError, Source: string(s.Source)}
	if s.Source == subscribe.SourceNone {
		of.Source = "none"
	}
	return of
}

// liveDistrusts lists the pods that do not trust the egress CA.
func (a *Agent) liveDistrusts(all []routes.Distrust) []liveapi.Distrust {
	out := make([]liveapi.Distrust, len(all))
	for i, d := range all {
		out[i] = liveapi.Distrust{Pod: a.podName(d.Pod), Host: d.Host, Policies: names(d.Policies), Handshakes: d.Ended, PassedThrough: d.Spared}
	}
	return out
}

func names(ids []policy.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}
