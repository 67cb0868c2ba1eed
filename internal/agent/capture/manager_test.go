package capture_test

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
)

func TestCapturesAPodFromFirstPolicyToLast(t *testing.T) {
	onEach(t, testCapturesAPodFromFirstPolicyToLast)
}

func testCapturesAPodFromFirstPolicyToLast(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	before := netnstest.HostRuleset(t)
	at := newSandboxes()
	b := run(t, host, at, using(k, nil))
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

	b.want(t, spec("a", intent.Redirect{Ports: []uint16{81}}))
	expect(t, pod, "10.99.0.1:80", "direct")
	b.want(t)
	netnstest.Eventually(t, 3*time.Second, "nothing is left", func() bool { return pod.left(t) == "" && len(b.State()) == 0 })
	expect(t, pod, "10.99.0.1:80", "direct")
	if _, err := b.Dialer("a").Dial(t.Context(), netip.MustParseAddrPort("10.99.0.1:80")); !errors.Is(err, capture.ErrNotCaptured) {
		t.Errorf("dial after the end: %v, want ErrNotCaptured", err)
	}
	if after := netnstest.HostRuleset(t); after != before {
		t.Errorf("rule 37: the host's rules were changed from\n%s\nto\n%s", before, after)
	}
}

func TestRule36_LoopIsClosedAtOnce(t *testing.T) {
	onEach(t, testRule36_LoopIsClosedAtOnce)
}

func testRule36_LoopIsClosedAtOnce(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("a", everything))
	for i, to := range []string{"127.0.0.1:14001", "[::1]:14001"} {
		if got, err := pod.call(t, to); got != "" || !errors.Is(err, io.EOF) {
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
	if err := b.AwaitReached(t.Context()); err != nil {
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

func TestRule34_RemovedPolicyLetsConnectionsEnd(t *testing.T) {
	onEach(t, testRule34_RemovedPolicyLetsConnectionsEnd)
}

func testRule34_RemovedPolicyLetsConnectionsEnd(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("a", everything))
	c := open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	b.want(t)
	netnstest.Eventually(t, 3*time.Second, "new calls go direct", func() bool {
		got, err := pod.call(t, "10.99.0.1:80")
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
	netnstest.Eventually(t, 5*time.Second, "nothing is left", func() bool { return pod.left(t) == "" && len(b.State()) == 0 })
}

func TestStopLeavesNothingButClosedPods(t *testing.T) {
	onEach(t, testStopLeavesNothingButClosedPods)
}

func testStopLeavesNothingButClosedPods(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	opened, world := pair(t, host, k)
	closed, otherWorld := pair(t, host, k)
	serve(t, world)
	serve(t, otherWorld)
	at := newSandboxes()
	at.run("o", "one", opened.Path)
	at.run("c", "two", closed.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("o", everything), spec("c", intent.Redirect{All: true, FailClosed: true}))
	c := open(t, opened, "10.99.0.1:80", "agent o 10.99.0.1:80")
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop() }()
	netnstest.Eventually(t, 3*time.Second, "new calls go direct", func() bool {
		got, err := opened.call(t, "10.99.0.1:80")
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
	netnstest.Eventually(t, time.Second, "all but the closed pod has retired", func() bool { s := b.Stats(); return s.RedirectStopped && s.Captured == 1 })
	_ = c.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if left := opened.left(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if _, err := closed.call(t, "10.99.0.1:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("call from a closed pod without agent: %v, want refused", err)
	}
}

func TestRule26_ForcedStopResetsConnections(t *testing.T) {
	onEach(t, testRule26_ForcedStopResetsConnections)
}

func testRule26_ForcedStopResetsConnections(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, func(o *capture.Options) { o.Grace = 100 * time.Millisecond }))
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
	if left := pod.left(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestReplacedSandboxIsCapturedAnew(t *testing.T) {
	onEach(t, testReplacedSandboxIsCapturedAnew)
}

func testReplacedSandboxIsCapturedAnew(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	first, _ := pair(t, host, k)
	second, _ := pair(t, host, k)
	at := newSandboxes()
	at.run("a", "one", first.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("a", everything))
	c := open(t, first, "10.99.0.1:80", "agent a 10.99.0.1:80")
	at.run("a", "two", second.Path)
	netnstest.Eventually(t, time.Second, "the new sandbox is captured", func() bool {
		s := b.State()
		return len(s) == 1 && s[0].Sandbox == "two" && s[0].Captured
	})
	expect(t, second, "10.99.0.1:80", "agent a 10.99.0.1:80")
	netnstest.Eventually(t, time.Second, "the capture of the old sandbox has ended", func() bool { return b.saw(capture.Ended) == 1 })
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
	netnstest.Eventually(t, time.Second, "the problem is reported", func() bool {
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
	onEach(t, testPodThatUsesThePortItself)
}

func testPodThatUsesThePortItself(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	var l net.Listener
	if err := pod.Do(func() (err error) { l, err = net.Listen("tcp4", "127.0.0.1:14001"); return err }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("a", everything))
	if got := b.State()[0].Port; got != 14002 {
		t.Errorf("listens on %d, want the next port", got)
	}
	expect(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
}

// panicky is a handler with a bug.
type panicky struct{}

func (panicky) ServeCaptured(capture.PodRef, *os.File, netip.AddrPort) { panic("a bug") }

func TestRule26_PanicResetsOneConnection(t *testing.T) {
	onEach(t, testRule26_PanicResetsOneConnection)
}

func testRule26_PanicResetsOneConnection(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, func(o *capture.Options) { o.Handler = panicky{} }))
	b.want(t, spec("a", everything))
	for i := range 3 {
		if got, err := pod.call(t, "10.99.0.1:80"); got != "" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("call: %q, %v, want it reset", got, err)
		}
		netnstest.Eventually(t, time.Second, "the panic is counted and the connection gone", func() bool {
			s := b.Stats()
			return s.Panics == int64(i+1) && s.Connections == 0
		})
	}
}

func TestClosedPodThatIsLeftWhenTheAgentStops(t *testing.T) {
	onEach(t, testClosedPodThatIsLeftWhenTheAgentStops)
}

func testClosedPodThatIsLeftWhenTheAgentStops(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("a", intent.Redirect{All: true, FailClosed: true}))
	c := open(t, pod, "10.99.0.1:80", "agent a 10.99.0.1:80")
	b.want(t) // no policy any more, but the connection keeps the capture
	netnstest.Eventually(t, time.Second, "new calls go direct", func() bool {
		got, err := pod.call(t, "10.99.0.1:80")
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
	if left := pod.left(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// TestRule39_ServicesWithoutEndpointsOfAClosedPod are left to the cluster, until the agent is gone.
func TestRule39_ServicesWithoutEndpointsOfAClosedPod(t *testing.T) {
	onEach(t, testRule39_ServicesWithoutEndpointsOfAClosedPod)
}

func testRule39_ServicesWithoutEndpointsOfAClosedPod(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, using(k, func(o *capture.Options) { o.Lease = 300 * time.Millisecond }))
	to := "10.99.0.1:80"
	b.want(t, spec("a", intent.Redirect{FailClosed: true, Unserved: []netip.AddrPort{netip.MustParseAddrPort(to)}}))
	expect(t, pod, to, "direct") // in a cluster, nobody is there
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	netnstest.Eventually(t, 10*time.Second, "calls are refused without an agent", func() bool {
		_, err := pod.call(t, to)
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

func TestNewChecksItsOptions(t *testing.T) {
	if _, err := capture.New(capture.Options{}); err == nil {
		t.Error("made a manager from nothing")
	}
}
