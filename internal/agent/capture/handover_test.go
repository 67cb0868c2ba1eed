package capture_test

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// calls keeps calling, and counts answers by the agent that gave them. A call that fails or that nobody captured fails the test.
type calls struct {
	mu      sync.Mutex
	answers map[string]int
}

func (c *calls) of(agent string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[agent]
}

func keepCalling(t *testing.T, pod *pod, callers int) *calls {
	t.Helper()
	c := &calls{answers: map[string]int{}}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for {
				got, err := pod.call(t, "10.99.0.1:80")
				agent, captured := strings.CutSuffix(got, " a 10.99.0.1:80")
				if t.Context().Err() != nil {
					return // the test has ended
				}
				if err != nil || !captured {
					t.Errorf("call: %q, %v", got, err)
					return
				}
				c.mu.Lock()
				c.answers[agent]++
				c.mu.Unlock()
			}
		})
	}
	t.Cleanup(wg.Wait)
	return c
}

func named(name string) func(*capture.Options) {
	return func(o *capture.Options) { o.Handler = echo{name} }
}

func owner(t testing.TB, p *pod) nft.Owner {
	t.Helper()
	return p.kernel.owner(t, p.Net)
}

func TestUpgradeFailsNoCall(t *testing.T) {
	onEach(t, testUpgradeFailsNoCall)
}

func testUpgradeFailsNoCall(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world) // a call that is not captured would be answered "direct"
	at, later := newSandboxes(), newSandboxes()
	at.run("a", "one", pod.Path)
	later.run("a", "one", pod.Path)
	old := run(t, host, at, using(k, named("agent 0")))
	old.want(t, spec("a", everything))
	kept := open(t, pod, "10.99.0.1:80", "agent 0 a 10.99.0.1:80")
	made := keepCalling(t, pod, 4)
	for round := 1; round <= 6; round++ {
		answered := func(agent int) func() bool {
			name, before := fmt.Sprint("agent ", agent), made.of(fmt.Sprint("agent ", agent))
			return func() bool { return t.Failed() || made.of(name) > before+20 }
		}
		netnstest.Eventually(t, 5*time.Second, "the old agent answers", answered(round-1))
		before := owner(t, pod)
		newer := run(t, host, later, using(k, named(fmt.Sprint("agent ", round))))
		newer.want(t, spec("a", everything))
		if now := owner(t, pod); now.Name == before.Name || now.Port != before.Port {
			t.Fatalf("owner %+v after %+v, want another on the same port", now, before)
		}
		if round == 1 {
			if err := talk(kept, "still here"); err != nil {
				t.Error(err)
			}
			_ = kept.Close() // else the old agent waits for it
		}
		if err := old.stop(); err != nil {
			t.Fatal(err)
		}
		netnstest.Eventually(t, 5*time.Second, "the newer agent answers", answered(round))
		old, at, later = newer, later, at
	}
}

// TestClosedPodIsHandedOverWhileTheOldAgentDrains: the old agent serves it until the newer one does, however long others' connections last.
func TestClosedPodIsHandedOverWhileTheOldAgentDrains(t *testing.T) {
	onEach(t, testClosedPodIsHandedOverWhileTheOldAgentDrains)
}

func testClosedPodIsHandedOverWhileTheOldAgentDrains(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	closed, _ := pair(t, host, k)
	at, later := newSandboxes(), newSandboxes()
	for _, s := range []*fakeSandboxes{at, later} {
		s.run("a", "one", pod.Path)
		s.run("c", "two", closed.Path)
	}
	specs := []capture.PodSpec{spec("a", everything), spec("c", intent.Redirect{All: true, FailClosed: true})}
	short := func(name string) func(*capture.Options) {
		return func(o *capture.Options) { o.Handler, o.Lease, o.Grace = echo{name}, 900*time.Millisecond, time.Hour }
	}
	old := run(t, host, at, using(k, short("old")))
	old.want(t, specs...)
	kept := open(t, pod, "10.99.0.1:80", "old a 10.99.0.1:80")
	stopped := make(chan error, 1)
	go func() { stopped <- old.stop() }()
	netnstest.Eventually(t, time.Second, "all that can be has retired", func() bool { return old.Stats().RedirectStopped })
	expect(t, closed, "10.99.0.1:80", "old c 10.99.0.1:80")
	newer := run(t, host, later, using(k, short("newer")))
	newer.want(t, specs...)
	netnstest.Eventually(t, time.Second, "the old agent captures no more", func() bool { return old.saw(capture.Superseded) > 0 && old.Stats().Captured == 0 })
	expect(t, closed, "10.99.0.1:80", "newer c 10.99.0.1:80")
	if err := talk(kept, "still here"); err != nil {
		t.Error(err)
	}
	_ = kept.Close()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestOldAgentTakesBackWhatANewerOneLeft(t *testing.T) {
	onEach(t, testOldAgentTakesBackWhatANewerOneLeft)
}

func testOldAgentTakesBackWhatANewerOneLeft(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	short := func(o *capture.Options) { o.Handler, o.Lease = echo{"old"}, 300*time.Millisecond }
	old := run(t, host, at, using(k, short))
	old.want(t, spec("a", everything))
	// A newer agent that takes over and then dies at once.
	leaveBehind(t, pod, "newer", mechanism.Intent{Redirect: intent.Redirect{Ports: []uint16{80}}, Port: old.State()[0].Port, IPv6: true})
	old.want(t, spec("a", intent.Redirect{Ports: []uint16{80, 81}})) // finds out that it was superseded
	if old.saw(capture.Superseded) == 0 || owner(t, pod).Name != "newer" {
		t.Fatalf("%d times superseded, owner %q", old.saw(capture.Superseded), owner(t, pod).Name)
	}
	expect(t, pod, "10.99.0.1:80", "old a 10.99.0.1:80") // its listener is still there
	netnstest.Eventually(t, 3*time.Second, "the old agent is the owner again", func() bool { return owner(t, pod).Name != "newer" })
	netnstest.Eventually(t, time.Second, "its own rules are in force", func() bool {
		got, err := pod.call(t, "10.99.0.1:81")
		return err == nil && got == "old a 10.99.0.1:81"
	})
}

// redirecting is what an agent before this one was to do.
func redirecting(r intent.Redirect) mechanism.Intent {
	return mechanism.Intent{Redirect: r, Port: 15333, IPv6: true}
}

// leaveBehind has an agent take a pod over that dies at once.
func leaveBehind(t *testing.T, p *pod, agent string, i mechanism.Intent) {
	t.Helper()
	m, err := p.kernel.mechanism(mechanism.Settings{Agent: agent, Mark: capture.DefaultMark, Lease: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if h := m.Heartbeat(); h.Beat != nil {
		if err := h.Beat(); err != nil {
			t.Fatal(err)
		}
	}
	a, err := m.Attach(p.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if err := a.TakeOver(i); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Renew(mechanism.Connection{}); err != nil {
		t.Fatal(err)
	}
}

func TestRestartAfterAKill(t *testing.T) {
	onEach(t, testRestartAfterAKill)
}

func testRestartAfterAKill(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	wanted, world := pair(t, host, k)
	unwanted, otherWorld := pair(t, host, k)
	serve(t, world)
	serve(t, otherWorld)
	leaveBehind(t, wanted, "killed", redirecting(intent.Redirect{Ports: []uint16{80}}))
	leaveBehind(t, unwanted, "killed", redirecting(intent.Redirect{All: true, FailClosed: true}))
	at := newSandboxes()
	at.run("w", "one", wanted.Path)
	at.run("u", "two", unwanted.Path)
	b := run(t, host, at, using(k, nil))
	b.want(t, spec("w", everything))
	if got := owner(t, wanted); got.Port != 15333 || got.Name == "killed" {
		t.Errorf("owner %+v, want a new one on the old port", got)
	}
	expect(t, wanted, "10.99.0.1:80", "agent w 10.99.0.1:80")
	expect(t, wanted, "[fd99::1]:80", "agent w [fd99::1]:80")
	netnstest.Eventually(t, 3*time.Second, "what was left in the other pod is gone", func() bool { return unwanted.left(t) == "" })
	expect(t, unwanted, "10.99.0.1:80", "direct")
}

// TestWhatWasLeftIsFoundLate has the runtime describe a sandbox only after the agent has looked into the others.
func TestWhatWasLeftIsFoundLate(t *testing.T) {
	onEach(t, testWhatWasLeftIsFoundLate)
}

func testWhatWasLeftIsFoundLate(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	leaveBehind(t, pod, "killed", redirecting(intent.Redirect{All: true, FailClosed: true}))
	at := newSandboxes()
	b := run(t, host, at, using(k, nil))
	b.want(t)
	at.run("u", "one", pod.Path)
	netnstest.Eventually(t, 3*time.Second, "what was left in the pod is gone", func() bool { return pod.left(t) == "" })
	expect(t, pod, "10.99.0.1:80", "direct")
}

func TestTableFlushedByThePodIsWrittenAgain(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	pod, _ := pair(t, host, nftKernel{})
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	b := run(t, host, at, func(o *capture.Options) { o.Lease = 300 * time.Millisecond })
	b.want(t, spec("a", everything))
	if out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+pod.Path, "nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	netnstest.Eventually(t, 3*time.Second, "the table is back", func() bool {
		return strings.Contains(pod.Ruleset(t), fmt.Sprintf("redirect to :%d", capture.DefaultPort))
	})
	netnstest.Eventually(t, time.Second, "calls are captured again", func() bool {
		got, err := pod.call(t, "10.99.0.1:80")
		return err == nil && got == "agent a 10.99.0.1:80"
	})
}
