package capture

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// evaluateEvery is after how many more connections the load is evaluated without waiting for the next loadInterval, at most. Where there is little
	// memory it is after as many as may take a hundredth of it: from shedAt on those still come that the kernel had accepted, up to 4,096 for a pod.
	evaluateEvery = 1024
	// connectionTakes is about how many bytes a connection takes on which a request has begun, with what the kernel holds for it.
	connectionTakes = 32 << 10
	// Percents of the memory that the agent may use. New connections of the pods that have the most go direct from shedAt on until there is less
	// than resumeBelow, and the garbage collector, which works the harder the closer it gets to its own limit, is given less than both. Where that
	// does not help, those of all pods go direct from shedAllAt on; and from cutAt on the pods that have the most lose some: an agent that is killed
	// for its memory costs all pods all connections.
	shedAt, resumeBelow, shedAllAt, cutAt = 85, 80, 92, 96
	// cutPart is the part of a pod's connections that is cut at a time: one of so many.
	cutPart = 8
)

// Memory is what the agent may use and uses.
type Memory interface {
	// Usage returns both in bytes, and whether there is a limit at all.
	Usage() (used, limit int64, limited bool)
}

// load is how much the agent carries, and whether it may be given more.
type load struct {
	// immutable
	limit      int64
	memory     Memory // may be nil
	exhaustion exhaustion
	wake       func() // has evaluate called soon; never blocks

	// atomic
	connections atomic.Int64 // captured ones
	dialled     atomic.Int64
	every       atomic.Int64          // after how many more the load is evaluated
	shedding    atomic.Pointer[error] // why some pod's new connections go direct or are refused
	all         atomic.Pointer[error] // why those of all pods go direct

	// used by evaluate and cutsAt alone
	connectionsShort, memoryShort bool
	cut                           time.Time // when connections were last cut
}

// newLoad allows so many connections and the memory.
func newLoad(limit int64, memory Memory, wake func()) *load {
	start := time.Now()
	l := &load{limit: limit, memory: memory, wake: wake,
		exhaustion: exhaustion{sinceStart: func() time.Duration { return time.Since(start) }, spare: spareDescriptors}}
	l.every.Store(evaluateEvery)
	return l
}

// add counts a captured connection of a pod, remove uncounts it.
func (l *load) add(p *podLoad) {
	p.captured.Add(1)
	if n := l.connections.Add(1); n == l.limit+1 || n%l.every.Load() == 0 {
		l.wake()
	}
}

func (l *load) remove(p *podLoad) {
	p.captured.Add(-1)
	if l.connections.Add(-1) == l.resumeAt() && l.overload() != nil {
		l.wake()
	}
}

// exhaust records that a descriptor or memory was not to be had.
func (l *load) exhaust() {
	l.exhaustion.happened()
	if l.all.Load() == nil {
		l.wake()
	}
}

// overload returns why the new connections of some pod do not come to the agent; nil if they all do.
func (l *load) overload() error { return loaded(&l.shedding) }

func loaded(p *atomic.Pointer[error]) error {
	if reason := p.Load(); reason != nil {
		return *reason
	}
	return nil
}

func store(p *atomic.Pointer[error], reason error) {
	if reason == nil {
		p.Store(nil)
		return
	}
	p.Store(&reason)
}

// resumeAt is a tenth below the limit, so that shedding does not come and go with every connection.
func (l *load) resumeAt() int64 { return l.limit - l.limit/10 }

// verdict is what an evaluation has found.
type verdict struct {
	reason error // nil: there is no overload
	all    bool  // it concerns all pods; else those with more than a share
	share  int64 // as fairShare returns it
	cut    bool  // pods with more than the share lose connections
}

// evaluate decides which pods shed now, and reports those for which that has changed, why any of them does, and whether that has begun or ended.
// Pods that are not among those given are not concerned by what only pods with more than their share are.
func (l *load) evaluate(pods []*podLoad) (changed []*podLoad, v verdict, turned bool) {
	weights := make([]int64, len(pods))
	for i, p := range pods {
		weights[i] = p.weight()
	}
	before := l.overload()
	v = l.judge(weights)
	store(&l.shedding, v.reason)
	all := v.reason
	if !v.all {
		all = nil
	}
	everyone := (loaded(&l.all) == nil) != (all == nil)
	store(&l.all, all)
	for i, p := range pods {
		if p.apply(weights[i], v) || everyone {
			changed = append(changed, p)
		}
	}
	return changed, v, (v.reason == nil) != (before == nil)
}

// judge decides what there is to be done.
func (l *load) judge(weights []int64) verdict {
	total := int64(0)
	for _, w := range weights {
		total += w
	}
	v := verdict{share: unlimited}
	l.connectionsShort = total > l.limit || l.connectionsShort && total > l.resumeAt()
	if l.connectionsShort {
		v.reason = overloadError{fmt.Sprintf("the agent serves as many connections as it may (%d)", l.limit)}
		v.share = fairShare(weights, l.resumeAt())
	}
	percent, limit := l.memoryUsed()
	l.memoryShort = percent >= shedAt || l.memoryShort && percent >= resumeBelow
	if l.memoryShort {
		if v.reason == nil {
			v.reason = overloadError{fmt.Sprintf("the agent is close to its limit of memory (%d MiB)", limit>>20)}
		}
		v.share = min(v.share, fairShare(weights, total*resumeBelow/shedAt))
		v.all, v.cut = percent >= shedAllAt, percent >= cutAt
	}
	if l.exhaustion.lasts() {
		v.reason, v.all = errExhausted, true
	}
	return v
}

// cutsAt reports whether connections are cut at a time when there are to be fewer: once in a loadInterval, however often the load is evaluated, since what
// they have taken is given back when the garbage collector has been through.
func (l *load) cutsAt(now time.Time) bool {
	if now.Sub(l.cut) < loadInterval {
		return false
	}
	l.cut = now
	return true
}

// memoryUsed is how much of its memory the agent uses, in percent; 0 if there is no limit.
func (l *load) memoryUsed() (percent, limit int64) {
	if l.memory == nil {
		return 0, 0
	}
	used, limit, limited := l.memory.Usage()
	if !limited {
		return 0, 0
	}
	l.every.Store(min(max(limit/100/connectionTakes, 1), evaluateEvery))
	return used * 100 / max(limit, 1), limit
}

// overloadError says what the node or the agent is short of. It does not change while that lasts.
type overloadError struct{ what string }

func (e overloadError) Error() string { return e.what + "; new connections go direct" }

// refused is what users of a pod hear whose connections cannot go direct.
func (e overloadError) refused() string {
	return e.what + "; the pod has more connections than others, and new ones are refused"
}

var errExhausted = error(overloadError{"the node is out of descriptors or memory"})

// overloaded says that err is for overload.
func overloaded(err error) bool {
	e, ok := errors.AsType[stepError](err)
	return ok && e.reason == ReasonOverload
}
