// Package nodetest runs what captures the calls of a few pods and carries them, in tests that make network namespaces: an agent without the watch
// of the container runtime and without the manager. It is never linked into a binary.
package nodetest

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Options configure an Agent. Host, Pod and NetNS are required.
type Options struct {
	Host *netns.Host
	// Pod is a pod of the node, and NetNS the path of its network namespace.
	Pod   pods.Ref
	NetNS string
	// Others are further pods of the node.
	Others []pods.Sandbox
	// Node is the node's name.
	Node string
	// Observer hears of calls, and Passed of connections that are passed through without being understood. Either may be nil.
	Observer routes.Observer
	Passed   func(why proxy.Passed)
	// Grace is how long a stop waits for connections to end.
	Grace time.Duration
	// Memory is what the agent may use of it; nil: only running out of it counts. MaxConnections is how many connections it serves at once; 0: as many as
	// it has descriptors for.
	Memory         capture.Memory
	MaxConnections int64
}

// Agent captures the calls of the node's pods and carries them.
type Agent struct {
	// Routes holds the policies in force.
	Routes  *routes.Table
	node    string
	capture *capture.Manager
	stop    func()
}

// installed bounds how long the kernel may take to have a policy.
const installed = 20 * time.Second

// Start starts an agent without any policy. It ends with Stop.
func Start(t testing.TB, o Options) *Agent {
	t.Helper()
	a := &Agent{node: o.Node}
	var err error
	a.Routes, err = routes.New(routes.Options{Node: o.Node, Dialer: func(uid string) upstream.Dialer { return a.capture.Dialer(uid) }, Observer: o.Observer})
	check(t, err)
	p, err := proxy.New(proxy.Options{Store: a.Routes, Events: events{t, o.Passed}})
	check(t, err)
	a.capture, err = capture.New(capture.Options{
		Host: o.Host, Sandboxes: sandboxesOf(&o), Handler: handler{p}, Listening: handler{p}.listening,
		Log: slog.New(slog.DiscardHandler), Grace: o.Grace, Mechanism: nft.New, Memory: o.Memory, MaxConnections: o.MaxConnections,
	})
	check(t, err)
	a.run(t)
	return a
}

func (a *Agent) run(t testing.TB) {
	captures, endCaptures := context.WithCancel(context.Background())
	tables, endTables := context.WithCancel(context.Background())
	var running, pools sync.WaitGroup
	running.Go(func() {
		if err := a.capture.Run(captures); err != nil {
			t.Errorf("capture: %v", err)
		}
	})
	pools.Go(func() { _ = a.Routes.Run(tables) })
	a.stop = sync.OnceFunc(func() {
		endCaptures()
		running.Wait()
		endTables()
		pools.Wait()
	})
}

// Stop gives the pod back to itself, waits for its connections, and ends the agent.
func (a *Agent) Stop() { a.stop() }

// Install puts policies in force and waits until the kernel has them too.
func (a *Agent) Install(t testing.TB, s *policy.Snapshot) {
	t.Helper()
	if refused := a.Routes.Install(s); len(refused) > 0 {
		t.Fatalf("the policy is refused: %+v", refused)
	}
	wanted := map[string]capture.PodSpec{}
	for uid, w := range s.Workloads {
		r := routes.RedirectFor(s.Profiles[w.Profile], s.Destinations, policy.Location{Node: a.node, Zone: s.Zone()})
		if !r.Empty() {
			wanted[uid] = capture.PodSpec{Pod: pods.Ref{UID: uid, Namespace: w.Namespace, Name: w.Name}, Redirect: r}
		}
	}
	a.capture.Reconcile(wanted)
	ctx, cancel := context.WithTimeout(context.Background(), installed)
	defer cancel()
	if err := a.capture.AwaitReached(ctx); err != nil {
		t.Fatal(err)
	}
	if p := a.capture.Problems(); len(p) > 0 {
		t.Fatalf("a pod is not captured: %+v", p)
	}
}

// Accepted is how many connections were captured.
func (a *Agent) Accepted() int64 { return a.Stats().Accepted }

// Stats counts what was captured.
func (a *Agent) Stats() capture.Stats { return a.capture.Stats() }

type handler struct{ proxy *proxy.Server }

func (h handler) ServeCaptured(pod capture.PodRef, conn *os.File, original netip.AddrPort) {
	h.proxy.ServeCaptured(pod.UID, conn, original)
}

func (h handler) listening(pod capture.PodRef) (turn, done func()) { return h.proxy.Listening(pod.UID) }

// sandboxes are the pods of the node by UID, which stay as they are.
type sandboxes map[string]pods.Sandbox

func sandboxesOf(o *Options) sandboxes {
	s := sandboxes{o.Pod.UID: {Pod: o.Pod, ID: o.Pod.UID, NetNS: o.NetNS}}
	for _, other := range o.Others {
		s[other.Pod.UID] = other
	}
	return s
}

func (s sandboxes) Sandboxes() (map[string]pods.Sandbox, bool) { return s, true }

func (sandboxes) Changed() <-chan struct{} { return nil }
func (sandboxes) Hurry()                   {}

// events fails the test when serving a connection panics.
type events struct {
	t      testing.TB
	passed func(why proxy.Passed)
}

func (events) Opened()                         {}
func (events) Closed()                         {}
func (events) Malformed(drive.Refused)         {}
func (events) Flooded(drive.Side, drive.Flood) {}

func (e events) Passed(why proxy.Passed) {
	if e.passed != nil {
		e.passed(why)
	}
}

func (e events) Panicked(_ string, what any, stack []byte) {
	e.t.Errorf("the proxy panicked: %v\n%s", what, stack)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
