package differential

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/nodetest"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// agent is what captures and carries a pod's calls on a node, without the watch of the container runtime and without the manager.
type agent struct {
	*nodetest.Agent

	// What the agent has to say of calls that did not go well: to explain what differs, never to be compared.
	routes.Discard
	mu       sync.Mutex
	reported []string
	// looked counts the calls that a dry run has looked at, and differing those with which it would have done something else.
	looked, differing atomic.Int64
}

// Recorder implements routes.Observer.
func (a *agent) Recorder(policy.ID, string) routes.Recorder { return a }

// ForCaller implements routes.Recorder.
func (a *agent) ForCaller(policy.Caller) routes.Recorder { return a }

// ForRoute implements routes.Recorder.
func (a *agent) ForRoute(policy.Caller, string, bool) routes.Recorder { return a }

// DryRunDone implements routes.Recorder.
func (a *agent) DryRunDone(w call.Would) {
	a.looked.Add(1)
	if w != call.WouldSame {
		a.differing.Add(1)
	}
}

// CallDone implements routes.Recorder.
func (a *agent) CallDone(e *routes.Exchange) {
	if e.Outcome.Kind == call.OK && !e.Outcome.Truncated {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reported = append(a.reported, fmt.Sprintf("the agent says of %s %s: %s, %s, truncated %v, after %s", e.Method, e.Path, e.Outcome.Kind, e.Detail, e.Outcome.Truncated, e.Took))
}

// stopGrace is how long a stop waits for connections that a scenario has left open.
const stopGrace = 3 * time.Second

func startAgent(t testing.TB, w *world) *agent {
	t.Helper()
	a := &agent{}
	a.Agent = nodetest.Start(t, nodetest.Options{
		Host: w.host, Pod: pods.Ref{UID: podUID, Namespace: namespace, Name: "client"}, NetNS: w.pod.Path, Node: nodeName, Observer: a, Grace: stopGrace,
	})
	return a
}

// detect has the agent treat calls by whether the pod's node translates the Service's address.
func (a *agent) detect(t testing.TB, w *world, service netip.AddrPort) {
	t.Helper()
	check(t, w.pod.Do(func() error {
		translated, err := socketlb.Probe(service)
		a.Routes.SetTranslated(translated, translated)
		return err
	}))
}
