package distribute

import (
	"cmp"
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// NodeState is how a node stands, for whoever looks into the manager.
type NodeState struct {
	Name   string
	Agents []AgentState
	// Pods are those that policies govern, NotProgrammed the profiles that are not in force there in their latest version.
	Pods, NotProgrammed int
}

// AgentState is a connected agent.
type AgentState struct {
	PodUID, Version string
	// Missing are the features that this build has and the agent lacks.
	Missing wire.Features
}

// NodeStates returns the nodes that have something, sorted by name.
func (s *Store) NodeStates() []NodeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]NodeState, 0, len(s.nodes))
	for _, n := range s.nodes {
		of := NodeState{Name: n.name, Pods: len(n.workloads), NotProgrammed: len(n.unprogrammed)}
		for _, c := range n.sessions {
			of.Agents = append(of.Agents, AgentState{PodUID: c.agent, Version: c.version, Missing: wire.AllFeatures() &^ c.features})
		}
		all = append(all, of)
	}
	slices.SortFunc(all, func(a, b NodeState) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Policies returns the policies under which traffic is reported, sorted.
func (s *Store) Policies() []policy.ID {
	s.traffic.mu.RLock()
	defer s.traffic.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(s.traffic.policies), policy.ID.Compare)
}

// Serves reports whether this replica serves agents.
func (s *Store) Serves() bool {
	_, serves := s.serving.current()
	return serves
}
