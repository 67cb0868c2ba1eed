package policy

import "time"

// BreakerKey names a breaker that the nodes of the cluster share (circuitBreaker.sharing: Cluster).
type BreakerKey struct {
	// Binding is Binding.Key, and Destination the concrete destination that is called under it.
	Binding, Destination string
	// Rule is that with a breaker of its own; empty for the binding's.
	Rule string
	// Opaque: the breaker of connections that are passed through.
	Opaque bool
}

// BreakerView is how a node sees the destination of a breaker that the cluster shares.
type BreakerView uint8

// The views.
const (
	// BreakerIdle: no attempt has ended lately, or a few have failed since the last success, too few to say anything by.
	BreakerIdle BreakerView = iota
	// BreakerGood: an attempt has ended well lately, and none has failed since or it is no second ago.
	BreakerGood
	// BreakerFailing: at least ten attempts have failed, one of them lately, since one has ended well.
	BreakerFailing
	// BreakerOpened: the node's own breaker has opened, by what the node has seen.
	BreakerOpened
	// BreakerWaiting: the node's breaker is half-open, and no call has come.
	BreakerWaiting
	// BreakerProbing: the node's breaker is half-open, and probes are under way, or have just ended.
	BreakerProbing
	// BreakerHeld: the node keeps the breaker open because the cluster has opened it, and no call comes.
	BreakerHeld
	// BreakerRefusing: the same, and calls come.
	BreakerRefusing
)

// BreakerReport is what a node says of a breaker that the cluster shares.
type BreakerReport struct {
	Key  BreakerKey
	View BreakerView
	// Number is that of the last verdict that the node goes by; 0: none since its stream began.
	Number uint64
}

// BreakerOrder is what a verdict has a node do.
type BreakerOrder uint8

// The orders.
const (
	// BreakerClose: the breaker closes, and goes by what the node sees.
	BreakerClose BreakerOrder = iota
	// BreakerOpen: the breaker is open.
	BreakerOpen
	// BreakerProbe: the breaker is half-open: the node finds out for the cluster whether the destination is back.
	BreakerProbe
)

// BreakerVerdict is what the manager has decided on a breaker that the cluster shares.
type BreakerVerdict struct {
	Key    BreakerKey
	Number uint64 // grows with every decision
	Order  BreakerOrder
	// For is how long a breaker stays open from now on. Hold is how much longer it does if nothing else is heard: another node finds out whether the
	// destination is back. After that a node finds out for itself.
	For, Hold time.Duration
}
