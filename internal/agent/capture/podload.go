package capture

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
)

// unlimited is a share that no pod exceeds.
const unlimited = math.MaxInt64

// podLoad is what the agent carries for one pod.
type podLoad struct {
	// atomic
	captured, dialled atomic.Int64
	shed              atomic.Pointer[error] // why it has to do with fewer connections; nil: it has not
	cutting           atomic.Bool           // it has to give some up
}

// weight is how many connections' worth of descriptors the pod has: each captured one may need descriptorsEach of them, and streams of HTTP/2 make
// one need many more.
func (p *podLoad) weight() int64 {
	captured := p.captured.Load()
	return max(captured, (captured+p.dialled.Load())/descriptorsEach)
}

// apply has the pod shed or not, and reports whether that has changed. A pod that sheds goes on with it until it has a tenth less than its share, so
// that it does not come and go with every connection.
func (p *podLoad) apply(weight int64, v verdict) (changed bool) {
	share := v.share
	before := loaded(&p.shed)
	if before != nil {
		share -= share / 10
	}
	var reason error
	if v.reason != nil && weight > share {
		reason = v.reason
	}
	store(&p.shed, reason)
	p.cutting.Store(v.cut && reason != nil)
	return (reason == nil) != (before == nil)
}

// fairShare divides room among pods that want so much each: the most that one may have so that all together have no more than that. Those that want
// less than a share leave the rest of it to the others. It is unlimited when there is room for all.
func fairShare(wants []int64, room int64) int64 {
	wants = slices.Sorted(slices.Values(wants))
	for i, w := range wants {
		left := int64(len(wants) - i)
		if w > room/left {
			return room / left
		}
		room -= w
	}
	return unlimited
}

// errShare says that a pod has as many connections to servers as it may have.
var errShare = errors.New("the node is short of descriptors, and the pod has more than its share")

// dial counts a connection that a pod is about to make, unless it may not: while it has to do with fewer, it gets none beyond what those that it has
// captured may need.
func (l *load) dial(p *podLoad) error {
	n := p.dialled.Add(1)
	if p.shed.Load() != nil && n > (descriptorsEach-1)*p.captured.Load() {
		p.dialled.Add(-1)
		return errShare
	}
	if all := l.dialled.Add(1); all%l.every.Load() == 0 || all+l.connections.Load() == descriptorsEach*l.limit+1 {
		l.wake()
	}
	return nil
}

func (l *load) hungUp(p *podLoad) {
	p.dialled.Add(-1)
	l.dialled.Add(-1)
}
