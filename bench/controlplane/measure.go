package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/bench/process"
	"fairlead.dev/fairlead/bench/report"
)

// stage is everything that stands while one number of nodes is measured.
type stage struct {
	*options
	world   *world
	cluster *cluster
	manager *manager
	fleet   *fleet
	out     *report.Report
	round   int
}

// measure builds a cluster of n nodes and measures everything on it.
func measure(ctx context.Context, o *options, n int, out *report.Report) (err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{options: o, world: newWorld(n), out: out, round: 1}
	s.note("starting etcd and kube-apiserver")
	if s.cluster, err = startCluster(o, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.cluster.stop()) }()
	if err := s.furnish(ctx); err != nil {
		return err
	}
	if s.manager, err = newManager(ctx, o, s.cluster); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.manager.dismiss(err)) }()
	if s.fleet, err = newFleet(ctx, s); err != nil {
		return err
	}
	defer s.fleet.stop()
	return s.play(ctx)
}

// furnish fills the cluster with objects.
func (s *stage) furnish(ctx context.Context) error {
	began := time.Now()
	if err := s.world.create(ctx, s.cluster); err != nil {
		return fmt.Errorf("fill the cluster: %w", err)
	}
	s.note("%d nodes, %d pods, %d services and %d policies made in %.0f s", len(s.world.nodes), len(s.world.pods), len(s.world.apps),
		len(s.world.policies), time.Since(began).Seconds())
	return nil
}

func (s *stage) play(ctx context.Context) error {
	parts := []func(context.Context) error{s.start, s.editEveryNode, s.editOneNode, s.steadyState, s.restart}
	if s.full {
		parts = append(parts, s.podChurn, s.clusterPolicy, s.crash)
	}
	for _, part := range parts {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start has the manager start on the full cluster, and then all agents connect for the first time.
func (s *stage) start(ctx context.Context) error {
	began := time.Now()
	if err := s.manager.start(); err != nil {
		return err
	}
	arrivals := s.fleet.expectArrivals()
	if err := s.fleet.launch(ctx, s.manager); err != nil {
		return err
	}
	times, err := arrivals.wait(ctx, 2*time.Minute)
	if err != nil {
		return fmt.Errorf("agents connect: %w", err)
	}
	s.say("start", "manager_start_to_all_synced", "s", slices.MaxFunc(times, time.Time.Compare).Sub(began).Seconds())
	if err := s.allProgrammed(ctx); err != nil {
		return err
	}
	s.say("start", "manager_start_to_all_programmed", "s", time.Since(began).Seconds())
	s.say("start", "resources_sent_per_agent", "1", float64(s.fleet.received.Load())/float64(len(s.fleet.agents)))
	return nil
}

// allProgrammed waits until the status of every policy says that it is in force everywhere.
func (s *stage) allProgrammed(ctx context.Context) error {
	return eventually(ctx, 2*time.Minute, "all policies are programmed", func() (bool, error) {
		var list v1alpha1.RetryPolicyList
		err := s.cluster.policies.List(ctx, &list)
		return err == nil && !slices.ContainsFunc(list.Items, func(p v1alpha1.RetryPolicy) bool { return !isProgrammed(&p, p.Generation) }), err
	})
}

// steadyState watches what the manager does while agents report traffic and nothing else happens.
func (s *stage) steadyState(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	before, err := s.cluster.writes()
	if err != nil {
		return err
	}
	cpuBefore, err := process.CPU(s.manager.pid())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, s.steady); err != nil {
		return err
	}
	elapsed := time.Since(began).Seconds()
	after, err := s.cluster.writes()
	if err != nil {
		return err
	}
	cpu, err := process.CPU(s.manager.pid())
	if err != nil {
		return err
	}
	resident, err := process.Resident(s.manager.pid())
	if err != nil {
		return err
	}
	s.say("steady", "api_writes_per_second", "1/s", float64(after.all-before.all)/elapsed)
	s.say("steady", "status_writes_per_second", "1/s", float64(after.status-before.status)/elapsed)
	s.say("steady", "manager_cpu_percent", "%", 100*(cpu-cpuBefore).Seconds()/elapsed)
	s.say("steady", "manager_cpu_seconds", "s", cpu.Seconds())
	s.say("steady", "manager_rss_mib", "MiB", float64(resident)/(1<<20))
	if s.heap == "" {
		return nil
	}
	return s.manager.saveHeap(ctx, s.heap)
}

// settle waits until every agent has reported traffic, and the manager has counted it.
func (s *stage) settle(ctx context.Context) error {
	reported := s.fleet.reports.Load() + 2*int64(len(s.fleet.agents))
	return eventually(ctx, time.Minute, "agents report traffic", func() (bool, error) {
		return s.fleet.reports.Load() >= reported, nil
	})
}

// restart has the manager end and start anew while all agents are connected.
func (s *stage) restart(ctx context.Context) error { return s.resync(ctx, "restart", s.manager.stop) }

// crash does the same without a farewell: the next manager must wait for the lease of the last one to run out.
func (s *stage) crash(ctx context.Context) error { return s.resync(ctx, "crash", s.manager.kill) }

func (s *stage) resync(ctx context.Context, bench string, end func() error) error {
	began := time.Now()
	if err := end(); err != nil {
		return err
	}
	received := s.fleet.received.Load()
	arrivals := s.fleet.expectArrivals()
	if err := s.manager.start(); err != nil {
		return err
	}
	times, err := arrivals.wait(ctx, 2*time.Minute)
	if err != nil {
		return fmt.Errorf("agents reconnect: %w", err)
	}
	s.say(bench, "end_to_all_synced", "s", slices.MaxFunc(times, time.Time.Compare).Sub(began).Seconds())
	s.say(bench, "resources_sent_again", "1", float64(s.fleet.received.Load()-received))
	return nil
}

func (s *stage) say(bench, metric, unit string, value float64) {
	s.out.Add(report.Measurement{
		Bench: bench, Candidate: fmt.Sprintf("%d-agents", len(s.world.nodes)), Metric: metric, Value: value, Unit: unit, Round: s.round,
	})
}

// sayTimes reports quantiles of durations in milliseconds.
func (s *stage) sayTimes(bench, metric string, all []time.Duration) {
	slices.Sort(all)
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		i := min(int(q.of*float64(len(all))), len(all)-1)
		s.say(bench, fmt.Sprintf("%s_%s_ms", metric, q.name), "ms", float64(all[i])/float64(time.Millisecond))
	}
}

// note tells the person who waits what is happening.
func (s *stage) note(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}
