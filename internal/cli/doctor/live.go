package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// mostAgents is how many agents are asked unless Options say so.
	mostAgents = 1000
	// gathering is for how long manager and agents are asked in all: where many hang, those that come later are unknown.
	gathering = 30 * time.Second
	// mostNamed is how many nodes or pods a finding names.
	mostNamed = 3
	// mostFindings is how many findings of one kind there are before the others are counted.
	mostFindings = 50
)

// live is what manager and agents answer.
type live struct {
	// pods are the agents', err is why they cannot be listed.
	pods []corev1.Pod
	err  error

	agents []agent
	left   int // agents that were not asked

	nodes      liveapi.List[liveapi.Node]
	nodesErr   error
	manager    liveapi.ManagerState
	managerErr error
	// asked and answered are when the manager was, by the clock here.
	asked, answered time.Time
}

// agent is what one agent answers.
type agent struct {
	node     ask.Answer[liveapi.NodeState]
	captures ask.Answer[liveapi.List[liveapi.Capture]]
}

func (a *agent) on() string  { return a.node.Pod.Spec.NodeName }
func (a *agent) pod() string { return a.node.Pod.Name }

// answered reports whether the agent has said something.
func (a *agent) answered() bool { return a.node.Err == nil || a.captures.Err == nil }

// gather asks the manager and the agents that run, all at a time: what hangs holds up nothing else.
func (k *checker) gather(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, gathering)
	defer stop()
	l := &k.live
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		l.asked = k.env.Now()
		l.nodesErr = k.ask.Manager(ctx, liveapi.NodesPath, nil, &l.nodes)
		l.answered = k.env.Now()
	})
	asking.Go(func() { l.managerErr = k.ask.Manager(ctx, liveapi.ManagerPath, nil, &l.manager) })
	if l.pods, l.err = k.env.AgentPods(ctx, k.c); l.err != nil {
		return
	}
	running := slices.DeleteFunc(slices.Clone(l.pods), func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil })
	if l.left = max(len(running)-k.most, 0); l.left > 0 {
		running = running[:k.most]
	}
	l.agents = make([]agent, len(running))
	asking.Go(func() {
		for i, of := range ask.Each[liveapi.NodeState](ctx, k.ask, running, liveapi.NodePath, nil) {
			l.agents[i].node = of
		}
	})
	asking.Go(func() {
		for i, of := range ask.Each[liveapi.List[liveapi.Capture]](ctx, k.ask, running, liveapi.CapturePath, nil) {
			l.agents[i].captures = of
		}
	})
}

// states returns the agents that say how their nodes are. Of others it adds that it is not known.
func (k *checker) states() []*agent {
	var out []*agent
	var earlier []string
	for i := range k.live.agents {
		a := &k.live.agents[i]
		switch {
		case a.node.Err == nil:
			out = append(out, a)
		case ask.OfEarlierVersion(a.node.Err):
			earlier = append(earlier, a.on())
		}
	}
	if len(earlier) > 0 {
		k.add(Unknown, remedy{"upgrade the agents", pageUpgrade}, "%s: this agent's version does not say", onNodes(earlier))
	}
	if len(out) == 0 && len(earlier) == 0 {
		k.add(Unknown, remedy{}, "no agent has answered: see nodes")
	}
	return out
}

// onNodes names nodes: node a, or nodes a, b and 3 more.
func onNodes(all []string) string {
	if len(all) == 1 {
		return "node " + all[0]
	}
	return "nodes " + some(all)
}

// some names the first of many.
func some(all []string) string {
	switch left := len(all) - mostNamed; {
	case left > 0:
		return strings.Join(all[:mostNamed], ", ") + fmt.Sprintf(" and %d more", left)
	case len(all) > 1:
		return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
	}
	return strings.Join(all, "")
}

// sets collects what has something in common, by the order in which that came.
type sets struct {
	keys []string
	of   map[string][]string
}

func (s *sets) add(key, name string) {
	if s.of == nil {
		s.of = map[string][]string{}
	}
	if _, known := s.of[key]; !known {
		s.keys = append(s.keys, key)
	}
	if !slices.Contains(s.of[key], name) {
		s.of[key] = append(s.of[key], name)
	}
}

// bounded adds findings of one kind, and counts those that are too many.
type bounded struct {
	k *checker
	n int
}

func (b *bounded) add(result Result, r remedy, format string, args ...any) {
	if b.n++; b.n <= mostFindings {
		b.k.add(result, r, format, args...)
	}
}

// end says how many there were beyond.
func (b *bounded) end(result Result, one, many string) {
	if left := b.n - mostFindings; left > 0 {
		b.k.add(result, remedy{}, "and %s", output.Count(left, "more "+one, "more "+many))
	}
}
