package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// A call is made by a container that is added to the pod (an ephemeral container), so that it comes from the pod's own network namespace with rights that
// who runs the command has already: who may patch pods/ephemeralcontainers may run anything there. The agent is not asked to make it: it could call from
// every pod of its node.

const (
	// userID runs the container: one that is nobody's, and not root.
	userID = 65532
	// look is how often the pod is looked at.
	look = 500 * time.Millisecond
)

// outcome is what the container reports (package onecall).
type outcome struct {
	Status  int     `json:"status"`
	Proto   string  `json:"proto"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error"`
}

// made has a call be made from a pod, and shows it.
func (t *tracer) made(ctx context.Context, p *corev1.Pod) error {
	if p.Status.Phase != corev1.PodRunning {
		return fmt.Errorf("pod %s/%s is %s: a call can be made from one that runs", p.Namespace, p.Name, p.Status.Phase)
	}
	agents, err := t.asker.AgentsOn(ctx, p.Spec.NodeName)
	if err != nil {
		return err
	}
	c := newMarked(t.flags)
	if t.flags.overTLS() {
		c.trusted = t.published(ctx, p.Namespace)
	}
	container := c.container(agents[0].Spec.Containers[0].Image)
	if err := t.add(ctx, p, container, client.DryRunAll); err != nil {
		return err
	}
	err = t.record(ctx, fmt.Sprintf("has a call be made from pod %s/%s, for %s at most", p.Namespace, p.Name, t.flags.timeout), func(ctx context.Context) error {
		return t.make(ctx, agents, p, container, c)
	})
	if err == nil && t.unseen != "" {
		fmt.Fprintln(t.env.ErrOut, t.unseen)
	}
	return err
}

// make adds the container to the pod, and shows the call that it makes.
func (t *tracer) make(ctx context.Context, agents []corev1.Pod, p *corev1.Pod, container *corev1.EphemeralContainer, c *marked) error {
	ctx, stop := context.WithTimeout(ctx, t.flags.timeout)
	defer stop()
	opened, done := make(chan struct{}), make(chan error, 1)
	first := true
	go func() {
		done <- ask.Lines(ctx, t.asker, agents, liveapi.TracePath, c.query(p), func(l liveapi.TraceLine) {
			if first {
				first = false
				close(opened)
			}
			t.show(&l)
		})
	}()
	select {
	case err := <-done:
		return errors.Join(err, ctx.Err())
	case <-opened:
	}
	if err := t.add(ctx, p, container); err != nil {
		stop()
		return endedWith(err, <-done)
	}
	return t.follow(ctx, stop, p, container.Name, done)
}

// endedWith is an error, and what the trace ended with because of it, if that is more than that it was stopped.
func endedWith(err, trace error) error {
	if errors.Is(trace, context.Canceled) {
		return err
	}
	return errors.Join(err, trace)
}

// follow waits for the trace to end, or for the container to have made a call that no agent has seen.
func (t *tracer) follow(ctx context.Context, stop func(), p *corev1.Pod, name string, done chan error) error {
	out, err := t.terminated(ctx, p, name)
	if err != nil {
		stop()
		err = endedWith(err, <-done)
		if t.ended {
			return nil
		}
		return err
	}
	patience := time.AfterFunc(look, stop) // what the agent has seen has been sent by now
	err = <-done
	patience.Stop()
	switch {
	case t.ended:
		if t.passed {
			t.unseen = t.within(out)
		}
		return nil
	case t.node != "":
		return fmt.Errorf("the trace ended before the call: %w", errors.Join(err, context.Cause(ctx)))
	}
	return t.notSeen(p.Name, out)
}

// notSeen says how a call went that no agent has seen.
func (t *tracer) notSeen(pod string, out *outcome) error {
	failed := out.Error != "" && out.Status == 0
	switch {
	case failed && t.flags.overTLS():
		return fmt.Errorf("%w to the agent that it can see into: no policy governs it, or its TLS failed before: %s. %s. kubectl fairlead explain %s %s says which policies there are", ErrNoCall, output.Text(out.Error), trusts, pod, output.Text(t.flags.calls))
	case failed:
		return fmt.Errorf("%w to the agent: no policy governs it. It failed by itself: %s. kubectl fairlead explain %s %s says which policies there are", ErrNoCall, output.Text(out.Error), pod, output.Text(t.flags.calls))
	}
	return fmt.Errorf("%w to the agent: no policy governs it. It was answered with %d in %s. kubectl fairlead explain %s %s says which policies there are", ErrNoCall, out.Status, seconds(out.Seconds), pod, output.Text(t.flags.calls))
}

// trusts says whom a call over TLS trusts.
const trusts = "It trusts the public roots and, where the pod's namespace has it (docs/guides/tls.md), the egress CA; --insecure verifies nothing"

// within says how a call went whose connection alone the agent has seen.
func (t *tracer) within(out *outcome) string {
	switch {
	case out.Status > 0:
		return fmt.Sprintf("What the agent does not see: within the connection the call was answered with %d over %s in %s.", out.Status, output.Text(out.Proto), seconds(out.Seconds))
	case t.flags.overTLS():
		return fmt.Sprintf("What the agent does not see: the call failed within the connection: %s. %s.", output.Text(out.Error), trusts)
	}
	return fmt.Sprintf("What the agent does not see: the call failed within the connection: %s.", output.Text(out.Error))
}

// add adds the container to the pod.
func (t *tracer) add(ctx context.Context, p *corev1.Pod, c *corev1.EphemeralContainer, options ...client.SubResourcePatchOption) error {
	with := p.DeepCopy()
	with.Spec.EphemeralContainers = append(with.Spec.EphemeralContainers, *c)
	err := t.client.SubResource("ephemeralcontainers").Patch(ctx, with, client.StrategicMergeFrom(p), options...)
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("make a call from pod %s/%s: %w: that takes the right to patch pods/ephemeralcontainers in namespace %s, as kubectl debug does (docs/reference/cli.md, Rights); without --call the next call of the pod's own is traced", p.Namespace, p.Name, err, p.Namespace)
	}
	return kube.Explain(err, "make a call from pod "+p.Namespace+"/"+p.Name)
}

// terminated waits for the container to end, and returns what it reports.
func (t *tracer) terminated(ctx context.Context, p *corev1.Pod, name string) (*outcome, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	waits := "it has not been started"
	for {
		var now corev1.Pod
		if err := t.client.Get(ctx, client.ObjectKeyFromObject(p), &now); err != nil && ctx.Err() == nil {
			return nil, kube.Explain(err, "look for pod "+p.Namespace+"/"+p.Name)
		}
		for i := range now.Status.EphemeralContainerStatuses {
			s := &now.Status.EphemeralContainerStatuses[i]
			if s.Name != name {
				continue
			}
			if end := s.State.Terminated; end != nil {
				return reported(end)
			}
			if w := s.State.Waiting; w != nil {
				waits = output.Text(w.Reason + ": " + w.Message)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the container %s that was to make the call has not ended within %s (%s): see kubectl -n %s describe pod %s", name, t.flags.timeout, waits, p.Namespace, p.Name)
		case <-tick.C:
		}
	}
}

// reported reads what a container has reported.
func reported(end *corev1.ContainerStateTerminated) (*outcome, error) {
	var o outcome
	if err := json.Unmarshal([]byte(end.Message), &o); err != nil || end.ExitCode != 0 {
		return nil, fmt.Errorf("the container that was to make the call ended with %d: %s", end.ExitCode, output.Text(end.Message))
	}
	return &o, nil
}
