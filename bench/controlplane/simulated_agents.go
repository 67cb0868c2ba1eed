package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/policy"
)

// simulatedAgents is the agents of all nodes.
type simulatedAgents struct {
	// immutable after newFleet
	nodes  []*corev1.Node
	dir    string // of tokens
	agents []*agent

	cancel context.CancelFunc
	wg     sync.WaitGroup

	// atomic
	applies, received, reports atomic.Int64 // snapshots applied, resources that came with them, reports made
	watcher                    atomic.Pointer[func(observation)]
}

// observation is something that an agent put into force: a profile, a workload, or for neither a snapshot as such.
type observation struct {
	agent    *agent
	at       time.Time
	profile  *policy.Profile
	workload *policy.Workload
}

// newSimulatedAgents prepares an agent for every node: its pod, and a token bound to that.
func newSimulatedAgents(ctx context.Context, s *scenario) (*simulatedAgents, error) {
	f := &simulatedAgents{dir: filepath.Join(s.cluster.dir, "tokens"), nodes: s.topology.nodes, cancel: func() {}}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, n := range f.nodes {
		f.agents = append(f.agents, &agent{all: f, snapshot: &policy.Snapshot{}})
		g.Go(func() error { return f.register(ctx, s.cluster, n.Name) })
	}
	return f, g.Wait()
}

func (f *simulatedAgents) register(ctx context.Context, c *cluster, node string) error {
	pod := newPod(systemNamespace, "fairlead-agent-"+node, "fairlead-agent", node, "")
	pod.Spec.ServiceAccountName, pod.Spec.HostNetwork = agentAccount, true
	made, err := c.core.CoreV1().Pods(systemNamespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	token, err := c.token(ctx, agentAccount, authenticationv1.TokenRequestSpec{
		Audiences:      []string{tokenAudience},
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: made.Name, UID: made.UID},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(f.token(node), []byte(token), 0o600)
}

func (f *simulatedAgents) token(node string) string { return filepath.Join(f.dir, node) }

// launch starts all agents.
func (f *simulatedAgents) launch(ctx context.Context, m *manager) error {
	bundle, err := m.bundle(ctx)
	if err != nil {
		return err
	}
	bundleFile := filepath.Join(f.dir, "ca.crt")
	if err := os.WriteFile(bundleFile, bundle, 0o600); err != nil {
		return err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	for i, n := range f.nodes {
		client, err := subscribe.New(subscribe.Options{
			Node:       n.Name,
			Target:     "fairlead-manager." + systemNamespace + ".svc:9443", // by this name it is certified
			Resolve:    func(context.Context) ([]string, error) { return []string{m.address()}, nil },
			TokenFile:  f.token(n.Name),
			BundleFile: bundleFile,
			Applier:    f.agents[i],
			Reporter:   f.agents[i],
		})
		if err != nil {
			return err
		}
		f.wg.Go(func() { _ = client.Run(ctx) }) // always nil
	}
	return nil
}

func (f *simulatedAgents) stop() {
	f.cancel()
	f.wg.Wait()
}

func (f *simulatedAgents) notify(s observation) {
	if w := f.watcher.Load(); w != nil {
		(*w)(s)
	}
}

// expectation waits for an event on a number of agents.
type expectation struct {
	want int
	done chan struct{}

	mu sync.Mutex
	// guarded by mu
	times map[*agent]time.Time
}

// expect waits for want agents to have a sight for which is holds.
func (f *simulatedAgents) expect(want int, is func(observation) bool) *expectation {
	g := &expectation{want: want, done: make(chan struct{}), times: map[*agent]time.Time{}}
	watch := func(s observation) {
		if is(s) {
			g.add(s)
		}
	}
	f.watcher.Store(&watch)
	return g
}

// expectArrivals waits for every agent to have what the manager has for it.
func (f *simulatedAgents) expectArrivals() *expectation {
	return f.expect(len(f.agents), func(s observation) bool { return s.profile == nil && s.workload == nil })
}

// add notes the first time of each agent.
func (g *expectation) add(s observation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.times[s.agent]; ok {
		return
	}
	if g.times[s.agent] = s.at; len(g.times) == g.want {
		close(g.done)
	}
}

// wait returns when each agent saw it.
func (g *expectation) wait(ctx context.Context, limit time.Duration) ([]time.Time, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-deadline.C:
		g.mu.Lock()
		defer g.mu.Unlock()
		return nil, fmt.Errorf("%d of %d agents within %s", len(g.times), g.want, limit)
	case <-g.done:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []time.Time
	for _, t := range g.times {
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, errors.New("no agent was waited for")
	}
	return out, nil
}
