package wire_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// countingReporter reports one call each time it is asked, and counts them.
type countingReporter struct {
	mu    sync.Mutex
	calls uint64
}

func (c *countingReporter) Report() *policy.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	return &policy.Report{Traffic: []policy.Traffic{{
		Policy: policy.ParseID("shop/a"), Target: "any", Counts: policy.Counts{Requests: 1}, BreakersOpen: 1,
	}}}
}

func (c *countingReporter) total() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

func TestEveryCallIsCountedOnceAcrossBrokenStreams(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		c := new(countingReporter)
		a := w.agent(agentOptions{node: "n0", reporter: c})
		defer a.stop()
		for range 5 {
			time.Sleep(7 * time.Second)
			leader.store.Serving().Stop()
			time.Sleep(time.Second)
			leader.store.Serving().Start()
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		f := leader.store.Traffic(policy.ParseID("shop/a"))
		if f.Counts.Requests != c.total() || f.Breakers.Open != 1 {
			t.Errorf("%d calls and %d breakers, want %d and 1", f.Counts.Requests, f.Breakers.Open, c.total())
		}
	})
}

// What was counted since the last report is delivered when an agent stops. A manager that cannot be reached holds no stop up.
func TestAnAgentThatStopsReportsTheRest(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		c := new(countingReporter)
		a := w.agent(agentOptions{node: "n0", reporter: c})
		time.Sleep(7 * time.Second)
		before := c.total()
		begin := time.Now()
		a.stop()
		if took := time.Since(begin); took > 0 {
			t.Errorf("the stop took %v", took)
		}
		synctest.Wait()
		if f := leader.store.Traffic(policy.ParseID("shop/a")); before != 1 || c.total() != 2 || f.Counts.Requests != 2 {
			t.Errorf("%d calls are known of %d, %d of them from before the stop", f.Counts.Requests, c.total(), before)
		}
		away := w.agent(agentOptions{node: "n1", reporter: c})
		time.Sleep(7 * time.Second)
		leader.store.Serving().Stop()
		time.Sleep(time.Second)
		begin = time.Now()
		away.stop()
		if took := time.Since(begin); took > 0 {
			t.Errorf("without a manager the stop took %v", took)
		}
	})
}

func TestReportsOfAnOutageDoNotSwellTheWindow(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		a := w.agent(agentOptions{node: "n0", reporter: new(countingReporter)})
		defer a.stop()
		time.Sleep(time.Minute)
		leader.store.Serving().Stop()
		time.Sleep(15 * time.Minute)
		leader.store.Serving().Start()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		got := leader.store.Traffic(policy.ParseID("shop/a")).Counts.Requests
		if got < 10 || got > 13 {
			t.Errorf("%d calls in the last minute, reported at one per 5 s", got)
		}
		a.stop()
		synctest.Wait()
		if f := leader.store.Traffic(policy.ParseID("shop/a")); f.Breakers.Open != 0 {
			t.Errorf("%d open breakers of an agent that is gone", f.Breakers.Open)
		}
	})
}

// Where all agents together would report too much, each reports less often, and reports what time a report covers: rates stay right.
func TestAgentsReportAsOftenAsTheManagerAsks(t *testing.T) {
	withTestbed(t, func(t *testing.T, w *testbed) {
		leader := w.leader("a:1")
		leader.publish(t, shop(1))
		c := new(countingReporter)
		a := w.agent(agentOptions{node: "n0", reporter: c})
		defer a.stop()
		perMinute := func() uint64 {
			before := c.total()
			time.Sleep(time.Minute)
			synctest.Wait()
			return c.total() - before
		}
		time.Sleep(12 * time.Second) // minutes neither begin nor end at a moment at which something is reported
		if n := perMinute(); n != 12 {
			t.Errorf("%d reports per minute, want 12", n)
		}
		leader.publish(t, func(b *distribute.Batch) { // 60 nodes with a profile of 2,000 destinations
			p := &policy.Profile{Name: "large"}
			for i := range 2000 {
				host := fmt.Sprintf("h%d.example", i)
				p.Bindings = append(p.Bindings, policy.Binding{
					Key: host, Policy: policy.ParseID("shop/large"), Base: policy.Defaults(), To: policy.Target{Kind: policy.TargetHost, Host: host},
				})
			}
			b.SetProfile(p)
			for i := range 60 {
				b.SetWorkload(fmt.Sprint("other", i), &policy.Workload{UID: fmt.Sprint("other", i), Profile: "large"})
			}
		})
		time.Sleep(20 * time.Second)
		if n := perMinute(); n != 6 {
			t.Errorf("%d reports per minute of a large cluster, want 6", n)
		}
		if f := leader.store.Traffic(policy.ParseID("shop/a")); f.PerSecond < 0.09 || f.PerSecond > 0.11 {
			t.Errorf("%.3f calls per second, want one in ten", f.PerSecond)
		}
		leader.publish(t, func(b *distribute.Batch) { b.RemoveProfile("large") })
		time.Sleep(20 * time.Second)
		if n := perMinute(); n != 12 {
			t.Errorf("%d reports per minute after that, want 12", n)
		}
	})
}
