package main

import (
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/controller/shares"
	"fairlead.dev/fairlead/internal/policy"
)

// node is one node's agent: the instruments that its pods share.
type node struct {
	name string
	plan call.Plan

	// of a rate limit that the cluster shares
	limit  *resilience.RateLimit
	came   uint64
	serial uint64
}

// newNode makes what a policy asks for.
func newNode(name string, settings *policy.Settings, random *rand.Rand) *node {
	n := &node{name: name, plan: call.Plan{Settings: settings, Random: random.Float64}}
	n.plan.Budget = resilience.NewBudget(settings.Retry.Budget, epoch)
	if b := settings.Breaker; b != nil {
		n.plan.Breaker = resilience.NewBreaker(b, epoch, random.Float64)
		n.plan.Breaker.SetAttemptLimit(settings.Timeouts.PerTry)
	}
	if c := settings.Concurrency; c != nil { // the place comes first, as the agent has it
		n.plan.Gates = append(n.plan.Gates, resilience.NewConcurrency(*c, epoch).Gate())
	}
	if r := settings.RateLimit; r != nil {
		n.limit = resilience.NewSharedRateLimit(resilience.SharedLimit{
			Whole: r.Share(), Share: resilience.FirstShare(r.Share()), Provisional: true,
		}, epoch)
		n.plan.Gates = append(n.plan.Gates, n.limit.Gate())
	}
	return n
}

// manager divides a rate limit among the nodes, who report to it four times a second.
type manager struct {
	clock    *clock
	limit    *policy.RateLimit
	division *shares.Division
	nodes    []*node
}

// messageTakes is how long a message takes between a node and the manager.
const messageTakes = 20 * time.Millisecond

// newManager has been leading for long, and knows no node yet. It has nothing to do where no limit is shared.
func newManager(c *clock, limit *policy.RateLimit, nodes []*node) *manager {
	m := &manager{clock: c, limit: limit, nodes: nodes}
	if limit != nil {
		m.division = shares.NewDivision(shares.Share(limit.Share()), epoch.Add(-time.Hour))
		for _, n := range nodes {
			m.division.Join(n.name, shares.Share{})
		}
		c.after(shares.Interval, m.exchange)
	}
	return m
}

// exchange has all nodes report, and divides what they have reported before.
func (m *manager) exchange() {
	for _, n := range m.nodes {
		came := n.limit.Came()
		r := shares.Report{Demand: float64(came-n.came) / shares.Interval.Seconds(), Serial: n.serial}
		n.came = came
		m.clock.after(messageTakes, func() { m.division.Report(n.name, r) })
	}
	for _, g := range m.division.Divide(m.clock.time()) {
		m.clock.after(messageTakes, func() { m.grant(g) })
	}
	m.clock.after(shares.Interval, m.exchange)
}

// grant puts a share in force on its node.
func (m *manager) grant(g shares.Grant) {
	for _, n := range m.nodes {
		if n.name == g.Node {
			n.serial = g.Serial
			n.limit.SetShare(resilience.SharedLimit{Whole: m.limit.Share(), Share: policy.Share(g.Share)}, m.clock.time())
		}
	}
}
