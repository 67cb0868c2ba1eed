package capture_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSandboxes says where pods are.
type fakeSandboxes struct {
	changed chan struct{}

	mu    sync.Mutex
	now   map[string]pods.Sandbox
	hurry int
}

func newSandboxes() *fakeSandboxes {
	return &fakeSandboxes{changed: make(chan struct{}, 1), now: map[string]pods.Sandbox{}}
}

func (f *fakeSandboxes) Sandboxes() (map[string]pods.Sandbox, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, true
}

func (f *fakeSandboxes) Changed() <-chan struct{} { return f.changed }

func (f *fakeSandboxes) Hurry() { f.mu.Lock(); f.hurry++; f.mu.Unlock() }

func (f *fakeSandboxes) set(change func(map[string]pods.Sandbox)) {
	f.mu.Lock()
	next := maps.Clone(f.now)
	change(next)
	f.now = next
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fakeSandboxes) run(uid, sandbox, path string) {
	f.set(func(now map[string]pods.Sandbox) {
		now[uid] = pods.Sandbox{Pod: ref(uid), ID: sandbox, NetNS: path}
	})
}

func sandbox(uid, path string) pods.Sandbox { return pods.Sandbox{Pod: ref(uid), ID: uid, NetNS: path} }

func (f *fakeSandboxes) end(uid string) {
	f.set(func(now map[string]pods.Sandbox) { delete(now, uid) })
}

func ref(uid string) capture.PodRef {
	return capture.PodRef{UID: uid, Namespace: "shop", Name: "pod-" + uid}
}

// echo answers a captured connection with its agent's name, pod and original destination, and then echoes.
type echo struct{ agent string }

func (e echo) ServeCaptured(pod capture.PodRef, conn *net.TCPConn, original netip.AddrPort) {
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%s %s %s", e.agent, pod.UID, original); err == nil {
		_, _ = io.Copy(conn, conn)
	}
}

// bench is a running manager.
type bench struct {
	*capture.Manager
	stop func() error // graceful, once

	mu     sync.Mutex
	events []capture.Event
}

func (b *bench) saw(kind capture.EventKind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func run(t testing.TB, host *netns.Host, at capture.Sandboxes, change func(*capture.Options)) *bench {
	t.Helper()
	b := &bench{}
	o := capture.Options{Host: host, Sandboxes: at, Handler: echo{"agent"}, Log: slog.New(slog.DiscardHandler), Grace: 5 * time.Second,
		OnEvent: func(e capture.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
			if e.Err != nil {
				t.Logf("%s %s: %v", e.Kind, e.Pod.UID, e.Err)
			}
		}}
	if change != nil {
		change(&o)
	}
	m, err := capture.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Manager = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) want(t testing.TB, specs ...capture.PodSpec) {
	t.Helper()
	desired := map[string]capture.PodSpec{}
	for _, s := range specs {
		desired[s.Pod.UID] = s
	}
	b.Reconcile(desired)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Settle(ctx); err != nil {
		t.Fatalf("%v: %+v", err, b.State())
	}
	if p := b.Problems(); len(p) > 0 {
		t.Fatalf("problems: %+v", p)
	}
}

func spec(uid string, r capture.Redirect) capture.PodSpec {
	return capture.PodSpec{Pod: ref(uid), Redirect: r}
}

var everything = capture.Redirect{All: true}

func expect(t testing.TB, n *netnstest.Net, to, want string) {
	t.Helper()
	got, err := n.Call(t, netip.MustParseAddrPort(to))
	if err != nil || got != want {
		t.Errorf("call to %s: got %q, %v, want %q", to, got, err, want)
	}
}

func serve(t testing.TB, n *netnstest.Net) {
	t.Helper()
	n.Serve(t, netip.AddrPortFrom(netip.IPv4Unspecified(), 80), "direct")
	n.Serve(t, netip.AddrPortFrom(netip.IPv6Unspecified(), 80), "direct")
}

func TestCapturesAPodFromFirstPolicyToLast(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, world := netnstest.Pair(t, host)
	serve(t, world)
	before := netnstest.HostRuleset(t)
	at := newSandboxes()
	b := run(t, host, at, nil)
	b.want(t, spec("a", everything))
	at.run("a", "one", pod.Path)
	netnstest.Eventually(t, time.Second, "captured", func() bool { return b.Stats().Captured == 1 })
	expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	expect(t, pod, "[fd99::1]:80", "agent a [fd99::1]:80")

	c, err := dialFor(t, b, "10.99.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if from := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from != netnstest.Pod4 {
		t.Errorf("dialled from %s, want the pod's %s", from, netnstest.Pod4)
	}
	greeting := make([]byte, 6)
	if _, err := io.ReadFull(c, greeting); err != nil || string(greeting) != "direct" {
		t.Errorf("dialled: %q, %v", greeting, err)
	}
	_ = c.Close()

	b.want(t, spec("a", capture.Redirect{Ports: []uint16{81}}))
	expect(t, pod, "10.99.0.1:80", "direct")
	b.want(t)
	netnstest.Eventually(t, 3*time.Second, "nothing is left", func() bool { return pod.Ruleset(t) == "" && len(b.State()) == 0 })
	expect(t, pod, "10.99.0.1:80", "direct")
	if _, err := b.Dialer("a").Dial(t.Context(), netip.MustParseAddrPort("10.99.0.1:80")); !errors.Is(err, capture.ErrNotCaptured) {
		t.Errorf("dial after the end: %v, want ErrNotCaptured", err)
	}
	if after := netnstest.HostRuleset(t); after != before {
		t.Errorf("rule 37: the host's rules were changed from\n%s\nto\n%s", before, after)
	}
}

func TestRule36_LoopIsClosedAtOnce(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, _ := netnstest.Pair(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("a", everything))
	for i, to := range []string{"127.0.0.1:14001", "[::1]:14001"} {
		if got, err := pod.Call(t, netip.MustParseAddrPort(to)); got != "" || !errors.Is(err, io.EOF) {
			t.Errorf("call to the listener itself: %q, %v, want it closed", got, err)
		}
		if got := b.Stats().Loops; got != int64(i+1) {
			t.Errorf("%d loops counted, want %d", got, i+1)
		}
	}
}

func TestRule37_HostNetworkIsNeverEntered(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	before := netnstest.HostRuleset(t)
	at := newSandboxes()
	at.set(func(now map[string]pods.Sandbox) {
		now["h"] = pods.Sandbox{Pod: ref("h"), ID: "host", Host: true}
		now["l"] = pods.Sandbox{Pod: ref("l"), ID: "liar", NetNS: "/proc/thread-self/ns/net"} // as if mounted under another name
	})
	b := run(t, host, at, nil)
	b.Reconcile(map[string]capture.PodSpec{"h": spec("h", everything), "l": spec("l", everything)})
	if err := b.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, p := range b.Problems() {
		reasons[p.Pod] = p.Reason
	}
	if want := map[string]string{"pod-h": capture.ReasonHostNetwork, "pod-l": capture.ReasonNamespace}; !maps.Equal(reasons, want) {
		t.Errorf("problems %v, want %v", reasons, want)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if after := netnstest.HostRuleset(t); after != before {
		t.Errorf("the host's rules were changed from\n%s\nto\n%s", before, after)
	}
}

func open(t testing.TB, n *netnstest.Net, to, greeting string) *net.TCPConn {
	t.Helper()
	c, err := n.Dial(t.Context(), netip.MustParseAddrPort(to), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := hear(c, greeting); err != nil {
		t.Fatal(err)
	}
	return c
}

func hear(c net.Conn, want string) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		return fmt.Errorf("heard %q, %w, want %q", b, err, want)
	}
	return nil
}

func talk(c net.Conn, word string) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	return hear(c, word)
}

func TestRule34_RemovedPolicyLetsConnectionsEnd(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, world := netnstest.Pair(t, host)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("a", everything))
	c := open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	b.want(t)
	netnstest.Eventually(t, 3*time.Second, "new calls go direct", func() bool {
		got, err := pod.Call(t, netip.MustParseAddrPort("10.99.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		return got == "direct"
	})
	if err := talk(c, "still here"); err != nil {
		t.Error(err)
	}
	b.want(t, spec("a", everything)) // wanted again before the connection has ended
	expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	if err := talk(c, "still here"); err != nil {
		t.Error(err)
	}
	b.want(t)
	_ = c.Close()
	netnstest.Eventually(t, 5*time.Second, "nothing is left", func() bool { return pod.Ruleset(t) == "" && len(b.State()) == 0 })
}

func TestStopLeavesNothingButClosedPods(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	opened, world := netnstest.Pair(t, host)
	closed, otherWorld := netnstest.Pair(t, host)
	serve(t, world)
	serve(t, otherWorld)
	at := newSandboxes()
	at.run("o", "one", opened.Path)
	at.run("c", "two", closed.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("o", everything), spec("c", capture.Redirect{All: true, FailClosed: true}))
	c := open(t, opened, "10.99.0.1:80", "agent o 10.99.0.1:80")
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	netnstest.Eventually(t, 3*time.Second, "new calls go direct", func() bool {
		got, err := opened.Call(t, netip.MustParseAddrPort("10.99.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		return got == "direct"
	})
	if err := talk(c, "while stopping"); err != nil {
		t.Error(err)
	}
	for range 3 { // as long as the agent is there for others
		expect(t, closed, "10.99.0.1:80", "agent c 10.99.0.1:80")
	}
	netnstest.Eventually(t, time.Second, "all but the closed pod is let go", func() bool { s := b.Stats(); return s.Passing && s.Captured == 1 })
	_ = c.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if left := opened.Ruleset(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if _, err := closed.Call(t, netip.MustParseAddrPort("10.99.0.1:80")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("call from a closed pod without agent: %v, want refused", err)
	}
}

func TestRule26_ForcedStopResetsConnections(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, _ := netnstest.Pair(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, func(o *capture.Options) { o.Grace = 100 * time.Millisecond })
	b.want(t, spec("a", everything))
	c := open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if cut := b.Stats().Cut; cut != 1 {
		t.Errorf("%d connections cut, want one", cut)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a forced stop the connection reads %v, want a reset: an end would look as if all had been received", err)
	}
	if left := pod.Ruleset(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestReplacedSandboxIsCapturedAnew(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	first, _ := netnstest.Pair(t, host)
	second, _ := netnstest.Pair(t, host)
	at := newSandboxes()
	at.run("a", "one", first.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("a", everything))
	c := open(t, first, "10.99.0.1:80", "agent a 10.99.0.1:80")
	at.run("a", "two", second.Path)
	netnstest.Eventually(t, time.Second, "the new sandbox is captured", func() bool {
		s := b.State()
		return len(s) == 1 && s[0].Sandbox == "two" && s[0].Captured
	})
	expect(t, second, "10.99.0.1:80", "agent a 10.99.0.1:80")
	netnstest.Eventually(t, time.Second, "the old sandbox's door is closed", func() bool { return b.saw(capture.Ended) == 1 })
	if err := talk(c, "anybody"); err == nil {
		t.Error("a connection outlived its sandbox")
	}
}

func TestNamespaceThatComesLate(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	path := t.TempDir() + "/late"
	at := newSandboxes()
	at.run("a", "one", path)
	b := run(t, host, at, nil)
	b.Reconcile(map[string]capture.PodSpec{"a": spec("a", everything)})
	netnstest.Eventually(t, time.Second, "the problem is told", func() bool {
		p := b.Problems()
		return len(p) == 1 && p[0].Reason == capture.ReasonNamespace
	})
	netnstest.Mount(t, path)
	netnstest.Eventually(t, 8*time.Second, "captured, although the loopback is down", func() bool { return b.Stats().Captured == 1 })
	if p := b.Problems(); len(p) > 0 {
		t.Errorf("problems: %+v", p)
	}
}

func TestPodThatUsesThePortItself(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, _ := netnstest.Pair(t, host)
	var l net.Listener
	if err := pod.Do(func() (err error) { l, err = net.Listen("tcp4", "127.0.0.1:14001"); return err }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("a", everything))
	if got := b.State()[0].Port; got != 14002 {
		t.Errorf("listens on %d, want the next port", got)
	}
	expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
}

// panicky is a handler with a bug.
type panicky struct{}

func (panicky) ServeCaptured(capture.PodRef, *net.TCPConn, netip.AddrPort) { panic("a bug") }

func TestRule26_PanicResetsOneConnection(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, _ := netnstest.Pair(t, host)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, func(o *capture.Options) { o.Handler = panicky{} })
	b.want(t, spec("a", everything))
	for i := range 3 {
		if got, err := pod.Call(t, netip.MustParseAddrPort("10.99.0.1:80")); got != "" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("call: %q, %v, want it reset", got, err)
		}
		netnstest.Eventually(t, time.Second, "the panic is counted and the connection gone", func() bool {
			s := b.Stats()
			return s.Panics == int64(i+1) && s.Connections == 0
		})
	}
}

func TestClosedPodThatIsLeftWhenTheAgentStops(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, world := netnstest.Pair(t, host)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, nil)
	b.want(t, spec("a", capture.Redirect{All: true, FailClosed: true}))
	c := open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	b.want(t) // no policy any more, but the connection keeps the door
	netnstest.Eventually(t, time.Second, "new calls go direct", func() bool {
		got, err := pod.Call(t, netip.MustParseAddrPort("10.99.0.1:80"))
		return err == nil && got == "direct"
	})
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	if err := talk(c, "while it stops"); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if left := pod.Ruleset(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestNewChecksItsOptions(t *testing.T) {
	if _, err := capture.New(capture.Options{}); err == nil {
		t.Error("made a manager from nothing")
	}
}
