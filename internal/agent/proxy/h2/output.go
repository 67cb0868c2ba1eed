package h2

import (
	"errors"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
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
	// written, if not nil, is called with the lock when everything has been written that was appended. slow: it has taken a while.
	written func(slow bool)

	// guarded by mu
	next     *piece // what is appended to; nil: nothing is
	writing  bool   // somebody writes
	blocked  bool   // and waits for the kernel
	refused  bool   // somebody has found it full
	queued   bool   // somebody is about to write
	last     bool   // the connection is to end behind what is there
	failed   error
	appended uint64 // bytes, in all
	handed   uint64 // that were given to the kernel, or are being
	sent     uint64 // that it has accepted
	account  *podAccount
	charged  int  // of what waits for the kernel
	tooMuch  bool // the connection was cut

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
	}
	return o.next.b
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

// reached reports whether a byte that was appended at an offset may have been accepted by the kernel.
func (o *output) reached(offset uint64) bool {
	return o.sent > offset || o.writing && o.failed == nil && o.handed > offset
}

// flush writes what is there, as far as the kernel takes it. The connection ends if that panics, since nobody else writes on it.
func (o *output) flush() {
	done := false
	defer func() {
		if !done {
			o.conn.ResetOnClose()
			o.conn.Interrupt()
		}
	}()
	o.writeOut()
	done = true
}

func (o *output) writeOut() {
	o.mu.Lock()
	o.queued = false
	if o.writing {
		o.mu.Unlock()
		return
	}
	o.writing = true
	for o.advance() {
		o.mu.Unlock()
		if o.conn.Pin(o.try) != nil {
			o.n, o.err = 0, transport.ErrInterrupted // closed
		}
		o.mu.Lock()
		if !o.wrote() {
			o.blocked = true
			o.charge()
			o.bound()
			o.slow.Add(1)
			go o.writeSlowly()
			o.mu.Unlock()
			return
		}
	}
	o.writing = false
	o.charge()
	o.rest(false)
	end, refused := o.last, o.refused
	o.refused = false
	o.mu.Unlock()
	if end {
		o.closeWrite()
	}
	if refused {
		o.resume()
	}
}

// closeWrite tells the peer that nothing follows. What a layer writes for that must not go to another connection's descriptor.
func (o *output) closeWrite() {
	_ = o.conn.Pin(func() { _ = o.conn.CloseWrite() }) // fails only when the connection is broken or closed
}

// advance takes the next piece to be written, if there is something. It expects the lock.
func (o *output) advance() bool {
	if o.current != nil {
		return o.failed == nil
	}
	if o.next == nil {
		return false
	}
	if len(o.next.b) == 0 || o.failed != nil {
		freePiece(o.next)
		o.next = nil
		return false
	}
	o.current, o.at, o.next = o.next, 0, nil
	o.handed += uint64(len(o.current.b))
	return true
}

func (o *output) write() { o.n, o.err = o.conn.TryWrite(o.current.b[o.at:]) }

// wrote takes in what a write did, and reports whether the next can follow at once. It expects the lock.
func (o *output) wrote() bool {
	o.at += o.n
	o.sent += uint64(o.n)
	if o.err != nil && o.failed == nil {
		o.failed = o.err // the reader finds it too, behind what the peer has sent before
	}
	if o.at < len(o.current.b) && o.failed == nil {
		return false
	}
	freePiece(o.current)
	o.current = nil
	return true
}

// writeSlowly writes what is there, waiting for the kernel. It is a goroutine of its own.
func (o *output) writeSlowly() {
	defer o.slow.Done()
	defer func() {
		if recovered := recover(); recovered != nil {
			what, stack := panics.Cause(recovered)
			o.panicked("", what, stack)
			o.conn.ResetOnClose()
			o.conn.Interrupt()
		}
	}()
	err := o.wait()
	o.mu.Lock()
	if err != nil && o.failed == nil {
		o.failed = err
	}
	if o.failed != nil && o.current != nil {
		freePiece(o.current)
		o.current = nil
	}
	o.writing, o.blocked = false, false
	o.charge()
	more := o.next != nil && o.failed == nil // appended since step has found nothing
	if !more {
		o.rest(true)
	}
	end := o.last
	o.mu.Unlock()
	switch {
	case more:
		o.flush()
	case end:
		o.closeWrite()
	}
	o.resume()
}

// wait has step write until everything is written. A peer that takes nothing for a while has its connection ended if its pod has taken too
// much memory: what waits would be memory that nobody gives back.
func (o *output) wait() error {
	for {
		before := o.progress()
		err := o.conn.ServeWrites(o.step, time.Now().Add(o.patience))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		o.stalled(before)
	}
}

func (o *output) progress() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// stalled cuts a connection that has written nothing since before, if its pod has no memory.
func (o *output) stalled(before uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent == before && o.account.exhausted() {
		o.cut()
	}
}

// step writes until nothing is left, or the kernel takes no more.
func (o *output) step(uintptr) (done bool) {
	for {
		o.write()
		o.mu.Lock()
		ok := o.wrote()
		more := ok && o.advance()
		if ok && !more {
			o.blocked = false
		}
		half := !ok && o.backlog() < backlogLimit/2
		o.charge()
		o.mu.Unlock()
		if half {
			o.resume()
		}
		if !more {
			return ok
		}
	}
}
