package policy

import (
	"cmp"
	"time"
)

// Share is what a node, or the cluster, may have of a limit: calls per second, and how many may start at once.
type Share struct {
	Rate, Burst float64
}

// LimitName names a limit that all nodes share.
type LimitName struct {
	// Limit is RateLimit.Shared.
	Limit string
	// Destination is the concrete destination that is called: "namespace/name:port" of a Service, "host:port" or "address:port".
	Destination string
}

// Compare orders names.
func (n LimitName) Compare(o LimitName) int {
	return cmp.Or(cmp.Compare(n.Limit, o.Limit), cmp.Compare(n.Destination, o.Destination))
}

// Share is all of the limit: what the cluster may have.
func (l *RateLimit) Share() Share {
	return Share{Rate: float64(max(l.Requests, 1)) / max(l.Per.Seconds(), 1e-9), Burst: float64(max(l.Burst, 1))}
}

// Demand is what a node knows of a limit that the cluster shares.
type Demand struct {
	Name LimitName
	// Rate is how many calls would have started in a second: those that have come, refused ones included, and those that wait.
	Rate float64
	// Share is what the node goes by. Granted: it was given it; else it goes by what nodes begin with.
	Share   Share
	Granted bool
	// Idle is for how long no call has come.
	Idle time.Duration
}
