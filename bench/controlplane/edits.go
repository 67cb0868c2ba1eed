package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/bench/process"
	"fairlead.dev/fairlead/internal/policy"
)

// editTimeout is how long an edit may take to be in force everywhere; far more than it should.
const editTimeout = 30 * time.Second

// profiledEdits is how long the manager is profiled from the first edit on.
const profiledEdits = 5 * time.Second

// editEveryNode measures edits of a policy that selects a pod on every node.
func (s *scenario) editEveryNode(ctx context.Context) error {
	return s.edit(ctx, "edit-every-node", edits{id: everywhere, agents: len(s.agents.agents)})
}

// editOneNode measures edits of a policy that selects a pod on one node. Nobody else should have any work from it.
func (s *scenario) editOneNode(ctx context.Context) error {
	return s.edit(ctx, "edit-one-node", edits{id: alone, agents: 1})
}

// clusterPolicy measures the worst that one can do: a policy for all pods changes what every pod on every node has.
func (s *scenario) clusterPolicy(ctx context.Context) error {
	seen := s.agents.expect(len(s.agents.agents), func(s observation) bool { return s.profile != nil && hasOverall(s.profile, guardrails, time.Second) })
	began := time.Now()
	if err := s.cluster.policies.Create(ctx, newClusterPolicy(guardrails)); err != nil {
		return err
	}
	times, err := seen.wait(ctx, editTimeout)
	if err != nil {
		return fmt.Errorf("a new cluster policy: %w", err)
	}
	s.record("new-cluster-policy", "apply_to_all_acked_ms", "ms", slices.MaxFunc(times, time.Time.Compare).Sub(began).Seconds()*1000)
	return s.edit(ctx, "edit-cluster-policy", edits{id: guardrails, agents: len(s.agents.agents)})
}

// edits is a series of edits of one policy.
type edits struct {
	id     policy.ID
	agents int // that are concerned

	each       []time.Duration // until an agent had it in force
	all        []time.Duration // until the last one had
	programmed []time.Duration // until status said so
	premature  int             // times that status said so before it was true
}

func (s *scenario) edit(ctx context.Context, bench string, e edits) error {
	if err := s.programmed(ctx, e.id); err != nil {
		return err
	}
	events, err := s.cluster.policies.Watch(ctx, listOf(e.id), client.InNamespace(e.id.Namespace))
	if err != nil {
		return err
	}
	defer events.Stop()
	before, err := s.work(ctx)
	if err != nil {
		return err
	}
	profiled := s.profileCPU(ctx, bench, profiledEdits)
	for i := range s.edits {
		if err := e.once(ctx, s, editOf{overall: 2*time.Second + time.Duration(i)*time.Millisecond, events: events}); err != nil {
			return errors.Join(fmt.Errorf("edit %d of %s: %w", i+1, e.id, err), profiled())
		}
	}
	after, err := s.work(ctx)
	if err != nil {
		return errors.Join(err, profiled())
	}
	s.recordEdits(bench, &e, before, after)
	return profiled()
}

func (s *scenario) recordEdits(bench string, e *edits, before, after work) {
	perEdit := func(n float64) float64 { return n / float64(s.edits) }
	s.recordTimes(bench, "apply_to_all_acked", e.all)
	s.recordTimes(bench, "apply_to_agent", e.each)
	s.recordTimes(bench, "apply_to_programmed", e.programmed)
	s.record(bench, "publish_to_ack_p99_below_ms", "ms", 1000*after.acknowledged.quantile(0.99, before.acknowledged))
	s.record(bench, "programmed_too_early", "1", float64(e.premature))
	s.record(bench, "manager_cpu_ms_per_edit", "ms", perEdit((after.cpu-before.cpu).Seconds()*1000))
	s.record(bench, "agents_cpu_ms_per_edit", "ms", perEdit((after.agentsCPU-before.agentsCPU).Seconds()*1000))
	s.record(bench, "api_writes_per_edit", "1", perEdit(float64(after.writes-before.writes)))
	s.record(bench, "agents_updated_per_edit", "1", perEdit(float64(after.applies-before.applies)))
	s.record(bench, "profiles_compiled_per_edit", "1", perEdit(after.compiled-before.compiled))
}

// work is what has been done so far.
type work struct {
	cpu          time.Duration // of the manager
	agentsCPU    time.Duration // of this process, which is all agents
	applies      int64         // by agents
	compiled     float64       // profiles, by the manager
	writes       int           // by the manager
	acknowledged acknowledged
}

func (s *scenario) work(ctx context.Context) (work, error) {
	cpu, err := process.CPU(s.manager.pid())
	if err != nil {
		return work{}, err
	}
	compiled, err := s.manager.metric(ctx, "fairlead_controller_profiles_compiled_total", "")
	if err != nil {
		return work{}, err
	}
	agentsCPU, err := process.CPU(os.Getpid())
	if err != nil {
		return work{}, err
	}
	acks, err := s.manager.acknowledged(ctx)
	if err != nil {
		return work{}, err
	}
	writes, err := s.cluster.writes()
	return work{
		cpu: cpu, agentsCPU: agentsCPU, applies: s.agents.applies.Load(), compiled: compiled, writes: writes.all, acknowledged: acks,
	}, err
}

// programmed waits until the status says that the policy is in force everywhere.
func (s *scenario) programmed(ctx context.Context, id policy.ID) error {
	return eventually(ctx, time.Minute, id.String()+" is programmed", func() (bool, error) {
		p := objectOf(id)
		err := s.cluster.policies.Get(ctx, client.ObjectKeyFromObject(p), p)
		return isProgrammed(p, p.GetGeneration()), err
	})
}

func objectOf(id policy.ID) client.Object {
	m := metav1.ObjectMeta{Namespace: id.Namespace, Name: id.Name}
	if id.Kind == policy.KindClusterRetryPolicy {
		return &v1alpha1.ClusterRetryPolicy{ObjectMeta: m}
	}
	return &v1alpha1.RetryPolicy{ObjectMeta: m}
}

func listOf(id policy.ID) client.ObjectList {
	if id.Kind == policy.KindClusterRetryPolicy {
		return &v1alpha1.ClusterRetryPolicyList{}
	}
	return &v1alpha1.RetryPolicyList{}
}

// isProgrammed reports whether the status of a policy says that the generation is in force everywhere.
func isProgrammed(o runtime.Object, generation int64) bool {
	var conditions []metav1.Condition
	switch p := o.(type) {
	case *v1alpha1.RetryPolicy:
		conditions = p.Status.Conditions
	case *v1alpha1.ClusterRetryPolicy:
		conditions = p.Status.Conditions
	}
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionProgrammed)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == generation
}

// editOf is one edit: the overall timeout is changed, by which agents know it.
type editOf struct {
	overall time.Duration
	events  watch.Interface
}

func (e *edits) once(ctx context.Context, s *scenario, to editOf) error {
	seen := s.agents.expect(e.agents, func(s observation) bool { return s.profile != nil && hasOverall(s.profile, e.id, to.overall) })
	p := objectOf(e.id)
	body := fmt.Sprintf(`{"spec":{"timeouts":{"overall":%q}}}`, duration(to.overall))
	if e.id.Kind == policy.KindClusterRetryPolicy {
		body = fmt.Sprintf(`{"spec":{"defaults":{"timeouts":{"overall":%q}}}}`, duration(to.overall))
	}
	began := time.Now()
	if err := s.cluster.policies.Patch(ctx, p, client.RawPatch("application/merge-patch+json", []byte(body))); err != nil {
		return err
	}
	done, err := awaitProgrammed(ctx, to.events, p)
	if err != nil {
		return err
	}
	times, err := seen.wait(ctx, editTimeout)
	if err != nil {
		return err
	}
	last := began
	for _, t := range times {
		e.each = append(e.each, t.Sub(began))
		if t.After(last) {
			last = t
		}
	}
	e.all = append(e.all, last.Sub(began))
	e.programmed = append(e.programmed, done.Sub(began))
	if done.Before(last) {
		e.premature++
	}
	return nil
}

func hasOverall(p *policy.Profile, id policy.ID, overall time.Duration) bool {
	for i := range p.Bindings {
		if b := &p.Bindings[i]; b.Policy == id && b.Base.Timeouts.Overall == overall {
			return true
		}
	}
	return false
}

// awaitProgrammed returns when the status of p said that its generation is in force everywhere.
func awaitProgrammed(ctx context.Context, events watch.Interface, p client.Object) (time.Time, error) {
	deadline := time.NewTimer(editTimeout)
	defer deadline.Stop()
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-deadline.C:
			return time.Time{}, fmt.Errorf("not programmed within %s", editTimeout)
		case event, open := <-events.ResultChan():
			if !open {
				return time.Time{}, errors.New("the watch of policies ended")
			}
			now := time.Now()
			if o, ok := event.Object.(client.Object); ok && o.GetName() == p.GetName() && isProgrammed(o, p.GetGeneration()) {
				return now, nil
			}
		}
	}
}
