package compile

import (
	"fmt"

	"fairlead.dev/fairlead/internal/policy"
)

// Bounds are figures of a policy that are odd or not by what there is in the cluster.
type Bounds struct {
	sharedBurst    int  // the least of a rate that the cluster shares; 0: there is none
	ejectedPercent int  // the least of a breaker of endpoints that ejects any; 0: there is none
	rollsOut       bool // a change is to come to a share of the nodes first
}

// BoundsOf returns those of a policy and of its rules.
func BoundsOf(src *Source) (b Bounds) {
	b.rollsOut = src.Rollout != nil && src.Rollout.Percent < 100
	if src.Body == nil {
		return b
	}
	b.add(settingsOf(src.Body))
	for i := range src.Body.Rules {
		patched := *src.Body
		patched.CallBlocks = patchedBlocks(src.Body.CallBlocks, src.Body.Rules[i].CallBlocks)
		b.add(settingsOf(&patched))
	}
	return b
}

func (b *Bounds) add(s policy.Settings) {
	least := func(of *int, n int) {
		if *of == 0 || n < *of {
			*of = n
		}
	}
	if l := s.RateLimit; l != nil && l.Scope == policy.ShareCluster {
		least(&b.sharedBurst, l.Burst)
	}
	if c := s.Breaker; c != nil && c.Scope == policy.ScopeEndpoint && c.MaxEjectedPercent > 0 && s.LoadBalancing != policy.ClusterIP {
		least(&b.ejectedPercent, c.MaxEjectedPercent)
	}
}

// BelowNodes warns of a burst that is less than the nodes that share it; else it is empty.
func (b Bounds) BelowNodes(nodes int) string {
	if b.sharedBurst == 0 || b.sharedBurst >= nodes {
		return ""
	}
	return fmt.Sprintf("rateLimit.burst %d is less than the %d nodes that share it by scope: Cluster, and each can start a call at once all the same, "+
		"so %d may start at once. Set it to %d or more if that must not be.", b.sharedBurst, nodes, nodes, nodes)
}

// OneNode warns of a rollout to the share of one node; else it is empty.
func (b Bounds) OneNode(nodes int) string {
	if !b.rollsOut || nodes != 1 {
		return ""
	}
	return "rollout has one node to come to: it gets a change at once, whatever percent says, and its calls are compared with those of the minute before."
}

// EjectsNone warns of a share of the endpoints of a Service that is none of them; else it is empty. Of a single one none is ejected in any case.
func (b Bounds) EjectsNone(service string, endpoints int) string {
	if endpoints < 2 || b.ejectedPercent == 0 || endpoints*b.ejectedPercent >= 100 {
		return ""
	}
	return fmt.Sprintf("circuitBreaker.maxEjectedPercent %d of the %d endpoints of %s is none, rounded down, so none is ever ejected. Set it to %d or more "+
		"to let one be.", b.ejectedPercent, endpoints, service, (99+endpoints)/endpoints)
}
