package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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

// maxSaid is how many different sentences a tap says about what cannot be read.
const maxSaid = 64

// tap reads calls from the agents of the nodes whose calls are asked for.
type tap struct {
	// immutable
	source          *Source
	node, namespace string // empty: of all
	query           url.Values

	mu sync.Mutex // held while each and trouble are called
	// guarded by mu
	each    func(*liveapi.TapLine)
	trouble func(error)
	said    map[string]bool
	read    map[string]bool // agents that are read from
}

// Calls implements dashboard.Source.
func (s *Source) Calls(ctx context.Context, q url.Values, each func(*liveapi.TapLine), trouble func(error)) error {
	node, err := s.nodeOf(ctx, q)
	if err != nil {
		return err
	}
	t := &tap{
		source: s, node: node, namespace: q.Get("namespace"), query: url.Values{},
		each: each, trouble: trouble, said: map[string]bool{}, read: map[string]bool{},
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
			t.say(fmt.Errorf("which nodes run pods of namespace %s cannot be read: %w", t.namespace, err))
		}
	}
	if left := len(agents) - maxAsked; left > 0 {
		t.say(fmt.Errorf("calls of %d nodes are shown; %d more may have some: choose a namespace, a pod or a node", maxAsked, left))
	}
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
		var err error
		if agents, err = t.agents(ctx); err != nil && ctx.Err() == nil {
			t.say(err)
		}
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
	err := ask.Lines(ctx, t.source.ask, agent, liveapi.TapPath, t.query, func(l liveapi.TapLine) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.each(&l)
	})
	if err != nil && ctx.Err() == nil {
		t.say(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.read, keyOf(&agent[0]))
}

// say passes on what cannot be read, each sentence once.
func (t *tap) say(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := err.Error(); !t.said[text] && len(t.said) < maxSaid {
		t.said[text] = true
		t.trouble(err)
	}
}

// near returns the agents on the nodes that run pods of namespaces; all, with an error, where that cannot be read.
func (s *Source) near(ctx context.Context, agents []corev1.Pod, namespaces []string) ([]corev1.Pod, error) {
	if len(agents) <= 1 {
		return agents, nil
	}
	return s.ask.Near(ctx, agents, namespaces...)
}
