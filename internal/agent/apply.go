package agent

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/policy"
)

// settleTimeout bounds how long an acknowledgement waits for the kernel. A pod that cannot be captured by then is reported as a
// problem of its own and does not hold up the others.
const settleTimeout = 2 * time.Second

// applier puts snapshots into force: first the policies, then the doors that bring calls to them. The other way round calls would
// arrive before there is policy for them.
type applier struct {
	routes   *routes.Table
	capture *capture.Manager
	meter   *telemetry.Meter
	log     *slog.Logger

	// used only by Apply
	redirects map[string]capture.Redirect // of the last snapshot's profiles, by name
}

var _ subscribe.Applier = (*applier)(nil)

// Apply implements subscribe.Applier.
func (a *applier) Apply(next *policy.Snapshot) []subscribe.Rejection {
	var refused []subscribe.Rejection
	for _, r := range a.routes.Install(next) {
		refused = append(refused, subscribe.Rejection{Profile: r.Profile, Reason: subscribe.ReasonInvalid, Message: r.Message})
	}
	if len(refused) > 0 {
		return refused // asked again with the previous version of these
	}
	start := time.Now()
	a.meter.Installed(start, next)
	var specs map[string]capture.PodSpec
	specs, a.redirects = desired(next, a.redirects)
	a.capture.Reconcile(specs)
	ctx, stop := context.WithTimeout(context.Background(), settleTimeout)
	defer stop()
	if err := a.capture.Settle(ctx); err != nil {
		a.log.Warn("capture is slow to follow the policy", "reason", err)
	}
	a.log.Debug("policy in force", "workloads", len(next.Workloads), "profiles", len(next.Profiles), "took", time.Since(start))
	return nil
}

// desired says which pods are to be captured, and how. A profile whose redirect is as it was keeps the very lists it had, given by former,
// so that comparing each pod's with what it has costs nothing; the result has those for the next time.
func desired(s *policy.Snapshot, former map[string]capture.Redirect) (all map[string]capture.PodSpec, now map[string]capture.Redirect) {
	all = make(map[string]capture.PodSpec, len(s.Workloads))
	now = make(map[string]capture.Redirect, len(s.Profiles))
	redirects := make(map[string]capture.PodSpec, len(s.Profiles))
	for uid, w := range s.Workloads {
		p := s.Profiles[w.Profile]
		if p == nil {
			continue
		}
		spec, known := redirects[p.Name]
		if !known {
			spec = capture.PodSpec{Redirect: redirect(routes.RedirectFor(p, s.Destinations)), Policies: policies(p),
				Governing: governing(p, s.Destinations)}
			if before := former[p.Name]; before.Equal(spec.Redirect) {
				spec.Redirect = before
			}
			redirects[p.Name], now[p.Name] = spec, spec.Redirect
		}
		if empty(spec.Redirect) {
			continue
		}
		spec.Pod = capture.PodRef{UID: uid, Namespace: w.Namespace, Name: w.Name}
		all[uid] = spec
	}
	return all, now
}

func redirect(r routes.Redirect) capture.Redirect {
	out := capture.Redirect{Addrs: r.Addrs, Ports: r.Ports, All: r.All, FailClosed: r.FailClosed}
	for _, b := range r.Blocks {
		out.Blocks = append(out.Blocks, capture.Block(b))
	}
	return out
}

func empty(r capture.Redirect) bool {
	return !r.All && len(r.Addrs) == 0 && len(r.Blocks) == 0 && len(r.Ports) == 0
}

// governing returns what names the policies that a connection to an address would come under. Whether a policy for a host would govern it
// cannot be told by the address, so it counts, and so does what comes after it. What is needed to tell is made when it is asked for.
func governing(p *policy.Profile, destinations map[string]*policy.Destination) func(to netip.AddrPort) []policy.ID {
	redirects := sync.OnceValue(func() []capture.Redirect {
		list := make([]capture.Redirect, len(p.Bindings))
		for i := range p.Bindings {
			alone := policy.Profile{Bindings: p.Bindings[i : i+1]}
			// One that cannot be put in normal form cannot be installed either, and covers nothing.
			list[i], _ = redirect(routes.RedirectFor(&alone, destinations)).Normal()
		}
		return list
	})
	return func(to netip.AddrPort) []policy.ID {
		var ids []policy.ID
		for i, r := range redirects() {
			if !r.Covers(to) {
				continue
			}
			ids = append(ids, p.Bindings[i].Merged...)
			if p.Bindings[i].To.Kind != policy.TargetHost {
				break
			}
		}
		return sortedIDs(ids)
	}
}

// policies lists what is merged into a profile, sorted.
func policies(p *policy.Profile) []policy.ID {
	var ids []policy.ID
	for i := range p.Bindings {
		ids = append(ids, p.Bindings[i].Merged...)
	}
	return sortedIDs(ids)
}

func sortedIDs(ids []policy.ID) []policy.ID {
	slices.SortFunc(ids, func(a, b policy.ID) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(ids)
}
