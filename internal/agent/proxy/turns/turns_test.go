package turns

import (
	"os"
	"runtime"
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

// However much a pod floods, another one for which something has arrived goes on before the next round: it waits for no more than one quantum, which is
// counted here in the flood's steps, on one processor. A few times it may be more: where the kernel stops the very thread that has fetched the arrival.
func TestAQuietPodWaitsForOneQuantum(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	turns := build(t)
	flooding, quiet := turns.Pod(), turns.Pod()
	defer flooding.Leave()
	defer quiet.Leave()
	arrived, arrive, err := os.Pipe() // the poller watches it like a socket
	if err != nil {
		t.Fatal(err)
	}
	defer arrived.Close()
	defer arrive.Close()
	var steps, before atomic.Int64 // of the flood; and how many there were when something arrived last
	var stop atomic.Bool
	var others sync.WaitGroup
	const callers, arrivals = 200, 500
	for range callers {
		others.Go(func() {
			for !stop.Load() {
				flooding.Enter()
				steps.Add(1)
			}
		})
	}
	next := make(chan struct{})
	others.Go(func() {
		for range next {
			before.Store(steps.Load())
			_, _ = arrive.Write([]byte{1})
		}
	})
	late := 0
	for range arrivals {
		next <- struct{}{}
		if _, err := arrived.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		quiet.Enter()
		if steps.Load()-before.Load() > quantum {
			late++
		}
	}
	stop.Store(true)
	close(next)
	others.Wait()
	if late > arrivals/10 {
		t.Errorf("the quiet pod has waited %d of %d times for more than a quantum of the flood's steps", late, arrivals)
	}
}
