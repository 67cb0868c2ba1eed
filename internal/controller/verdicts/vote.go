package verdicts

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// votes count nodes that call the destination, by how they see it.
type votes struct {
	opened  int // its own breaker has opened
	failing int // nothing but failures has come back lately, and too many to be chance
	good    int
}

// vote opens the breaker if the nodes see the destination down.
func (b *Breaker) vote(now time.Time) {
	if b.opened > 0 && !now.Before(b.opensAt) && b.count().down() {
		b.open(now)
	}
}

// down reports whether the destination is down for all:
//   - the breakers of at least two nodes have opened, and they are at least half of the nodes that call it, or
//   - the breaker of one has, and at least one other node has seen nothing but failures, and enough of them, and it works for none.
//
// So a node that alone sees it down keeps nobody out but itself: what is broken may be that node. Some failures of others are no second opinion: a node
// that has seen a few, and no success since, has no vote.
func (v votes) down() bool {
	calling := v.opened + v.failing + v.good
	if v.opened >= 2 && 2*v.opened >= calling {
		return true
	}
	return v.opened >= 1 && v.good == 0 && calling >= 2
}

// count counts each node once. Of two agents of one node, during an upgrade, the one counts to which the destination looks better.
func (b *Breaker) count() votes {
	nodes := make(map[string]vote, len(b.members))
	for at, m := range b.members {
		if is := voteOf(m.view); is > nodes[at.Node] {
			nodes[at.Node] = is
		}
	}
	var v votes
	for _, is := range nodes {
		switch is {
		case votesOpened:
			v.opened++
		case votesFailing:
			v.failing++
		case votesGood:
			v.good++
		case abstains:
		}
	}
	return v
}

// vote is that of a node: the greater the better the destination looks.
type vote uint8

const (
	abstains vote = iota
	votesOpened
	votesFailing
	votesGood
)

func voteOf(v policy.BreakerView) vote {
	switch v {
	case policy.BreakerOpened, policy.BreakerWaiting, policy.BreakerProbing:
		return votesOpened
	case policy.BreakerFailing:
		return votesFailing
	case policy.BreakerGood:
		return votesGood
	case policy.BreakerIdle, policy.BreakerHeld, policy.BreakerRefusing:
	}
	return abstains
}
