package capture_test

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestRule39_OneHeartbeatForTheWholeNode has a mechanism's heartbeat fail: new connections of pods go direct, which is a problem of each of
// them, until it works again. Pods that fail closed do not need it.
func TestRule39_OneHeartbeatForTheWholeNode(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	k := newHookKernel()
	at := newSandboxes()
	pods := map[string]*pod{}
	for _, uid := range []string{"a", "b", "c"} {
		p, world := pair(t, host, k)
		serve(t, world)
		pods[uid] = p
		at.run(uid, uid, p.Path)
	}
	m := run(t, host, at, using(k, func(o *capture.Options) { o.Lease = 900 * time.Millisecond }))
	m.want(t, spec("a", everything), spec("b", everything), spec("c", intent.Redirect{All: true, FailClosed: true}))
	answer := func(uid, want string) func() bool {
		return func() bool {
			got, err := pods[uid].call(t, "10.99.0.1:80")
			return err == nil && got == want
		}
	}
	k.breakBeats(true)
	for _, uid := range []string{"a", "b"} {
		netnstest.Eventually(t, 10*time.Second, "new calls go direct", answer(uid, "direct"))
	}
	netnstest.Eventually(t, 10*time.Second, "each pod has the problem", func() bool {
		p := m.Problems()
		return len(p) == 2 && p[0].Reason == capture.ReasonRules && p[1].Reason == capture.ReasonRules
	})
	expect(t, pods["c"], "10.99.0.1:80", "agent c 10.99.0.1:80")
	k.breakBeats(false)
	for _, uid := range []string{"a", "b"} {
		netnstest.Eventually(t, 10*time.Second, "calls are captured again", answer(uid, "agent "+uid+" 10.99.0.1:80"))
	}
	netnstest.Eventually(t, 10*time.Second, "no pod has a problem", func() bool { return len(m.Problems()) == 0 })
}

// TestRule39_WithoutAHeartbeatNewConnectionsGoDirect has an agent die whose mechanism gives one heartbeat for the whole node.
func TestRule39_WithoutAHeartbeatNewConnectionsGoDirect(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	k := newHookKernel()
	p, world := pair(t, host, k)
	serve(t, world)
	closed, _ := pair(t, host, k)
	leaveBehind(t, p, "killed", redirecting(everything))
	leaveBehind(t, closed, "killed", redirecting(intent.Redirect{All: true, FailClosed: true}))
	netnstest.Eventually(t, 10*time.Second, "new calls go direct", func() bool {
		got, err := p.call(t, "10.99.0.1:80")
		return err == nil && got == "direct"
	})
	if got, err := closed.call(t, "10.99.0.1:80"); err == nil {
		t.Errorf("call from a pod that fails closed: %q, want it refused", got)
	}
}
