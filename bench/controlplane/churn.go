package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	churnRate  = 100 // pods made and pods deleted per second
	churnFor   = 10 * time.Second
	churnLive  = 2 * churnRate // pods of the churn that exist at a time
	churnTotal = churnRate * int(churnFor/time.Second)
)

// churn is pods coming and going.
type churn struct {
	*scenario

	mu sync.Mutex
	// guarded by mu
	created  map[string]time.Time // by name, when its creation was asked for
	arrived  map[string]time.Time // when it came into force on its node
	maxQueue float64              // the object queue
}

// podChurn has pods come and go, and measures how long a new one takes to reach its agent, and what the manager needs for it.
func (s *scenario) podChurn(ctx context.Context) error {
	c := &churn{scenario: s, created: map[string]time.Time{}, arrived: map[string]time.Time{}}
	watch := c.watch
	s.agents.watcher.Store(&watch)
	before, err := s.work(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.run(ctx); err != nil {
		return err
	}
	elapsed := time.Since(began).Seconds()
	after, err := s.work(ctx)
	if err != nil {
		return err
	}
	if err := c.drain(ctx); err != nil {
		return err
	}
	s.recordTimes("pod-churn", "pod_to_agent", c.latencies())
	s.record("pod-churn", "pods_per_second", "1/s", float64(churnTotal)/elapsed)
	s.record("pod-churn", "manager_cpu_cores", "1", (after.cpu-before.cpu).Seconds()/elapsed)
	s.record("pod-churn", "api_writes_per_second", "1/s", float64(after.writes-before.writes)/elapsed)
	s.record("pod-churn", "deepest_queue", "1", c.maxQueue)
	return nil
}

func (c *churn) watch(s observation) {
	if s.workload == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ours := c.created[s.workload.Name]; ours {
		c.arrived[s.workload.Name] = s.at
	}
}

// run makes and deletes pods at the rate, and looks at the queue meanwhile.
func (c *churn) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	began := time.Now()
	for i := range churnTotal {
		// By the clock, so that a hold-up is made up for.
		if err := pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/churnRate))); err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error { return c.make(ctx, i) })
		if i >= churnLive {
			g.Go(func() error { return c.remove(ctx, i-churnLive) })
		}
		if i%churnRate == 0 {
			g.Go(func() error { return c.observeQueue(ctx) })
		}
	}
	return g.Wait()
}

func (c *churn) pod(i int) *corev1.Pod {
	a := c.topology.apps[i%len(c.topology.apps)]
	node := c.topology.nodes[i%len(c.topology.nodes)].Name
	return newPod(a.team, fmt.Sprintf("churn-%06d", i), a.name, node, "")
}

func (c *churn) make(ctx context.Context, i int) error {
	p := c.pod(i)
	c.mu.Lock()
	c.created[p.Name] = time.Now()
	c.mu.Unlock()
	_, err := c.cluster.core.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	return err
}

func (c *churn) remove(ctx context.Context, i int) error {
	p := c.pod(i)
	return c.cluster.core.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
}

func (c *churn) observeQueue(ctx context.Context) error {
	depth, err := c.manager.metric(ctx, "workqueue_depth", `name="objects"`)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maxQueue = max(c.maxQueue, depth)
	return err
}

// drain waits until every pod was seen, and deletes those that are left.
func (c *churn) drain(ctx context.Context) error {
	err := eventually(ctx, 30*time.Second, "every new pod reaches its agent", func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.arrived) == churnTotal, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %d of %d did", err, len(c.latencies()), churnTotal)
	}
	for i := churnTotal - churnLive; i < churnTotal; i++ {
		if err := c.remove(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *churn) latencies() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []time.Duration
	for name, at := range c.arrived {
		out = append(out, at.Sub(c.created[name]))
	}
	return out
}
