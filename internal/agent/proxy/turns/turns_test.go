package turns

import (
	"sync"
	"sync/atomic"
	"testing"
)

func build(t testing.TB) *Turns {
	t.Helper()
	turns := &Turns{}
	if err := turns.Init(); err != nil {
		t.Fatal(err)
	}
	return turns
}

// A pod that is alone never waits, and nothing is counted.
func TestAPodThatIsAloneNeverWaits(t *testing.T) {
	turns := build(t)
	p := turns.Pod()
	defer p.Leave()
	if n := testing.AllocsPerRun(1000, p.Enter); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
	if turns.round.Load() != 0 {
		t.Errorf("%d rounds for one pod", turns.round.Load())
	}
}

// Beside others a pod takes no more than its quantum in a round, and another one as many as it has.
func TestAPodTakesItsQuantumInARound(t *testing.T) {
	turns := build(t)
	greedy, other := turns.Pod(), turns.Pod()
	defer greedy.Leave()
	defer other.Leave()
	for range turns.quantum {
		greedy.Enter()
	}
	if turns.round.Load() != 0 {
		t.Fatal("it waited before it had taken what it may")
	}
	greedy.Enter()
	if turns.round.Load() != 1 {
		t.Errorf("%d rounds have begun for one step too many", turns.round.Load())
	}
	for range turns.quantum {
		other.Enter()
	}
	if turns.round.Load() != 1 {
		t.Error("another pod waited, too")
	}
}

// In a round each pod for which somebody waits goes on with as many steps as any other, in the order in which they came.
func TestPodsThatWaitGoOnAlike(t *testing.T) {
	turns := build(t)
	a, b := turns.Pod(), turns.Pod()
	a.asked, b.asked = uint64(5*turns.quantum), uint64(turns.quantum)/2
	turns.waiting, turns.running = []*Pod{a, b}, true
	if !turns.nextRound() || a.let != uint64(turns.quantum) || b.let != b.asked {
		t.Errorf("%d of %d and %d of %d were let go on, with a quantum of %d", a.let, a.asked, b.let, b.asked, turns.quantum)
	}
	for range 3 {
		if !turns.nextRound() {
			t.Fatal("those that wait are forgotten")
		}
	}
	if turns.nextRound() || a.let != a.asked || len(turns.waiting) > 0 {
		t.Errorf("%d of %d were let go on in the end", a.let, a.asked)
	}
}

// Whoever waits goes on in the end, however many there are, while pods come and go.
func TestNobodyWaitsForEver(t *testing.T) {
	turns := build(t)
	var steps atomic.Int64
	var all sync.WaitGroup
	const pods, callers, each = 3, 50, 200
	for range pods {
		p := turns.Pod()
		var own sync.WaitGroup
		for range callers {
			own.Go(func() {
				for range each {
					p.Enter()
					steps.Add(1)
				}
			})
		}
		all.Go(func() { own.Wait(); p.Leave() })
	}
	all.Wait()
	if n := steps.Load(); n != pods*callers*each {
		t.Errorf("%d steps", n)
	}
	if turns.round.Load() == 0 {
		t.Error("nobody has waited")
	}
}
