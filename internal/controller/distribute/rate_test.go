package distribute

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// reporting makes an agent report calls to shop/cart at a steady rate, every five seconds.
type reporting struct {
	s        *Store
	agent    agentID
	sequence uint64
}

func (r *reporting) once(perSecond float64, covered time.Duration) {
	entry := calls("cart", uint64(perSecond*covered.Seconds()))
	entry.Covered = covered
	r.sequence++
	if entry.Counts.Requests == 0 {
		r.s.observe(r.agent, report(r.sequence))
		return
	}
	r.s.observe(r.agent, report(r.sequence, entry))
}

func (r *reporting) times(n int, perSecond float64) {
	for range n {
		time.Sleep(bucketSpan)
		r.once(perSecond, bucketSpan)
	}
}

// about fails unless the rate of the policy is within 15 % of want.
func about(t *testing.T, s *Store, want float64) {
	t.Helper()
	if got := s.Traffic(payments).PerSecond; math.Abs(got-want) > 0.15*want {
		t.Errorf("%.1f calls per second, want about %.0f", got, want)
	}
}

func TestARateIsRightFromTheFirstReportOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		n1 := reporting{s: s, agent: agentOf("n1")}
		time.Sleep(1200 * time.Millisecond)
		n1.once(140, 1200*time.Millisecond)
		about(t, s, 140)
		if c := s.Traffic(payments).Covered; c != 1200*time.Millisecond {
			t.Errorf("%s are covered, want 1.2s", c)
		}
		for range 30 {
			n1.times(1, 140)
			about(t, s, 140)
		}
		if c := s.Traffic(payments).Covered; c > Window+bucketSpan || c < Window-bucketSpan {
			t.Errorf("%s are covered, want about %s", c, Window)
		}
	})
}

func TestARateIsThatOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		n1, n2 := reporting{s: s, agent: agentOf("n1")}, reporting{s: s, agent: agentOf("n2")}
		for range 12 {
			n1.times(1, 100)
			n2.once(40, bucketSpan)
		}
		about(t, s, 140)
	})
}

// A restart leaves a gap in what is known, and takes nothing of what was known before.
func TestARateOutlivesAnAgent(t *testing.T) {
	for name, next := range map[string]agentID{"the same pod": agentOf("n1"), "another pod": {node: "n1", agent: "the next"}} {
		for _, gap := range []time.Duration{2 * time.Second, 10 * time.Second, 50 * time.Second, 5 * time.Minute} {
			t.Run(name+" after "+gap.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := trafficStore(t)
					n1 := reporting{s: s, agent: agentOf("n1")}
					n1.times(24, 140)
					s.traffic.streamEnded(n1.agent, time.Now())
					before := s.Traffic(payments).Counts.Requests
					time.Sleep(gap)
					s.sweep(time.Now())
					n1.agent, n1.sequence = next, 1000
					s.traffic.streamStarted(n1.agent)
					n1.times(1, 140)
					about(t, s, 140)
					if got := s.Traffic(payments).Counts.Requests; gap < 20*time.Second && got < before/2 {
						t.Errorf("%d calls in the window after the restart, %d before", got, before)
					}
					for range 20 {
						n1.times(1, 140)
						about(t, s, 140)
					}
				})
			})
		}
	}
}

func TestTwoAgentsOfANodeCoverTheirTimeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		old, next := reporting{s: s, agent: agentOf("n1")}, reporting{s: s, agent: agentID{node: "n1", agent: "the next"}}
		s.traffic.streamStarted(next.agent)
		old.times(24, 140)
		for range 6 {
			old.times(1, 40)
			next.once(100, bucketSpan)
			about(t, s, 140)
		}
	})
}

func TestARateFallsWithTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		n1 := reporting{s: s, agent: agentOf("n1")}
		n1.times(12, 140)
		n1.times(6, 0)
		about(t, s, 70)
		n1.times(7, 0)
		if got := s.Traffic(payments).PerSecond; got != 0 {
			t.Errorf("%.1f calls per second after a minute without", got)
		}
		if n := len(s.traffic.policies[payments].targets["service shop/cart"].rates); n != 0 {
			t.Errorf("%d rates of nodes without calls", n)
		}
		n1.once(12, bucketSpan) // 60 calls in the first minute with any
		about(t, s, 1)
	})
}

func TestANodeThatIsGoneHasNoPartInTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		n1, n2 := reporting{s: s, agent: agentOf("n1")}, reporting{s: s, agent: agentOf("n2")}
		for range 12 {
			n1.times(1, 100)
			n2.once(100, bucketSpan)
		}
		var b Batch
		b.RemoveWorkload("a") // the pod moves from n1 to n2
		if err := s.Publish(&b); err != nil {
			t.Fatal(err)
		}
		n1.times(1, 0)
		about(t, s, 100)
		time.Sleep(silentAfter * bucketSpan)
		if got := s.Traffic(payments).PerSecond; got != 0 {
			t.Errorf("%.1f calls per second of nodes that do not report", got)
		}
		time.Sleep(3 * Window)
		s.sweep(time.Now())
		for _, node := range []string{"n1", "n2", "n3"} {
			s.traffic.streamEnded(agentOf(node), time.Now())
			if n := len(s.traffic.node(node).rates); n != 0 {
				t.Errorf("%d rates of %s are remembered", n, node)
			}
		}
		time.Sleep(3 * Window)
		s.sweep(time.Now())
		if n := len(s.traffic.nodes); n != 0 {
			t.Errorf("%d nodes are remembered", n)
		}
	})
}

// The pods of a policy may come under another profile: whichever of the two is published first, what was counted stays.
func TestSumsOutliveTheProfileWhenAnotherTakesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := trafficStore(t)
		n1 := reporting{s: s, agent: agentOf("n1")}
		n1.times(12, 140)
		var b Batch
		b.RemoveProfile("p")
		b.RemoveProfile("elsewhere")
		q := profileOf("p", 1, "shop/cart")
		q.Name = "q"
		b.SetProfile(q)
		b.SetWorkload("n1", pod("a", "q"))
		if err := s.Publish(&b); err != nil {
			t.Fatal(err)
		}
		about(t, s, 140)
		if n := s.Traffic(payments).Counts.Requests; n < 7000 {
			t.Errorf("%d calls in the window", n)
		}
	})
}

// What an agent says must not be able to break a status.
func TestARateIsBoundedWhateverIsReported(t *testing.T) {
	s := trafficStore(t)
	for i, covered := range []time.Duration{0, 1, time.Millisecond, math.MaxInt64} {
		entry := policy.Traffic{Policy: payments, Target: "service shop/cart", Counts: policy.Counts{Requests: math.MaxUint64}, Covered: covered}
		s.observe(agentOf("n1"), report(uint64(i+1), entry))
	}
	if got := s.Traffic(payments).PerSecond; got <= 0 || got > 2*math.MaxUint32 {
		t.Errorf("%g calls per second", got)
	}
}
