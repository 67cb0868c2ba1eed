package h1

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// HeadTimeout bounds by default how long a request head takes from its first byte (rule 30).
const HeadTimeout = 10 * time.Second

// Options configure a Driver. All but the times are required.
type Options struct {
	// Poller waits for servers in tunnels.
	Poller *transport.Poller
	// Malformed is called for requests that are refused for breaking the protocol. It must not block or keep the bytes.
	Malformed func(drive.Refused)
	// Draining reports whether connections are to end with the response under way.
	Draining func() bool
	// Panicked reports a panic beside the serving of a connection.
	Panicked func(pod string, what any, stack []byte)
	// HeadTimeout bounds a request head, LingerFor how long a client may send nothing behind its last response, StragglerFor how long an attempt is waited for
	// when another one was answered first. Zero means the default.
	HeadTimeout, LingerFor, StragglerFor time.Duration
}

// Driver is what all sessions share.
type Driver struct {
	// immutable after New
	poller                               *transport.Poller
	malformed                            func(drive.Refused)
	draining                             func() bool
	panicked                             func(pod string, what any, stack []byte)
	headTimeout, lingerFor, stragglerFor time.Duration

	exchanges sync.Pool
}

// New returns a Driver.
func New(o Options) *Driver {
	d := &Driver{
		poller: o.Poller, malformed: o.Malformed, draining: o.Draining, panicked: o.Panicked,
		headTimeout: o.HeadTimeout, lingerFor: o.LingerFor, stragglerFor: o.StragglerFor,
	}
	if d.headTimeout == 0 {
		d.headTimeout = HeadTimeout
	}
	if d.lingerFor == 0 {
		d.lingerFor = LingerFor
	}
	if d.stragglerFor == 0 {
		d.stragglerFor = StragglerFor
	}
	d.exchanges.New = func() any { return newExchange(d) }
	return d
}
