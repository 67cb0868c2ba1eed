package verdicts

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// modelNode is a node as agents behave, in the plainest way: what it is sent arrives late and in order, and so does what it says.
type modelNode struct {
	name   string
	sick   bool // its own calls fail, whatever the destination does
	calls  bool
	seldom bool // it calls once a second rather than at each step
	view   policy.BreakerView
	row    int       // failures since the last success
	good   time.Time // when that was
	number uint64
	order  policy.BreakerOrder
	said   policy.BreakerReport // last
	out    []modelReport
	in     []modelVerdict
	seen   uint64 // the revision that it was sent
}

type modelReport struct {
	at     time.Time
	report policy.BreakerReport
}

type modelVerdict struct {
	at      time.Time
	verdict policy.BreakerVerdict
}

// act is what the node's own breaker does in a step, in which a call fails or none does.
func (n *modelNode) act(random *rand.Rand, now time.Time, fails bool) {
	fails = fails || n.sick
	calls := n.calls && (!n.seldom || random.IntN(20) == 0)
	switch {
	case n.order == policy.BreakerOpen:
		n.view = policy.BreakerHeld
		if n.calls {
			n.view = policy.BreakerRefusing
		}
	case n.order == policy.BreakerProbe && n.view != policy.BreakerOpened && n.view != policy.BreakerGood:
		n.view = policy.BreakerWaiting
		if calls && random.IntN(2) == 0 {
			n.view = policy.BreakerProbing
		} else if calls && fails {
			n.view = policy.BreakerOpened
		} else if calls {
			n.view, n.good, n.row = policy.BreakerGood, now, 0
		}
	default:
		n.call(now, calls, fails)
	}
}

// call has a closed breaker see a call, or none, and an open one see whether the destination is back.
func (n *modelNode) call(now time.Time, calls, fails bool) {
	if calls && fails {
		n.row++
	} else if calls {
		n.row, n.good = 0, now
	}
	switch since := now.Sub(n.good); {
	case n.row > 0 && n.view == policy.BreakerOpened, n.row >= 12:
		n.view = policy.BreakerOpened
	case since < time.Second, n.row == 0 && since < 10*time.Second:
		n.view = policy.BreakerGood
	case n.row >= 10:
		n.view = policy.BreakerFailing
	default:
		n.view = policy.BreakerIdle
	}
}

// obey takes in what has arrived.
func (n *modelNode) obey(now time.Time) {
	for len(n.in) > 0 && !n.in[0].at.After(now) {
		v := n.in[0].verdict
		n.in = n.in[1:]
		if n.number != v.Number {
			n.order, n.number, n.view, n.row = v.Order, v.Number, policy.BreakerIdle, 0
		}
	}
}

// Whatever the nodes, the delays and the times at which the destination is down: one sick node alone never opens the breaker for the others, also if a
// quarter of their calls fails anyway; never does more than one node have leave to probe; a destination that stays down is open for all within a second
// if two nodes and half of those that call it call often, and in the end if none does; and one that is back is closed for all in the end.
func TestTheClusterBesideAModelOfItsNodes(t *testing.T) {
	const step = 50 * time.Millisecond
	openings, soon, closings := 0, 0, 0
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 3))
		b := newBreaker()
		nodes := make([]*modelNode, 2+random.IntN(6))
		for i := range nodes {
			nodes[i] = &modelNode{name: fmt.Sprint("n", i), calls: random.IntN(4) > 0, seldom: random.IntN(3) == 0}
		}
		nodes[0].calls, nodes[1].calls = true, true
		flaky, seldom := random.IntN(2) == 0, random.IntN(3) == 0 // seldom: all but the last one call so
		for _, n := range nodes[:len(nodes)-1] {
			n.seldom = n.seldom || seldom
		}
		failing := func() bool { return flaky && random.IntN(4) == 0 }
		if nodes[len(nodes)-1].sick = random.IntN(2) == 0; len(nodes) == 2 {
			nodes[1].sick = false
		}
		now := t0
		delay := func() time.Duration { return time.Duration(random.IntN(150)) * time.Millisecond }
		run := func(span time.Duration, down bool, check func()) {
			for end := now.Add(span); now.Before(end); now = now.Add(step) {
				for _, n := range nodes {
					n.obey(now)
					n.act(random, now, down || failing())
					if is := (policy.BreakerReport{View: n.view, Number: n.number}); is != n.said {
						n.said = is
						at := now.Add(delay())
						if k := len(n.out); k > 0 && n.out[k-1].at.After(at) {
							at = n.out[k-1].at
						}
						n.out = append(n.out, modelReport{at, is})
					}
				}
				for _, n := range nodes {
					for len(n.out) > 0 && !n.out[0].at.After(now) {
						b.Report(now, on(n.name), n.out[0].report.View, n.out[0].report.Number)
						n.out = n.out[1:]
					}
				}
				b.Tick(now)
				probers := 0
				for _, n := range nodes {
					v := b.Verdict(now, on(n.name))
					if v.Order == policy.BreakerProbe {
						probers++
					}
					if n.seen != b.Revision() {
						n.seen = b.Revision()
						at := now.Add(delay())
						if k := len(n.in); k > 0 && n.in[k-1].at.After(at) {
							at = n.in[k-1].at
						}
						n.in = append(n.in, modelVerdict{at, v})
					}
				}
				if n := recount(b); n != b.opened {
					t.Fatalf("seed %d: %d nodes have opened, counted as %d", seed, n, b.opened)
				}
				if probers > 1 {
					t.Fatalf("seed %d: %d probe at once", seed, probers)
				}
				check()
			}
		}
		run(30*time.Second, false, func() {
			if !b.Closed() {
				t.Fatalf("seed %d: opened for all by one sick node of %d", seed, len(nodes))
			}
		})
		span, often, calling := 30*time.Second, 0, 0
		for _, n := range nodes {
			if n.calls {
				calling++
			}
			if n.calls && !n.seldom {
				often++
			}
		}
		if often >= 2 && 2*often >= calling {
			span = time.Second
			soon++
		}
		run(span, true, func() {})
		if b.Closed() {
			t.Fatalf("seed %d: %s after the destination went down it is not open", seed, span)
		}
		flaky = false
		openings++
		run(time.Duration(random.IntN(30))*time.Second, true, func() {})
		run(60*time.Second, false, func() {})
		for _, n := range nodes {
			if n.order != policy.BreakerClose || !b.Closed() {
				t.Fatalf("seed %d: a minute after the destination is back it is not closed: %+v", seed, *n)
			}
		}
		closings++
	}
	if openings < 150 || soon < 50 || soon > 120 || closings < 150 {
		t.Errorf("%d openings, %d of them soon, and %d closings: the test shows little", openings, soon, closings)
	}
}

// recount counts the members whose own breaker has opened.
func recount(b *Breaker) (n int) {
	for _, m := range b.members {
		if voteOf(m.view) == votesOpened {
			n++
		}
	}
	return n
}
