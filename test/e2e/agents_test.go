package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// What a spec depends on has to be in force on the nodes before it looks, and out of force before the next spec begins. Programmed says when
// an edit is in force; when a deleted policy is not any more, and which endpoints of a Service are known, only the agents say.

// inForce is what an agent enforces, as far as specs ask: a part of what its page /debug/config shows.
type inForce struct {
	Profiles map[string]struct {
		Bindings []struct{ Merged []policyName }
	}
	Destinations map[string]struct {
		Ports []struct {
			Endpoints []struct{ Terminating bool }
		}
	}
}

type policyName struct{ Namespace, Name string }

// has reports whether a policy is in force.
func (f *inForce) has(id policyName) bool {
	for _, p := range f.Profiles {
		for _, b := range p.Bindings {
			if slices.Contains(b.Merged, id) {
				return true
			}
		}
	}
	return false
}

// endpoints returns how many ready endpoints are known of the port of a Service that has the fewest.
func (f *inForce) endpoints(service string) int {
	least := -1
	for _, port := range f.Destinations[service].Ports {
		n := 0
		for _, e := range port.Endpoints {
			if !e.Terminating {
				n++
			}
		}
		if least < 0 || n < least {
			least = n
		}
	}
	return max(least, 0)
}

// askAgent returns what an agent enforces. The page is served to the pod's loopback address alone.
func (k *kube) askAgent(ctx context.Context, agent *corev1.Pod) (*inForce, error) {
	address, stop, err := k.forward(ctx, agent, 9464)
	if err != nil {
		return nil, err
	}
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/debug/config", nil)
	if err != nil {
		return nil, err
	}
	once := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: once, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: /debug/config: %s", agent.Name, res.Status)
	}
	var page struct{ Snapshot inForce }
	return &page.Snapshot, json.NewDecoder(res.Body).Decode(&page)
}

// eventuallyOnEveryNode waits until every node has a ready agent with which nothing is wrong any more. wrong says what is.
func (k *kube) eventuallyOnEveryNode(ctx context.Context, what string, wrong func(*inForce) string) {
	GinkgoHelper()
	Eventually(func() (all []string) {
		nodes, agents := k.nodes(ctx), readyPods(k.agents(ctx))
		for _, node := range nodes {
			i := slices.IndexFunc(agents, func(p corev1.Pod) bool { return p.Spec.NodeName == node.Name })
			if i < 0 {
				all = append(all, node.Name+": no ready agent")
				continue
			}
			f, err := k.askAgent(ctx, &agents[i])
			if err != nil {
				all = append(all, node.Name+": "+err.Error())
			} else if w := wrong(f); w != "" {
				all = append(all, node.Name+": "+w)
			}
		}
		return all
	}).WithContext(ctx).WithTimeout(90*time.Second).WithPolling(200*time.Millisecond).Should(BeEmpty(), what)
}

// released waits until no node enforces a policy that was deleted.
func (s *environment) released(ctx context.Context, name string) {
	GinkgoHelper()
	id := policyName{s.namespace, name}
	s.k.eventuallyOnEveryNode(ctx, "nobody enforces "+name+", which was deleted", func(f *inForce) string {
		if f.has(id) {
			return "enforces it"
		}
		return ""
	})
}

// known waits until every node knows n ready endpoints of a Service that is governed for the callers.
func (s *environment) known(ctx context.Context, service string, n int) {
	GinkgoHelper()
	s.k.eventuallyOnEveryNode(ctx, fmt.Sprintf("%d endpoints of %s are known", n, service), func(f *inForce) string {
		if got := f.endpoints(s.namespace + "/" + service); got != n {
			return fmt.Sprintf("knows %d", got)
		}
		return ""
	})
}
