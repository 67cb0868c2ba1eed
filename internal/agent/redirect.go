package agent

import (
	"sync"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// desired says which pods are to be captured, and how. A profile whose redirect is as it was keeps the very lists it had, given by former,
// so that comparing each pod's with what it has costs nothing; the result has those for the next time.
func desired(s *policy.Snapshot, former map[string]intent.Redirect) (all map[string]capture.PodSpec, now map[string]intent.Redirect) {
	all = make(map[string]capture.PodSpec, len(s.Workloads))
	now = make(map[string]intent.Redirect, len(s.Profiles))
	specs := make(map[string]capture.PodSpec, len(s.Profiles))
	for uid, w := range s.Workloads {
		p := s.Profiles[w.Profile]
		if p == nil {
			continue
		}
		spec, known := specs[p.Name]
		if !known {
			spec = capture.PodSpec{Redirect: routes.RedirectFor(p, s.Destinations), Policies: policies(p), Claims: claims(p, s.Destinations)}
			if before := former[p.Name]; before.Equal(spec.Redirect) {
				spec.Redirect = before
			}
			specs[p.Name], now[p.Name] = spec, spec.Redirect
		}
		if spec.Redirect.Empty() {
			continue
		}
		spec.Pod = capture.PodRef{UID: uid, Namespace: w.Namespace, Name: w.Name}
		all[uid] = spec
	}
	return all, now
}

// claims returns what says which policies a connection to an address would come under. It is made when it is asked for.
func claims(p *policy.Profile, destinations map[string]*policy.Destination) func() intent.Claims {
	return sync.OnceValue(func() intent.Claims {
		all := make(intent.Claims, len(p.Bindings))
		for i := range p.Bindings {
			alone := policy.Profile{Bindings: p.Bindings[i : i+1]}
			// One that cannot be put in normal form cannot be installed either, and covers nothing.
			redirect, _ := routes.RedirectFor(&alone, destinations).Normal()
			all[i] = intent.Claim{Redirect: redirect, Policies: p.Bindings[i].Merged, ByHost: p.Bindings[i].To.Kind == policy.TargetHost}
		}
		return all
	})
}

// policies lists what is merged into a profile, sorted.
func policies(p *policy.Profile) []policy.ID {
	var ids []policy.ID
	for i := range p.Bindings {
		ids = append(ids, p.Bindings[i].Merged...)
	}
	return intent.SortedIDs(ids)
}
