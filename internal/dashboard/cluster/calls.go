package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/liveapi"
)

// maxAsked is how many agents are asked at most for one page: each is a connection through the API server.
const maxAsked = ask.MaxStreams

// Calls implements dashboard.Source.
func (s *Source) Calls(ctx context.Context, q url.Values, each func(*liveapi.TapLine), trouble func(error)) error {
	node := q.Get("node")
	namespace, pod := q.Get("namespace"), q.Get("pod")
	if pod != "" && namespace == "" {
		return errors.New("pod is given without namespace: give both")
	}
	if pod != "" && node == "" {
		var p corev1.Pod
		if err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: pod}, &p); err != nil {
			return kube.Explain(err, "look for pod "+namespace+"/"+pod)
		}
		node = p.Spec.NodeName
	}
	agents, err := s.ask.AgentsOn(ctx, node)
	if err != nil {
		return err
	}
	if namespace != "" && node == "" {
		agents, err = s.near(ctx, agents, []string{namespace})
		if err != nil {
			trouble(fmt.Errorf("which nodes run pods of namespace %s cannot be read: %w", namespace, err))
		}
	}
	asked := agents[:min(len(agents), maxAsked)]
	if left := len(agents) - len(asked); left > 0 {
		trouble(fmt.Errorf("calls of %d nodes are shown; %d more may have some: choose a namespace, a pod or a node", len(asked), left))
	}
	ask := url.Values{}
	for name, values := range q {
		if name != "node" {
			ask[name] = values
		}
	}
	s.tap(ctx, asked, ask, each, trouble)
	return nil
}

// tap reads the taps of agents until ctx ends or all of them have. One that cannot be read does not keep the others from being.
func (s *Source) tap(ctx context.Context, agents []corev1.Pod, q url.Values, each func(*liveapi.TapLine), trouble func(error)) {
	var mu sync.Mutex
	var running sync.WaitGroup
	for i := range agents {
		running.Go(func() {
			err := ask.Lines(ctx, s.ask, agents[i:i+1], liveapi.TapPath, q, func(l liveapi.TapLine) {
				mu.Lock()
				defer mu.Unlock()
				each(&l)
			})
			if err != nil && ctx.Err() == nil {
				mu.Lock()
				defer mu.Unlock()
				trouble(err)
			}
		})
	}
	running.Wait()
}

// near returns the agents on the nodes that run pods of namespaces; all, with an error, where that cannot be read.
func (s *Source) near(ctx context.Context, agents []corev1.Pod, namespaces []string) ([]corev1.Pod, error) {
	if len(agents) <= 1 {
		return agents, nil
	}
	nodes := map[string]bool{}
	for _, namespace := range namespaces {
		var pods corev1.PodList
		if err := s.opts.Client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return agents, kube.Explain(err, "list pods in namespace "+namespace)
		}
		for i := range pods.Items {
			nodes[pods.Items[i].Spec.NodeName] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(agents), func(a corev1.Pod) bool { return !nodes[a.Spec.NodeName] }), nil
}
