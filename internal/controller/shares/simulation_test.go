package shares

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// simNode is a node of the simulation: the limit that agents have, and calls that come at a rate.
type simNode struct {
	name    string
	up      bool
	joined  *Division // where it has
	limit   *resilience.RateLimit
	share   Share
	serial  uint64
	rate    float64 // at which calls come
	owed    float64 // a part of a call
	asked   float64 // since the last report
	started float64
}

// simulation is a cluster under one limit. Messages take up to latency each way.
type simulation struct {
	random  *rand.Rand
	now     time.Time
	whole   Share
	leader  *Division // nil: there is none
	nodes   []*simNode
	mail    []simMail
	begun   int       // nodes that have begun, with a call that nobody has given them
	history []float64 // calls started in each step
}

type simMail struct {
	at time.Time
	to func()
}

const step, latency = 10 * time.Millisecond, 150 * time.Millisecond

func newSimulation(seed uint64, nodes int, whole Share) *simulation {
	s := &simulation{random: rand.New(rand.NewPCG(seed, 8)), now: t0, whole: whole, leader: NewDivision(whole, t0)}
	s.leader.AllKnown(t0)
	for i := range nodes {
		s.nodes = append(s.nodes, &simNode{name: fmt.Sprint("node-", i)})
		s.start(i)
	}
	return s
}

// start has a node begin: its agent has what it has that nobody has given a share.
func (s *simulation) start(i int) {
	n := s.nodes[i]
	first := resilience.FirstShare(policy.Share(s.whole))
	n.up, n.joined, n.share, n.serial = true, nil, Share(first), 0
	n.limit = resilience.NewSharedRateLimit(resilience.SharedLimit{Whole: policy.Share(s.whole), Share: first, Provisional: true}, s.now)
	s.begun++
}

// obey has a node go by a share.
func (s *simulation) obey(n *simNode, g Grant) {
	n.share, n.serial = g.Share, g.Serial
	n.limit.SetShare(resilience.SharedLimit{Whole: policy.Share(s.whole), Share: policy.Share(g.Share)}, s.now)
}

// send delivers something later. A node knows the newest of two grants by its serial, and a leader takes no report for an answer to
// a later grant.
func (s *simulation) send(to func()) {
	s.mail = append(s.mail, simMail{s.now.Add(time.Duration(s.random.Int64N(int64(latency)))), to})
}

func (s *simulation) deliver() {
	due := s.mail
	s.mail = nil
	for _, m := range due {
		if m.at.After(s.now) {
			s.mail = append(s.mail, m)
		} else {
			m.to()
		}
	}
}

// run lets time pass.
func (s *simulation) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(step) {
		s.deliver()
		started := 0.0
		for _, n := range s.nodes {
			if n.up {
				started += n.pass(s.now, step.Seconds())
			}
		}
		s.history = append(s.history, started)
		if s.now.Sub(t0)%Interval == 0 {
			s.exchange()
		}
	}
}

// pass lets the calls of a step come, and start as far as the node's limit lets them.
func (n *simNode) pass(now time.Time, seconds float64) (started float64) {
	gate := n.limit.Gate()
	for n.owed += n.rate * seconds; n.owed >= 1; n.owed-- {
		n.asked++
		if gate.Enter(now, &resilience.Waiter{}).Verdict == resilience.Pass {
			started++
		}
	}
	n.started += started
	return started
}

// exchange has nodes report and the leader divide.
func (s *simulation) exchange() {
	leader := s.leader
	if leader == nil {
		return
	}
	for _, n := range s.nodes {
		if !n.up {
			continue
		}
		if n.joined != leader {
			n.joined, n.serial = leader, 0
			leader.Join(n.name, n.share)
		}
		r := Report{Demand: n.asked / Interval.Seconds(), Serial: n.serial}
		n.asked = 0
		s.send(func() {
			if n.joined == leader {
				leader.Report(n.name, r)
			}
		})
	}
	for _, g := range leader.Divide(s.now) {
		n := s.nodes[slices.IndexFunc(s.nodes, func(n *simNode) bool { return n.name == g.Node })]
		s.send(func() {
			if n.joined == leader && g.Serial > n.serial {
				s.obey(n, g)
			}
		})
	}
}

// lead has another leader begin, who knows nothing.
func (s *simulation) lead() { s.leader = NewDivision(s.whole, s.now) }

// leave has the leader go, with all connections to it.
func (s *simulation) leave() {
	s.leader = nil
	for _, n := range s.nodes {
		n.joined = nil
	}
}

func (s *simulation) stop(i int) {
	n := s.nodes[i]
	n.up, n.joined = false, nil
	if s.leader != nil {
		s.leader.Lost(n.name, s.now)
	}
}

// exceeded is by how much calls that started in some window exceed what it may have: the most over all windows.
func (s *simulation) exceeded() (most float64) {
	// A window has Σ starts ≤ burst + rate × t. So the running sum of starts less rate × t never rises by more than burst above its lowest before.
	sum, lowest := 0.0, 0.0
	for _, n := range s.history {
		sum += n
		most = max(most, sum-lowest-s.whole.Burst)
		sum -= s.whole.Rate * step.Seconds()
		lowest = min(lowest, sum)
	}
	return most
}

// bounded fails if some window has more starts than it may have, an interval's worth, and a call of each node that began with one.
func (s *simulation) bounded(t *testing.T) {
	t.Helper()
	most := Interval.Seconds()*s.whole.Rate + float64(s.begun)
	if e := s.exceeded(); e > most {
		t.Errorf("exceeded by %v calls, %v at most", e, most)
	}
}

// started is how many calls started in the last stretch of time.
func (s *simulation) started(d time.Duration) (n float64) {
	for _, v := range s.history[len(s.history)-int(d/step):] {
		n += v
	}
	return n
}

// With all demand on one of three nodes at least 95 % of the rate is of use; when it moves to another one, that is so again within 2 s.
func TestDemandOnOneNodeHasTheWholeRate(t *testing.T) {
	const stretch = 10 * time.Second
	s := newSimulation(1, 3, Share{100, 100})
	for round := range 6 {
		for i, n := range s.nodes {
			n.rate = 0.1
			if i == round%3 {
				n.rate = 400
			}
		}
		s.run(2 * time.Second)
		s.run(stretch)
		if n := s.started(stretch); n < 0.95*1000 || n > 1.05*1000 {
			t.Errorf("round %d: in the next 10 s %v calls started of 1000", round, n)
		}
	}
	s.bounded(t)
}

// Whatever nodes ask for, whichever come and go, and with messages that are late: no window has more starts than it may, and where there
// is demand for it the rate is used.
func TestTheWholeIsNeverExceeded(t *testing.T) {
	for seed := range uint64(10) {
		s := newSimulation(seed, 40, Share{1000, 1000})
		for range 30 {
			for _, n := range s.nodes {
				if s.random.IntN(3) == 0 {
					n.rate = s.random.ExpFloat64() * 60
				}
			}
			i := s.random.IntN(len(s.nodes))
			if n := s.nodes[i]; n.up {
				s.stop(i)
			} else {
				s.start(i)
			}
			s.run(2 * time.Second)
		}
		s.bounded(t)
		for i, n := range s.nodes {
			if n.rate = 100; !n.up {
				s.start(i)
			}
		}
		s.run(2 * returnAfter)
		if n := s.started(5 * time.Second); n < 0.95*5000 {
			t.Errorf("seed %d: with four times the demand %v calls started in 5 s of 5000", seed, n)
		}
	}
}

// Another leader, and none for a while, change nothing: the last shares hold.
func TestAnotherLeaderExceedsNothing(t *testing.T) {
	s := newSimulation(3, 12, Share{600, 600})
	for i, n := range s.nodes {
		n.rate = float64(20 + 10*i)
	}
	s.run(5 * time.Second)
	for range 5 {
		s.leave()
		s.run(7 * time.Second)
		if n := s.started(5 * time.Second); n < 0.9*3000 {
			t.Errorf("without a leader %v calls started in 5 s of 3000", n)
		}
		s.lead()
		s.run(2 * newLeaderHolds)
	}
	s.bounded(t)
}

// Nodes that ask for what they need get it, whatever one of them asks for.
func TestAGreedyNodeTakesNothingFromModestOnes(t *testing.T) {
	s := newSimulation(4, 10, Share{100, 100})
	for i, n := range s.nodes {
		n.rate = 8
		if i == 0 {
			n.rate = 10_000
		}
	}
	s.run(10 * time.Second)
	for _, n := range s.nodes {
		n.started = 0
	}
	s.run(20 * time.Second)
	for i, n := range s.nodes {
		if want := 8.0 * 20; i > 0 && n.started < 0.95*want {
			t.Errorf("%s started %v calls of %v", n.name, n.started, want)
		}
	}
}

// With all demand on one of three nodes at least 95 % of the rate is of use from the moment that another leader comes, or that the node has
// connected again; and if it moves to another node as soon, from two seconds later.
func TestAnotherLeaderTakesNothingAway(t *testing.T) {
	const stretch = 10 * time.Second
	usable := func(s *simulation, what string, least float64) {
		t.Helper()
		s.run(stretch)
		if n := s.started(stretch); n < least*s.whole.Rate*stretch.Seconds() {
			t.Errorf("%s: in the next 10 s %v calls started of %v", what, n, s.whole.Rate*stretch.Seconds())
		}
	}
	for seed := range uint64(20) {
		s := newSimulation(seed, 3, Share{100, 100})
		s.nodes[0].rate, s.nodes[1].rate, s.nodes[2].rate = 400, 0.1, 0.1
		s.run(20 * time.Second)
		for round := range 4 {
			s.leave()
			s.run(time.Duration(s.random.Int64N(int64(3 * time.Second))))
			s.lead()
			usable(s, fmt.Sprintf("seed %d: under another leader, %d", seed, round), 0.95)
			s.nodes[0].joined = nil
			s.leader.Lost(s.nodes[0].name, s.now)
			usable(s, fmt.Sprintf("seed %d: connected again, %d", seed, round), 0.95)
		}
		s.leave()
		s.run(6 * time.Second)
		s.lead()
		s.nodes[0].rate, s.nodes[1].rate = 0.1, 400
		s.run(2 * time.Second)
		usable(s, fmt.Sprintf("seed %d: with demand that moves under another leader", seed), 0.95)
		s.bounded(t)
	}
}

// Calls that come in bursts, after times without any in which every bucket fills, start no more than the whole lets, also where its burst is small:
// exactly, but for a call for each node for which there is none in the burst.
func TestBurstsAreNotExceeded(t *testing.T) {
	for _, whole := range []Share{{1, 1}, {10, 10}, {5, 40}, {50, 3}, {1000, 250}} {
		for _, nodes := range []int{1, 3, 20} {
			s := newSimulation(5, nodes, whole)
			for round := range 4 {
				for _, n := range s.nodes {
					n.rate = 0
					if s.random.IntN(2) == 0 {
						n.rate = 20 * whole.Rate / float64(nodes)
					}
				}
				s.run(10 * time.Second)
				if round == 0 {
					s.begun, s.history = 0, nil // what nodes begin with is over
				}
				for _, n := range s.nodes {
					n.rate = 0
				}
				s.run(30 * time.Second)
			}
			if e, most := s.exceeded(), max(float64(nodes)-whole.Burst, 0); e > most+1e-6 {
				t.Errorf("%v, %d nodes: exceeded by %v calls, %v at most", whole, nodes, e, most)
			}
			if n := s.started(30 * time.Second); n > 0 {
				t.Errorf("%v calls started of none", n)
			}
		}
	}
}
