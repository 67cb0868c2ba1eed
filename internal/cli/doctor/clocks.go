package doctor

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// clockSkew is by how much a clock may differ before it is worth a word: deadlines of annotations and certificates go by clocks.
const clockSkew = time.Minute

// reading is what another clock has said, asked at one time of the clock here and answered at another.
type reading struct {
	who string
	by  time.Duration // how much it is ahead at least; negative: behind
}

// read compares a time that something has said with when it was asked and answered. It differs by what lies outside of that.
func read(who string, at, asked, answered time.Time) reading {
	switch {
	case at.After(answered):
		return reading{who, at.Sub(answered)}
	case at.Before(asked):
		return reading{who, at.Sub(asked)}
	}
	return reading{who, 0}
}

// clocks checks that the clocks of nodes and manager agree with the one here.
func (k *checker) clocks(ctx context.Context) {
	all, known := k.readings()
	leases, err := k.leased(ctx, known)
	all = append(all, leases...)
	if err != nil {
		k.unknown(err)
	}
	var off []reading
	for _, r := range all {
		if r.by.Abs() > clockSkew {
			off = append(off, r)
		}
	}
	if here, is := k.wrongHere(all, off); is {
		k.add(Warning, remedy{"have chrony, systemd-timesyncd or the system's settings keep the time here", pageClocks},
			"the clock here is %s the cluster's: times that commands show are off by that", apart(-here))
		return
	}
	for _, r := range off {
		k.add(Warning, remedy{"have chrony or systemd-timesyncd keep the time there, or here", pageClocks}, "%s: its clock is %s the one here", r.who, apart(r.by))
	}
	switch {
	case len(all) == 0 && err == nil:
		k.add(Unknown, remedy{}, "neither manager nor agents have said what time it is")
	case len(all) > 0 && len(off) == 0:
		k.ok("%s from the one here by more than a minute", output.Count(len(all), "clock was compared, and does not differ", "clocks were compared, and none differs"))
	}
}

// wrongHere reports whether it is the clock here that is off: several others agree with each other, and not with it.
func (k *checker) wrongHere(all, off []reading) (by time.Duration, is bool) {
	if len(off) < 2 || len(off) < len(all) {
		return 0, false
	}
	least, most := off[0].by, off[0].by
	for _, r := range off {
		least, most = min(least, r.by), max(most, r.by)
	}
	return least, most-least <= clockSkew
}

func apart(by time.Duration) string {
	if by < 0 {
		return by.Abs().Round(time.Second).String() + " behind"
	}
	return by.Round(time.Second).String() + " ahead of"
}

// readings are of the manager's clock and of the agents', which are those of their nodes.
func (k *checker) readings() (all []reading, known map[string]bool) {
	known = map[string]bool{}
	if l := &k.live; l.nodesErr == nil && !l.nodes.At.IsZero() {
		all = append(all, read("the manager", l.nodes.At, l.asked, l.answered))
	}
	for i := range k.live.agents {
		a := &k.live.agents[i]
		at, of := a.captures.Value.At, &a.captures
		if of.Err == nil && !at.IsZero() && !known[a.on()] {
			known[a.on()] = true
			all = append(all, read("node "+a.on(), at, of.Asked, of.Answered))
		}
	}
	return all, known
}

// leased are readings of the clocks of nodes whose agents have said nothing, by when their kubelets renewed their leases: a clock that is ahead shows.
func (k *checker) leased(ctx context.Context, known map[string]bool) ([]reading, error) {
	if k.allKnown(known) {
		return nil, nil
	}
	var leases coordinationv1.LeaseList
	if err := k.c.List(ctx, &leases, client.InNamespace("kube-node-lease")); err != nil {
		return nil, kube.Explain(err, "compare the nodes' clocks: list leases in kube-node-lease")
	}
	var all []reading
	for i := range leases.Items {
		if l := &leases.Items[i]; l.Spec.RenewTime != nil && !known[l.Name] {
			all = append(all, reading{"node " + l.Name, max(l.Spec.RenewTime.Sub(k.env.Now()), 0)})
		}
	}
	return all, nil
}

// allKnown reports whether the clock of each node with an agent is known.
func (k *checker) allKnown(known map[string]bool) bool {
	for i := range k.live.pods {
		if !known[k.live.pods[i].Spec.NodeName] {
			return false
		}
	}
	return len(k.live.pods) > 0
}
