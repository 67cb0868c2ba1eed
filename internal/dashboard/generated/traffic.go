package generated

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// madeFlow is what one workload calls.
type madeFlow struct {
	flow    policy.Flow
	rate    float64
	success float64
	p50     time.Duration
}

// history makes the flows, and what they did within the last hour.
func (c *Cluster) history(now time.Time) {
	for i, m := range c.policies {
		f := &madeFlow{rate: m.rate, success: m.success, p50: m.p50, flow: policy.Flow{
			Caller: policy.Caller{Namespace: m.namespace, Workload: workloadNames[i%len(workloadNames)]},
			Policy: id(m.key), Target: m.target, Destination: m.label, Protocol: policy.FlowHTTP,
		}}
		if !m.service {
			f.flow.Protocol = policy.FlowTLS
		}
		if m.namespace == "" {
			f.flow.Caller = policy.Caller{Namespace: namespaceName(0), Workload: "cart"}
			f.flow.Destination, f.flow.Address = "legacy.example:8080", netip.MustParseAddrPort("192.0.2.7:8080")
		}
		c.flows = append(c.flows, f)
		if i%10 == 0 { // of which others make calls, too
			for j := range 2 + i/10%4 {
				also := *f
				also.flow.Caller.Workload, also.rate = workloadNames[(i+1+j)%len(workloadNames)], f.rate/float64(2+j)
				c.flows = append(c.flows, &also)
			}
		}
	}
	hostile := *c.flows[0]
	hostile.rate = 1000 // so that it is among the first
	hostile.flow.Caller.Workload, hostile.flow.Destination = "Deployment/"+Script, strings.ToLower(Script)+".example:443"
	c.flows = append(c.flows, &hostile)
	start := now.Add(-inventory.Kept)
	c.store = inventory.New(4*len(c.flows), start)
	for at := start; at.Before(now); at = at.Add(inventory.Slot) {
		c.traffic(at)
		if at.Sub(start)%(3*time.Minute) == 0 {
			c.happens(at)
		}
	}
}

func id(key string) policy.ID {
	namespace, name, ok := strings.Cut(key, "/")
	if !ok {
		return policy.ID{Kind: policy.KindClusterRetryPolicy, Name: key}
	}
	return policy.ID{Namespace: namespace, Name: name}
}

// traffic adds what the flows do in one slot. It varies over the hour, and for some minutes of it calls fail.
func (c *Cluster) traffic(at time.Time) {
	flows := make([]policy.Flow, len(c.flows))
	for i, f := range c.flows {
		minute := float64(at.Unix()) / 60
		calls := f.rate * inventory.Slot.Seconds() * (1 + 0.3*math.Sin(minute/7+float64(i)))
		success := f.success
		if i%17 == 3 && int(minute)%20 < 3 {
			success *= 0.8
		}
		flow := f.flow
		flow.Counts.Calls = uint64(max(calls, 1))
		flow.Counts.Successes = uint64(math.Round(float64(flow.Counts.Calls) * success))
		flow.Counts.Retries = (flow.Counts.Calls - flow.Counts.Successes) * 2
		slow := flow.Counts.Calls / 50
		flow.Latency[policy.LatencyBucket(f.p50)] = flow.Counts.Calls - slow
		flow.Latency[policy.LatencyBucket(8*f.p50)] = slow
		flows[i] = flow
	}
	c.store.Add(at, flows)
}

func opened(policy, target string) liveapi.Change {
	return liveapi.Change{Kind: "BreakerOpened", Policy: policy, Target: target, Note: "A circuit breaker opened for " + target + "."}
}

func closed(policy, target string) liveapi.Change {
	return liveapi.Change{Kind: "BreakerClosed", Policy: policy, Target: target, Note: "All circuit breakers for " + target + " are closed again."}
}

// happens adds changes; among them each time some of the first policy, at its destination and at another one.
func (c *Cluster) happens(at time.Time) {
	m := c.policies[c.rnd.IntN(len(c.policies))]
	first := c.policies[0]
	node := NodeName(c.rnd.IntN(c.size.Nodes))
	for i, one := range []liveapi.Change{
		{Kind: changes.PolicyChanged, Policy: m.key, Note: "its spec was edited", FieldManager: "argocd-controller " + Script, Operation: "Apply"},
		opened(m.key, m.target), closed(m.key, m.target),
		opened(first.key, first.target), closed(first.key, first.target), opened(first.key, "service elsewhere/other:80"),
		{Kind: changes.AgentGone, Node: node, Note: "v0.9.0"},
		{Kind: changes.AgentConnected, Node: node, Note: "v0.9.0 " + Script},
		{Kind: "RolloutStarted", Policy: m.key, Note: "Generation 3 goes to 10 % of the nodes."},
	} {
		one.At = at.Add(time.Duration(i-10) * time.Second)
		c.changes.Add(one)
	}
}
