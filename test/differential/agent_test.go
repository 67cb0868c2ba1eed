package differential

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// agent is what captures and carries a pod's calls on a node, without the watch of the container runtime and without the manager.
type agent struct {
	capture *capture.Manager
	store   *routes.Table
	proxy   *proxy.Server
	stop    func()

	// What the agent has to say of calls that did not go well: to explain what differs, never to be compared.
	routes.Discard
	mu       sync.Mutex
	reported []string
}

// Recorder implements store.Observer.
func (a *agent) Recorder(policy.ID, string) routes.Recorder { return a }

// CallDone implements store.Recorder.
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
	var err error
	a.store, err = routes.New(routes.Options{Node: nodeName, Dialer: func(uid string) upstream.Dialer { return a.capture.Dialer(uid) }, Observer: a})
	check(t, err)
	a.proxy, err = proxy.New(proxy.Options{Store: a.store, Events: panics{t}})
	check(t, err)
	a.capture, err = capture.New(capture.Options{
		Host: w.host, Sandboxes: onePod(w.pod.Path), Handler: handler{a.proxy}, Log: slog.New(slog.DiscardHandler), Grace: stopGrace,
		Mechanism: nft.New,
	})
	check(t, err)
	a.run(t)
	return a
}

func (a *agent) run(t testing.TB) {
	captures, endCaptures := context.WithCancel(context.Background())
	stores, endStores := context.WithCancel(context.Background())
	var running, pools sync.WaitGroup
	running.Go(func() {
		if err := a.capture.Run(captures); err != nil {
			t.Errorf("capture: %v", err)
		}
	})
	pools.Go(func() { _ = a.store.Run(stores) })
	a.stop = sync.OnceFunc(func() {
		endCaptures()
		running.Wait()
		endStores()
		pools.Wait()
	})
}

// detect has the agent treat calls by whether the pod's node translates the Service's address.
func (a *agent) detect(t testing.TB, w *world, service netip.AddrPort) {
	t.Helper()
	check(t, w.pod.Do(func() error {
		translated, err := socketlb.Probe(service)
		a.store.SetTranslated(translated, translated)
		return err
	}))
}

// install puts policy in force and waits until the kernel has it too.
func (a *agent) install(t testing.TB, s *policy.Snapshot) {
	t.Helper()
	if refused := a.store.Install(s); len(refused) > 0 {
		t.Fatalf("the policy is refused: %+v", refused)
	}
	wanted := map[string]capture.PodSpec{}
	for uid, w := range s.Workloads {
		r := routes.RedirectFor(s.Profiles[w.Profile], s.Destinations, policy.Location{Node: nodeName, Zone: s.Zone()})
		spec := capture.PodSpec{Pod: pods.Ref{UID: uid, Namespace: w.Namespace, Name: w.Name}, Redirect: r}
		if !r.Empty() {
			wanted[uid] = spec
		}
	}
	a.capture.Reconcile(wanted)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.capture.AwaitReached(ctx); err != nil {
		t.Fatal(err)
	}
	if p := a.capture.Problems(); len(p) > 0 {
		t.Fatalf("the pod is not captured: %+v", p)
	}
}

type handler struct{ proxy *proxy.Server }

func (h handler) ServeCaptured(pod capture.PodRef, conn *os.File, original netip.AddrPort) {
	h.proxy.ServeCaptured(pod.UID, conn, original)
}

// onePod says that the node has one pod, in the network namespace at the path.
type onePod string

func (p onePod) Sandboxes() (map[string]pods.Sandbox, bool) {
	return map[string]pods.Sandbox{podUID: {Pod: pods.Ref{UID: podUID, Namespace: namespace, Name: "client"}, ID: podUID, NetNS: string(p)}}, true
}

func (onePod) Changed() <-chan struct{} { return nil }
func (onePod) Hurry()                   {}

// panics fails the test when serving a connection panics.
type panics struct{ t testing.TB }

func (panics) Opened()                 {}
func (panics) Closed()                 {}
func (panics) Passed(proxy.Passed)     {}
func (panics) Malformed(drive.Refused) {}
func (p panics) Panicked(_ string, what any, stack []byte) {
	p.t.Errorf("the proxy panicked: %v\n%s", what, stack)
}
