package compile

import (
	"fmt"
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Candidate is a policy that wants to be in force.
type Candidate struct {
	ID policy.ID
	// Current is the policy as written now, nil while it has problems.
	Current *Policy
	// LastGood is the last version that was in force, nil if none was.
	LastGood *Policy
	// Held is the version that some nodes have while a rollout brings Current to the others; nil for none.
	Held *Policy
}

// Verdict is what became of a Candidate.
type Verdict struct {
	// InForce is the version that is in force: Current, else LastGood, else nil.
	InForce *Policy
	// Conflict is set when Current lost to an older policy.
	Conflict *Conflict
}

// Conflict says which policy stands in another's way.
type Conflict struct {
	With   policy.ID
	Target string
}

// Problem returns the conflict as a Problem.
func (c *Conflict) Problem() Problem {
	return Problem{v1alpha1.ReasonConflicted, fmt.Sprintf(
		"The older policy %s has the same selector and the destination %s: remove the destination from one of them, or select other pods.", c.With, c.Target)}
}

// ResolveConflicts decides which candidates are in force: of two policies of one level with the same selector and destination, the older.
// Candidates are all those of a namespace, or all ClusterRetryPolicies. Verdicts come in the order of the candidates.
func ResolveConflicts(candidates []Candidate) []Verdict {
	order := make([]int, len(candidates))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if candidates[a].newest().older(candidates[b].newest()) {
			return -1
		}
		return 1
	})
	verdicts := make([]Verdict, len(candidates))
	t := taken{}
	for _, i := range order {
		v := t.decide(&candidates[i])
		if v.InForce != nil {
			t.add(v.InForce)
		}
		if held := candidates[i].Held; held != nil && held != v.InForce {
			t.add(held)
		}
		verdicts[i] = v
	}
	return verdicts
}

// taken holds the destinations of the policies in force, by level, selectors and target key.
type taken map[string][]policyTarget

func (t taken) add(p *Policy) {
	group := p.group()
	for i := range p.targets {
		key := group + p.targets[i].key()
		t[key] = append(t[key], policyTarget{p, &p.targets[i]})
	}
}

// newest returns the version that the candidate's age is read from; all versions of a policy have the same.
func (c *Candidate) newest() *Source {
	switch {
	case c.Current != nil:
		return &c.Current.Source
	case c.LastGood != nil:
		return &c.LastGood.Source
	}
	return &Source{ID: c.ID}
}

func (t taken) decide(c *Candidate) Verdict {
	var v Verdict
	if c.Current != nil {
		if v.Conflict = t.conflict(c.Current); v.Conflict == nil {
			v.InForce = c.Current
			return v
		}
	}
	if c.LastGood != nil && t.conflict(c.LastGood) == nil {
		v.InForce = c.LastGood
	}
	return v
}

func (t taken) conflict(p *Policy) *Conflict {
	group := p.group()
	for i := range p.targets {
		for _, o := range t[group+p.targets[i].key()] {
			if p.targets[i].same(o.target) {
				return &Conflict{With: o.policy.ID, Target: p.targets[i].Label()}
			}
		}
	}
	return nil
}

// group is equal for policies of one level with the same selectors.
func (p *Policy) group() string {
	s := fmt.Sprintf("%d %s ", p.Level, p.Pods)
	if p.Namespaces != nil {
		s += "in " + p.Namespaces.String() + " "
	}
	return s
}

// same reports whether neither of two targets with one key is more specific than the other and some call is to both.
func (t *target) same(o *target) bool {
	return t.written == o.written && t.portName == o.portName && t.sharesPort(o)
}
