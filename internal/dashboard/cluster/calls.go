package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/liveapi"
)

// maxAsked is how many agents are asked at most for one page: each is a connection through the API server.
const maxAsked = ask.MaxStreams

// Calls implements dashboard.Source: it reads calls from the agents of the nodes whose calls are asked for.
func (s *Source) Calls(ctx context.Context, q url.Values, each func(*liveapi.TapLine), troubles func([]string)) error {
	node, err := s.nodeOf(ctx, q)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, values := range q {
		if name != "node" {
			query[name] = values
		}
	}
	follow := &ask.Follow[liveapi.TapLine]{
		Path: liveapi.TapPath, Query: query, Persistent: true, Every: s.lookAgain, State: changing(troubles), Each: func(l liveapi.TapLine) { each(&l) },
		Agents: func(ctx context.Context) ([]corev1.Pod, error) { return s.tapped(ctx, node, q.Get("namespace")) },
	}
	return follow.Run(ctx, s.ask)
}

// maxSaid is how many sentences a tap says at a time about what cannot be read.
const maxSaid = 5

// changing returns what passes on all that is not read, as sentences, when that is not as it was: first when something is known of it.
func changing(say func([]string)) func(int, []error) {
	var before []string
	return func(_ int, unread []error) {
		now := make([]string, 0, len(unread))
		for _, err := range unread {
			now = append(now, err.Error())
		}
		if left := len(now) - maxSaid; left > 0 {
			now = append(now[:maxSaid], fmt.Sprintf("and %d more that cannot be read", left))
		}
		if before == nil || !slices.Equal(now, before) {
			before = now
			say(now)
		}
	}
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

// tapped returns the agents to read calls from, of a node if one is given, or else of those that run pods of a namespace. The error, if there are agents, says
// what keeps others from being read.
func (s *Source) tapped(ctx context.Context, node, namespace string) ([]corev1.Pod, error) {
	agents, err := s.ask.AgentsOn(ctx, node)
	if err != nil {
		return nil, err
	}
	if namespace != "" && node == "" {
		if agents, err = s.near(ctx, agents, []string{namespace}); err != nil {
			err = fmt.Errorf("which nodes run pods of namespace %s cannot be read: %w", namespace, err)
		}
	}
	if left := len(agents) - maxAsked; left > 0 {
		err = errors.Join(err, fmt.Errorf("calls of %d nodes are shown; %d more may have some: choose a namespace, a pod or a node", maxAsked, left))
	}
	return agents, err
}

// near returns the agents on the nodes that run pods of namespaces; all, with an error, where that cannot be read.
func (s *Source) near(ctx context.Context, agents []corev1.Pod, namespaces []string) ([]corev1.Pod, error) {
	if len(agents) <= 1 {
		return agents, nil
	}
	return s.ask.Near(ctx, agents, namespaces...)
}
