package telemetry

import (
	"sync"
	"sync/atomic"
)

// lanes tell cores which shard to count in. A core nearly always finds the number again that it has given back last, since that is how a
// sync.Pool works: so two cores rarely write to one cache line, while with shards drawn at random half of what two cores count is in the
// cache of the other.
type lanes struct {
	numbers sync.Pool // of *uint32
	last    atomic.Uint32
}

// mine is the number of the core that runs this.
func (l *lanes) mine() uint32 {
	n, _ := l.numbers.Get().(*uint32)
	if n == nil {
		n = new(uint32)
		*n = l.last.Add(1)
	}
	mine := *n
	l.numbers.Put(n)
	return mine
}
