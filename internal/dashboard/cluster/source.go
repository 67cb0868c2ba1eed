// Package cluster answers the dashboard's pages from a cluster: the policies and their status from the API server, live data from the manager and the
// agents through it, all with the rights of who runs it. What may not be read is said in the answers' notes.
package cluster

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/doctor"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

// How often what is live is looked at while pages are open, and for how long an answer of the cluster is used again.
const (
	trafficEvery  = 10 * time.Second // as the manager counts
	changesEvery  = 5 * time.Second
	problemsEvery = time.Minute
	patience      = 10 * time.Second // with one look at what has changed: then the connection is taken for dead
	short         = 4 * time.Second
	long          = 30 * time.Second
)

// Options say which cluster.
type Options struct {
	Env    *kube.Env
	Client client.WithWatch
	// Reach reaches pods; nil: through the API server.
	Reach ask.Reach
	// Context and Server name the cluster for people. Version is that of this program.
	Context, Server, Version string
}

// Source answers from a cluster.
type Source struct {
	opts     Options
	ask      *ask.Asker
	policies *policies
	// lookAgain is how often taps look for agents, in tests; 0: as often as ask.Follow does.
	lookAgain time.Duration

	traffic   memo[[]liveapi.Traffic]
	nodes     memo[[]liveapi.Node]
	names     memo[*liveapi.Inventory]
	problems  memo[*doctor.Report]
	programs  memo[*kube.Components]
	described descriptions
}

var _ dashboard.Source = (*Source)(nil)

// New returns a Source. Its Watch is to run while it is used.
func New(o Options) *Source {
	if o.Reach == nil {
		o.Reach = newKept(ask.Through(o.Env)).reach
	}
	return &Source{opts: o, ask: ask.New(o.Env, o.Client, o.Reach), policies: newPolicies(o.Env, o.Client)}
}

// Watch implements dashboard.Source.
func (s *Source) Watch(ctx context.Context, changed func(...model.Topic)) {
	var running sync.WaitGroup
	running.Go(func() { s.policies.run(ctx, func() { changed(model.TopicPolicies) }) })
	every(ctx, &running, trafficEvery, func() { changed(model.TopicTraffic) })
	every(ctx, &running, problemsEvery, func() { changed(model.TopicProblems) })
	var last time.Time
	every(ctx, &running, changesEvery, func() {
		if at, err := s.lastChange(ctx); err == nil && at.After(last) {
			last = at
			changed(model.TopicChanges, model.TopicNodes)
		}
	})
	running.Wait()
}

// every calls f again and again, until ctx ends.
func every(ctx context.Context, running *sync.WaitGroup, d time.Duration, f func()) {
	running.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f()
			}
		}
	})
}

func (s *Source) lastChange(ctx context.Context) (time.Time, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	var got liveapi.List[liveapi.Change]
	err := s.ask.Manager(ctx, liveapi.ChangesPath, url.Values{"since": {"1h"}, "limit": {"1"}}, &got)
	if err != nil || len(got.Items) == 0 {
		return time.Time{}, err
	}
	return got.Items[0].At, nil
}

// part begins an answer.
func (s *Source) part() model.Part { return model.Part{At: s.opts.Env.Now().UTC()} }

// note adds a sentence about what is missing, if there is an error.
func note(p *model.Part, missing string, err error) {
	if err == nil {
		return
	}
	text := fmt.Sprintf("%s: %v", missing, err)
	if !slices.Contains(p.Notes, text) {
		p.Notes = append(p.Notes, text)
	}
}

// trafficNow returns the figures of the last minute, by policy.
func (s *Source) trafficNow(ctx context.Context) (map[string][]liveapi.Traffic, error) {
	all, err := s.traffic.get(short, func() ([]liveapi.Traffic, error) {
		var got liveapi.List[liveapi.Traffic]
		err := s.ask.Manager(ctx, liveapi.TrafficPath, nil, &got)
		return got.Items, err
	})
	by := map[string][]liveapi.Traffic{}
	for i := range all {
		by[all[i].Policy] = append(by[all[i].Policy], all[i])
	}
	return by, err
}

// memo keeps what was read for a while. Who asks meanwhile waits for who reads.
type memo[T any] struct {
	mu sync.Mutex
	// guarded by mu
	at    time.Time
	value T
	err   error
}

func (m *memo[T]) get(good time.Duration, read func() (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		good = min(good, short)
	}
	if !m.at.IsZero() && time.Since(m.at) < good {
		return m.value, m.err
	}
	m.value, m.err = read()
	m.at = time.Now()
	return m.value, m.err
}
