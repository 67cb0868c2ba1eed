package index

import (
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// Changes are changes for agents, to be published as one. Each resource is named once.
type Changes struct {
	profiles            []compiledProfile
	removedProfiles     []string
	workloads           []placedWorkload
	removedWorkloads    []string
	destinations        []*policy.Destination
	removedDestinations []string
	materials           []*compile.Material
	retainedMaterials   []compile.MaterialKey
	removedMaterials    []compile.MaterialKey
}

type compiledProfile struct {
	*policy.Profile
	policies []policy.ID // it is compiled from
}

type placedWorkload struct {
	policy.Workload
	node string
}

// ChangeSink takes changes for agents.
type ChangeSink interface {
	SetWorkload(node string, w *policy.Workload)
	RemoveWorkload(uid string)
	SetProfile(p *policy.Profile, others ...policy.ID)
	RemoveProfile(name string)
	SetDestination(d *policy.Destination)
	RemoveDestination(name string)
	SetRoots(v *policy.Roots)
	SetKeyPair(v *policy.KeyPair)
	SetCredentials(v *policy.Credentials)
	// RetainReference says that nothing is known of what profiles refer to: agents keep what they have.
	RetainReference(kind policy.ReferenceKind, name string)
	RemoveReference(kind policy.ReferenceKind, name string)
}

// Split returns the changes in at most n parts, to be encoded at the same time and published as one.
func (c *Changes) Split(n int) []*Changes {
	rest := *c
	var parts []*Changes
	for size := (len(c.profiles) + n - 1) / n; len(parts) < n-1 && len(rest.profiles) > 0; {
		part := &Changes{profiles: rest.profiles[:min(size, len(rest.profiles))]}
		parts, rest.profiles = append(parts, part), rest.profiles[len(part.profiles):]
	}
	return append(parts, &rest)
}

// SendTo adds the changes to a sink.
func (c *Changes) SendTo(sink ChangeSink) {
	for _, p := range c.profiles {
		sink.SetProfile(p.Profile, p.policies...)
	}
	for _, d := range c.destinations {
		sink.SetDestination(d)
	}
	for _, m := range c.materials {
		send(sink, m)
	}
	for _, key := range c.retainedMaterials {
		sink.RetainReference(key.Kind, key.Name)
	}
	for i := range c.workloads {
		sink.SetWorkload(c.workloads[i].node, &c.workloads[i].Workload)
	}
	for _, uid := range c.removedWorkloads {
		sink.RemoveWorkload(uid)
	}
	for _, name := range c.removedProfiles {
		sink.RemoveProfile(name)
	}
	for _, name := range c.removedDestinations {
		sink.RemoveDestination(name)
	}
	for _, key := range c.removedMaterials {
		sink.RemoveReference(key.Kind, key.Name)
	}
}

func send(sink ChangeSink, m *compile.Material) {
	switch m.Kind {
	case policy.ReferenceRoots:
		sink.SetRoots(m.Roots)
	case policy.ReferenceKeyPair:
		sink.SetKeyPair(m.KeyPair)
	case policy.ReferenceCredentials:
		sink.SetCredentials(m.Credentials)
	}
}
