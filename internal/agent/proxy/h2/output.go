package h2

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/transport"
)

const (
	// pieceSize is what a piece of output holds at first; one that has grown beyond maxPiece is not kept.
	pieceSize = 16 << 10
	maxPiece  = 128 << 10
	// backlogLimit is how much may wait to be written on a connection before streams wait instead.
	backlogLimit = 256 << 10
	// patience is how long a peer may take nothing while its pod has no memory.
	patience = 5 * time.Second
)

// piece is a part of what is to be written.
type piece struct{ b []byte }

var pieces = sync.Pool{New: func() any { return &piece{b: make([]byte, 0, pieceSize)} }}

func freePiece(p *piece) {
	if cap(p.b) <= maxPiece {
		p.b = p.b[:0]
		pieces.Put(p)
	}
}

// output is the writing side of a connection: whoever holds the connection's lock appends to it, and one goroutine at a time writes, without
// the lock. Where the kernel takes no more a goroutine beside waits for it.
type output struct {
	// immutable
	conn *transport.Conn
	mu   *sync.Mutex // the connection's
	// resume is called, without the lock, when what was blocked has been written.
	resume func()
	// panicked reports a panic beside.
	panicked func(pod string, what any, stack []byte)
	try      func() // attempt a write, bound once for transport.Conn.Pin
	patience time.Duration
	// whenCut, if not nil, is called with the lock when the connection is cut.
	whenCut func()
	// written, if not nil, is called with the lock when everything has been written that was appended. slow: it has taken a while.
	written func(slow bool)

	// guarded by mu
	next  *piece // what is appended to; nil: nothing is
	frame struct {
		stream   uint32 // 0: there is none
		from, to int
	} // the DATA frame that was appended to next last
	writing  bool // somebody writes
	asking   bool // the kernel has been given something, and what it has accepted of that is not known yet
	blocked  bool // and waits for the kernel
	refused  bool // somebody has found it full
	queued   bool // somebody is about to write
	last     bool // the connection is to end behind what is there
	failed   error
	appended uint64 // bytes, in all
	handed   uint64 // that were given to the kernel, or are being
	sent     uint64 // that it has accepted
	account  *podAccount
	charged  int  // of what waits for the kernel
	tooMuch  bool // the connection was cut
	// paused, if not nil, is closed when nobody writes, or who does waits for the kernel
	paused chan struct{}
	stuck  bool // who wrote has panicked

	// the writer's own
	current *piece
	at      int
	n       int
	err     error

	slow sync.WaitGroup
}

func (o *output) init(c *transport.Conn, mu *sync.Mutex, resume func()) {
	o.conn, o.mu, o.resume, o.patience = c, mu, resume, patience
	o.try = o.write
}

// buffer returns what frames are appended to; the result is given to put. This and the functions below up to flush expect the lock.
func (o *output) buffer() []byte {
	if o.next == nil {
		o.next = pieces.Get().(*piece)
		o.frame.stream = 0
	}
	return o.next.b
}

// data appends data of a stream, which ends it if end says so, and returns how many frames more that takes: none where the last one is its own,
// still to be written, and has room. So what comes in many small pieces at once goes out in few.
func (o *output) data(stream uint32, p []byte, end bool, maxFrame uint32) (frames int) {
	b, last := o.buffer(), &o.frame
	if last.stream == stream && last.to == len(b) && last.to-last.from-http2.FrameHeaderLen+len(p) <= int(maxFrame) {
		b = append(b, p...)
		http2.ExtendData(b[last.from:], end)
	} else {
		frames, last.stream, last.from = 1, stream, len(b)
		b = append(http2.AppendDataHeader(b, stream, len(p), end), p...)
	}
	last.to = len(b)
	o.put(b)
	return frames
}

func (o *output) put(b []byte) {
	o.appended += uint64(len(b) - len(o.next.b))
	o.next.b = b
	if o.failed != nil { // nobody will write it
		o.next.b = b[:0]
	}
	if o.blocked || o.backlog() >= backlogLimit {
		o.charge()
		o.bound()
	}
}

// charge accounts for what waits for the kernel, and for what is much before it was asked.
func (o *output) charge() {
	n := 0
	if o.blocked || o.failed == nil && o.backlog() >= backlogLimit {
		n = o.backlog()
	}
	if n == o.charged {
		return
	}
	o.account.add(n - o.charged)
	o.charged = n
}

// bound ends the connection if more waits for the kernel than its part, and its pod has too much memory.
func (o *output) bound() {
	if o.blocked && o.account.exhausted() && o.backlog() > o.account.part() {
		o.cut()
	}
}

// pressed reports whether nothing more may be appended for the pod's streams, which has taken too much memory.
func (o *output) pressed() bool {
	return (o.blocked || o.backlog() >= backlogLimit) && o.account.exhausted()
}

// cut ends the connection, since what waits to be written on it is memory that its pod has to give back.
func (o *output) cut() {
	if !o.tooMuch {
		o.tooMuch = true
		if o.whenCut != nil {
			o.whenCut()
		}
		o.conn.ResetOnClose()
		o.conn.StopWriting()
		o.conn.Interrupt()
	}
}

// rest is called by who has written everything.
func (o *output) rest(slow bool) {
	if o.written != nil && o.next == nil && o.current == nil {
		o.written(slow)
	}
}

// backlog is how much waits to be written.
func (o *output) backlog() int { return int(o.appended - o.sent) }

// full reports whether so much waits to be written that streams have to. Who is refused is resumed when it has been written.
func (o *output) full() bool {
	full := o.backlog() >= backlogLimit
	o.refused = o.refused || full
	return full
}

// reached reports whether a byte that was appended at an offset may have been accepted by the kernel. While it is being asked that is so even if the
// connection is known to have failed: a server that reads a request may end the connection before who writes has heard that the request was written.
func (o *output) reached(offset uint64) bool {
	return o.sent > offset || o.asking && o.handed > offset
}
