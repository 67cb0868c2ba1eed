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

// scenario is everything that stands while one number of nodes is measured.
type scenario struct {
	*options
	topology *topology
	cluster  *cluster
	manager  *manager
	agents   *simulatedAgents
	out      *report.Report
	round    int
}

// measure builds a cluster of n nodes and measures everything on it.
func measure(ctx context.Context, o *options, n int, out *report.Report) (err error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o700); err != nil {
			return err
		}
	}
	s := &scenario{options: o, topology: newTopology(n), out: out, round: 1}
	s.logf("starting etcd and kube-apiserver")
	if s.cluster, err = startCluster(o, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.cluster.stop()) }()
	if err := s.populate(ctx); err != nil {
		return err
	}
	if s.manager, err = newManager(ctx, o, s.cluster); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.manager.shutdown(err)) }()
	if s.agents, err = newSimulatedAgents(ctx, s); err != nil {
		return err
	}
	defer s.agents.stop()
	return s.run(ctx)
}

// populate fills the cluster with objects.
func (s *scenario) populate(ctx context.Context) error {
	began := time.Now()
	if err := s.topology.create(ctx, s.cluster); err != nil {
		return fmt.Errorf("fill the cluster: %w", err)
	}
	s.logf("%d nodes, %d pods, %d services and %d policies made in %.0f s", len(s.topology.nodes), len(s.topology.pods), len(s.topology.apps),
		len(s.topology.policies), time.Since(began).Seconds())
	return nil
}

func (s *scenario) run(ctx context.Context) error {
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
func (s *scenario) start(ctx context.Context) error {
	began := time.Now()
	if err := s.manager.start(); err != nil {
		return err
	}
	arrivals := s.agents.expectArrivals()
	if err := s.agents.launch(ctx, s.manager); err != nil {
		return err
	}
	times, err := arrivals.wait(ctx, s.limit())
	if err != nil {
		return fmt.Errorf("agents connect: %w", err)
	}
	s.record("start", "manager_start_to_all_synced", "s", slices.MaxFunc(times, time.Time.Compare).Sub(began).Seconds())
	if err := s.allProgrammed(ctx); err != nil {
		return err
	}
	s.record("start", "manager_start_to_all_programmed", "s", time.Since(began).Seconds())
	s.record("start", "resources_sent_per_agent", "1", float64(s.agents.received.Load())/float64(len(s.agents.agents)))
	return nil
}

// allProgrammed waits until the status of every policy says that it is in force everywhere.
func (s *scenario) allProgrammed(ctx context.Context) error {
	return eventually(ctx, s.limit(), "all policies are programmed", func() (bool, error) {
		var list v1alpha1.RetryPolicyList
		err := s.cluster.policies.List(ctx, &list)
		return err == nil && !slices.ContainsFunc(list.Items, func(p v1alpha1.RetryPolicy) bool { return !isProgrammed(&p, p.Generation) }), err
	})
}

// limit is how long anything that concerns all nodes or all policies may take. Status is written at a rate that does not grow with the cluster.
func (s *scenario) limit() time.Duration {
	return 2*time.Minute + time.Duration(len(s.topology.policies))*time.Second/4
}

// steadyState watches what the manager does while agents report traffic and nothing else happens.
func (s *scenario) steadyState(ctx context.Context) error {
	if err := s.awaitReports(ctx); err != nil {
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
	profiled := s.profileCPU(ctx, "steady", s.steady)
	if err := pause(ctx, s.steady); err != nil {
		return errors.Join(err, profiled())
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
	s.record("steady", "api_writes_per_second", "1/s", float64(after.all-before.all)/elapsed)
	s.record("steady", "status_writes_per_second", "1/s", float64(after.status-before.status)/elapsed)
	s.record("steady", "manager_cpu_percent", "%", 100*(cpu-cpuBefore).Seconds()/elapsed)
	s.record("steady", "manager_cpu_seconds", "s", cpu.Seconds())
	s.record("steady", "manager_rss_mib", "MiB", float64(resident)/(1<<20))
	return errors.Join(profiled(), s.saveProfile(ctx, "heap", "heap"))
}

// awaitReports waits until every agent has reported traffic, and the manager has counted it.
func (s *scenario) awaitReports(ctx context.Context) error {
	reported := s.agents.reports.Load() + 2*int64(len(s.agents.agents))
	return eventually(ctx, 2*time.Minute, "agents report traffic", func() (bool, error) {
		return s.agents.reports.Load() >= reported, nil
	})
}

// restart has the manager end and start anew while all agents are connected.
func (s *scenario) restart(ctx context.Context) error {
	return s.resync(ctx, "restart", s.manager.stop)
}

// crash does the same by SIGKILL: the next manager must wait for the lease of the last one to run out.
func (s *scenario) crash(ctx context.Context) error { return s.resync(ctx, "crash", s.manager.kill) }

func (s *scenario) resync(ctx context.Context, bench string, end func() error) error {
	began := time.Now()
	if err := end(); err != nil {
		return err
	}
	received := s.agents.received.Load()
	arrivals := s.agents.expectArrivals()
	if err := s.manager.start(); err != nil {
		return err
	}
	times, err := arrivals.wait(ctx, s.limit())
	if err != nil {
		return fmt.Errorf("agents reconnect: %w", err)
	}
	s.record(bench, "end_to_all_synced", "s", slices.MaxFunc(times, time.Time.Compare).Sub(began).Seconds())
	s.record(bench, "resources_sent_again", "1", float64(s.agents.received.Load()-received))
	return nil
}

func (s *scenario) record(bench, metric, unit string, value float64) {
	s.out.Add(report.Measurement{
		Bench: bench, Candidate: fmt.Sprintf("%d-agents", len(s.topology.nodes)), Metric: metric, Value: value, Unit: unit, Round: s.round,
	})
}

// recordTimes reports quantiles of durations in milliseconds.
func (s *scenario) recordTimes(bench, metric string, all []time.Duration) {
	slices.Sort(all)
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		i := min(int(q.of*float64(len(all))), len(all)-1)
		s.record(bench, fmt.Sprintf("%s_%s_ms", metric, q.name), "ms", float64(all[i])/float64(time.Millisecond))
	}
}

// logf tells the person who waits what is happening.
func (s *scenario) logf(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}
