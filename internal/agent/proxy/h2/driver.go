package h2

import (
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// maxStreams is how many streams a client may have open at a time (rule 30).
	maxStreams = 1024
	// streamWindow is how much of a stream is taken that the other side has not taken yet, connWindow of a whole connection. What is
	// received of a stream is given back as the other side takes it; what is received on a connection at once, so that a stream that is not
	// taken stops no others, as long as there is memory.
	streamWindow = 256 << 10
	connWindow   = 1 << 20
	// maxHeaderList is the largest header list that clients may send (rule 30), and maxHeads what those of all open streams of a connection
	// may take.
	maxHeaderList = http2.MaxList
	maxHeads      = 16 << 20
	// BufferMemory is how much connections may hold together, by default, before their peers are allowed no more.
	BufferMemory = 64 << 20
	// HeadTimeout is how long a header block may take, by default.
	HeadTimeout = 10 * time.Second
	// creditSize is how much data may be answered by window updates as a frame may: some peers send them for every read.
	creditSize = 2 << 10
	// firstRequestWait is how long a client may take to send its first request where that decides whether the connection is governed. One that
	// waits for the server's SETTINGS before gets ours then.
	firstRequestWait = 25 * time.Millisecond
)

// Options configure a Driver. All but the last three are required.
type Options struct {
	// Malformed is called for what clients are refused for breaking the protocol. It must not block or keep the bytes.
	Malformed func(drive.Refused)
	// Draining reports whether connections are to end with the streams under way.
	Draining func() bool
	// Panicked reports a panic in a goroutine that serves connections of several pods or none; the connection was closed.
	Panicked func(pod string, what any, stack []byte)
	// ConnectTimeout bounds connecting where the policy does not.
	ConnectTimeout time.Duration
	// Buffers is how many bytes connections may hold together before their peers are allowed no more; zero: BufferMemory.
	Buffers int64
	// Flooded is called when a connection or stream is ended because its peer does too much of something; nil: nobody wants to know. It must not
	// block.
	Flooded func(from drive.Side, f drive.Flood)
	// HeadTimeout bounds a header block from its beginning (rule 30); zero: HeadTimeout.
	HeadTimeout time.Duration
}

// Driver is what all sessions share.
type Driver struct {
	// immutable after New
	Options
	ungoverned routes.Plan // of streams that no policy governs, on a connection on which one did

	buffers account
}

// New returns a Driver.
func New(o Options) *Driver {
	d := &Driver{Options: o}
	if d.Flooded == nil {
		d.Flooded = func(drive.Side, drive.Flood) {}
	}
	d.buffers.limit = BufferMemory
	if o.Buffers > 0 {
		d.buffers.limit = o.Buffers
	}
	if d.HeadTimeout == 0 {
		d.HeadTimeout = HeadTimeout
	}
	s := &policy.Settings{LoadBalancing: policy.ClusterIP, AccessLog: policy.AccessLogOff}
	s.Timeouts.Connect = o.ConnectTimeout
	d.ungoverned = routes.Plan{Plan: call.Plan{Settings: s, Random: rand.Float64}}
	return d
}

// Buffered is how many bytes connections hold: heads, and what waits for somebody to take it.
func (d *Driver) Buffered() int64 { return d.buffers.inUse() }
