package turns

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// quantum is how many steps a pod may take on each processor between two looks at who else is ready. Each is the work for one request until its server is
// waited for, a few times ten microseconds: more make the others wait longer, fewer have the looks themselves cost more.
const quantum = 4

// Turns divides the processors among pods. The zero value needs Init.
type Turns struct {
	// immutable after Init
	quantum uint32
	event   event // which the runtime's poller watches
	raw     syscall.RawConn
	step    func(fd uintptr) bool // look, bound once

	// atomic
	pods  atomic.Int32
	round atomic.Uint32 // how many times it was looked who else is ready

	mu sync.Mutex
	// guarded by mu
	waiting []*Pod // those for which somebody waits
	running bool

	asked bool // run's own: the event was set
}

// Pod is one pod's part.
type Pod struct {
	of    *Turns        // immutable
	taken atomic.Uint64 // the round in which it took its last step, and how many it has taken in that

	next sync.Cond // of.mu
	// guarded by of.mu
	asked, let uint64 // how many have begun to wait, and how many have been let go on
}

// Init makes t, which is zero, ready for use.
func (t *Turns) Init() error {
	if err := t.event.open(); err != nil {
		return err
	}
	t.quantum = uint32(quantum * runtime.GOMAXPROCS(0))
	t.step = t.look
	var err error
	t.raw, err = t.event.SyscallConn()
	return err
}

// Rounds is how many times it has been looked who else is ready.
func (t *Turns) Rounds() uint32 { return t.round.Load() }

// Quantum is how many steps a pod may take between two of those looks.
func (t *Turns) Quantum() uint32 { return t.quantum }

// Pod returns the part of one more pod, which is to be left when it takes no steps any more.
func (t *Turns) Pod() *Pod {
	t.pods.Add(1)
	p := &Pod{of: t}
	p.next.L = &t.mu
	return p
}

// Leave ends it.
func (p *Pod) Leave() { p.of.pods.Add(-1) }

// Enter begins a step of the pod. Where there are other pods, one that has taken as many as it may waits until those of them that are ready have had
// theirs. p may be nil, which waits for nobody.
func (p *Pod) Enter() {
	if !p.TryEnter() {
		p.Await()
	}
}

// TryEnter is Enter for those who have something to put down before they wait: it reports false where Await must follow.
func (p *Pod) TryEnter() bool {
	if p == nil || p.of.pods.Load() < 2 {
		return true
	}
	t := p.of
	round := uint64(t.round.Load()) << 32
	taken := p.taken.Load()
	if taken>>32<<32 != round {
		p.taken.CompareAndSwap(taken, round|1) // one that comes at the same moment may go uncounted
		return true
	}
	return uint32(p.taken.Add(1)) <= t.quantum
}

// Await waits for a later round, and begins a step in it. Its frame must not be a part of its callers', whose stacks are small.
//
//go:noinline
func (p *Pod) Await() {
	t := p.of
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.asked == p.let {
		t.waiting = append(t.waiting, p)
	}
	p.asked++
	mine := p.asked
	if !t.running {
		t.running = true
		go t.run() // ends by itself when nobody waits any more
	}
	for p.let < mine {
		p.next.Wait()
	}
}

// run begins a round whenever the poller was asked what is ready and all of that has run: it waits for an event of its own, which the poller reports
// together with what was ready before, and then lets go first whatever can run.
func (t *Turns) run() {
	for more := true; more; {
		t.asked = false
		_ = t.raw.Read(t.step) // fails only when the event is closed
		runtime.Gosched()      // behind all that the poller has reported: who is let go on goes before that otherwise
		more = t.nextRound()
	}
}

// look raises the event the first time, which has the poller report it; then it has.
func (t *Turns) look(fd uintptr) (found bool) {
	if t.asked {
		t.event.found()
		return true
	}
	t.asked = true
	t.event.raise(fd)
	return false
}

// nextRound lets pods take steps again, and reports whether somebody still waits.
func (t *Turns) nextRound() (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	round := uint64(t.round.Add(1)) << 32
	left := t.waiting[:0]
	for _, p := range t.waiting {
		n := min(p.asked-p.let, uint64(t.quantum))
		p.taken.Store(round | n)
		p.let += n
		for range n {
			p.next.Signal()
		}
		if p.let < p.asked {
			left = append(left, p)
		}
	}
	clear(t.waiting[len(left):])
	t.waiting = left
	t.running = len(left) > 0
	return t.running
}
