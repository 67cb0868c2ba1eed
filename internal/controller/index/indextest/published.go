package indextest

import (
	"slices"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// Publish compiles and publishes all that is pending, and returns the policies whose status may have changed.
func Publish(x *index.Index, sink index.ChangeSink) []policy.ID {
	jobs := x.Take()
	for _, j := range jobs {
		j.Compile()
	}
	changes, statuses := x.Publish(jobs)
	changes.SendTo(sink)
	return statuses
}

// Published is what agents would have.
type Published struct {
	Workloads    map[string]policy.Workload
	Nodes        map[string]string // of workloads
	Profiles     map[string]*policy.Profile
	Destinations map[string]*policy.Destination
	Roots        map[string]*policy.Roots
	KeyPairs     map[string]*policy.KeyPair
	Credentials  map[string]*policy.Credentials
	Retained     map[string]bool // names of which agents keep what they have
}

// NewPublished returns what agents have at first: nothing.
func NewPublished() *Published {
	return &Published{
		map[string]policy.Workload{}, map[string]string{}, map[string]*policy.Profile{}, map[string]*policy.Destination{},
		map[string]*policy.Roots{}, map[string]*policy.KeyPair{}, map[string]*policy.Credentials{}, map[string]bool{},
	}
}

var _ index.ChangeSink = (*Published)(nil)

// SetWorkload implements index.ChangeSink.
func (p *Published) SetWorkload(node string, w *policy.Workload) {
	p.Workloads[w.UID], p.Nodes[w.UID] = *w, node
}

// RemoveWorkload implements index.ChangeSink.
func (p *Published) RemoveWorkload(uid string) { delete(p.Workloads, uid); delete(p.Nodes, uid) }

// SetProfile implements index.ChangeSink.
func (p *Published) SetProfile(f *policy.Profile, _ ...policy.ID) { p.Profiles[f.Name] = f }

// RemoveProfile implements index.ChangeSink.
func (p *Published) RemoveProfile(name string) { delete(p.Profiles, name) }

// SetDestination implements index.ChangeSink.
func (p *Published) SetDestination(d *policy.Destination) { p.Destinations[d.Name] = d }

// RemoveDestination implements index.ChangeSink.
func (p *Published) RemoveDestination(name string) { delete(p.Destinations, name) }

// SetRoots implements index.ChangeSink.
func (p *Published) SetRoots(v *policy.Roots) { p.Roots[v.Name] = v }

// SetKeyPair implements index.ChangeSink.
func (p *Published) SetKeyPair(v *policy.KeyPair) { p.KeyPairs[v.Name] = v }

// SetCredentials implements index.ChangeSink.
func (p *Published) SetCredentials(v *policy.Credentials) { p.Credentials[v.Name] = v }

// RetainReference implements index.ChangeSink.
func (p *Published) RetainReference(_ policy.ReferenceKind, name string) { p.Retained[name] = true }

// RemoveReference implements index.ChangeSink.
func (p *Published) RemoveReference(kind policy.ReferenceKind, name string) {
	delete(p.Retained, name)
	switch kind {
	case policy.ReferenceRoots:
		delete(p.Roots, name)
	case policy.ReferenceKeyPair:
		delete(p.KeyPairs, name)
	case policy.ReferenceCredentials:
		delete(p.Credentials, name)
	}
}

// Dangling lists names that something published refers to and that are not published.
func (p *Published) Dangling(w *World) []string {
	var out []string
	for _, wl := range p.Workloads {
		if p.Profiles[wl.Profile] == nil {
			out = append(out, "profile "+wl.Profile)
		}
	}
	for _, f := range p.Profiles {
		for _, s := range f.Services() {
			if _, there := w.Services[s]; there && p.Destinations[s] == nil {
				out = append(out, "destination "+s)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Discard takes changes and keeps none.
type Discard struct{}

var _ index.ChangeSink = Discard{}

// SetWorkload implements index.ChangeSink.
func (Discard) SetWorkload(string, *policy.Workload) {}

// RemoveWorkload implements index.ChangeSink.
func (Discard) RemoveWorkload(string) {}

// SetProfile implements index.ChangeSink.
func (Discard) SetProfile(*policy.Profile, ...policy.ID) {}

// RemoveProfile implements index.ChangeSink.
func (Discard) RemoveProfile(string) {}

// SetDestination implements index.ChangeSink.
func (Discard) SetDestination(*policy.Destination) {}

// RemoveDestination implements index.ChangeSink.
func (Discard) RemoveDestination(string) {}

// SetRoots implements index.ChangeSink.
func (Discard) SetRoots(*policy.Roots) {}

// SetKeyPair implements index.ChangeSink.
func (Discard) SetKeyPair(*policy.KeyPair) {}

// SetCredentials implements index.ChangeSink.
func (Discard) SetCredentials(*policy.Credentials) {}

// RetainReference implements index.ChangeSink.
func (Discard) RetainReference(policy.ReferenceKind, string) {}

// RemoveReference implements index.ChangeSink.
func (Discard) RemoveReference(policy.ReferenceKind, string) {}
