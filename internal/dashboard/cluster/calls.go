package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/liveapi"
)

// maxAsked is how many agents are asked at most for one page: each is a connection through the API server.
const maxAsked = ask.MaxStreams

// lookAgain is how often agents are looked for that a tap is to read: they are replaced, pods come to other nodes, and an agent ends a tap after an hour.
const lookAgain = 30 * time.Second

// maxSaid is how many different sentences a tap says at a time about what cannot be read.
const maxSaid = 5

// tap reads calls from the agents of the nodes whose calls are asked for.
type tap struct {
	// immutable
	source          *Source
	node, namespace string // empty: of all
	query           url.Values

	mu sync.Mutex // held while each and troubles are called
	// guarded by mu
	each     func(*liveapi.TapLine)
	troubles func([]string)
	wrong    map[string]string // why something cannot be read, by what that is: an agent, or something about all
	read     map[string]bool   // agents that are read from
	known    bool              // what there is to read is known
}

// What cannot be read, besides agents.
const (
	allAgents = "agents"
	nearby    = "pods"
	beyond    = "beyond"
)

// Calls implements dashboard.Source.
func (s *Source) Calls(ctx context.Context, q url.Values, each func(*liveapi.TapLine), troubles func([]string)) error {
	node, err := s.nodeOf(ctx, q)
	if err != nil {
		return err
	}
	t := &tap{
		source: s, node: node, namespace: q.Get("namespace"), query: url.Values{},
		each: each, troubles: troubles, wrong: map[string]string{}, read: map[string]bool{},
	}
	for name, values := range q {
		if name != "node" {
			t.query[name] = values
		}
	}
	agents, err := t.agents(ctx)
	if err != nil {
		return err
	}
	t.begun()
	t.run(ctx, agents)
	return nil
}

// nodeOf returns the node whose calls a query asks for, be it by a pod; empty: it asks for those of all.
func (s *Source) nodeOf(ctx context.Context, q url.Values) (string, error) {
	node, namespace, pod := q.Get("node"), q.Get("namespace"), q.Get("pod")
	switch {
	case pod != "" && namespace == "":
		return "", errors.New("pod is given without namespace: give both")
	case pod == "" || node != "":
		return node, nil
	}
	var p corev1.Pod
	if err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: pod}, &p); err != nil {
		return "", kube.Explain(err, "look for pod "+namespace+"/"+pod)
	}
	return p.Spec.NodeName, nil
}

// agents returns those to read from, of which maxAsked are.
func (t *tap) agents(ctx context.Context) ([]corev1.Pod, error) {
	agents, err := t.source.ask.AgentsOn(ctx, t.node)
	if err != nil {
		return nil, err
	}
	if t.namespace != "" && t.node == "" {
		if agents, err = t.source.near(ctx, agents, []string{t.namespace}); err != nil {
			err = fmt.Errorf("which nodes run pods of namespace %s cannot be read: %w", t.namespace, err)
		}
		t.say(nearby, err)
	}
	var left error
	if n := len(agents) - maxAsked; n > 0 {
		left = fmt.Errorf("calls of %d nodes are shown; %d more may have some: choose a namespace, a pod or a node", maxAsked, n)
	}
	t.say(beyond, left)
	return agents, nil
}

// run reads from agents, and from those that there are later, until ctx ends. One that cannot be read does not keep the others from being.
func (t *tap) run(ctx context.Context, agents []corev1.Pod) {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(t.source.lookAgain)
	defer tick.Stop()
	for {
		for i := range agents {
			if one := agents[i : i+1]; t.begin(&one[0]) {
				running.Go(func() { t.follow(ctx, one) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		next, err := t.agents(ctx)
		if ctx.Err() != nil {
			return
		}
		t.say(allAgents, err)
		if agents = next; err == nil {
			t.forget(agents)
		}
	}
}

// begun passes on what is wrong for the first time.
func (t *tap) begun() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = true
	t.report()
}

// forget removes what is wrong with agents that there are no more.
func (t *tap) forget(but []corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there := map[string]bool{allAgents: true, nearby: true, beyond: true}
	for i := range but {
		there[keyOf(&but[i])] = true
	}
	before := len(t.wrong)
	if maps.DeleteFunc(t.wrong, func(of, _ string) bool { return !there[of] }); len(t.wrong) < before {
		t.report()
	}
}

// begin reports whether an agent is to be read from that is not yet, and notes that it is.
func (t *tap) begin(agent *corev1.Pod) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.read[keyOf(agent)] || len(t.read) >= maxAsked {
		return false
	}
	t.read[keyOf(agent)] = true
	return true
}

// keyOf distinguishes agents: one that is made anew may have the name of the one before.
func keyOf(agent *corev1.Pod) string { return agent.Name + "/" + string(agent.UID) }

// follow reads the tap of an agent until that or ctx ends.
func (t *tap) follow(ctx context.Context, agent []corev1.Pod) {
	key := keyOf(&agent[0])
	err := ask.Lines(ctx, t.source.ask, agent, liveapi.TapPath, t.query, func(l liveapi.TapLine) {
		t.say(key, nil) // it can be read
		t.mu.Lock()
		defer t.mu.Unlock()
		t.each(&l)
	})
	if err != nil && ctx.Err() == nil {
		t.say(key, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.read, key)
}

// say passes on why something cannot be read, or, with nil, that it can, if that is not known already.
func (t *tap) say(of string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if t.wrong[of] == text {
		return
	}
	if t.wrong[of] = text; text == "" {
		delete(t.wrong, of)
	}
	if t.known {
		t.report()
	}
}

// report passes on all that is wrong, each sentence once. The caller holds mu.
func (t *tap) report() {
	all := slices.Compact(slices.Sorted(maps.Values(t.wrong)))
	if left := len(all) - maxSaid; left > 0 {
		all = append(all[:maxSaid], fmt.Sprintf("and %d more that cannot be read", left))
	}
	t.troubles(append([]string{}, all...))
}

// near returns the agents on the nodes that run pods of namespaces; all, with an error, where that cannot be read.
func (s *Source) near(ctx context.Context, agents []corev1.Pod, namespaces []string) ([]corev1.Pod, error) {
	if len(agents) <= 1 {
		return agents, nil
	}
	return s.ask.Near(ctx, agents, namespaces...)
}
