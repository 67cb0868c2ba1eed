package h2

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// flush writes what is there, as far as the kernel takes it. The connection ends if that panics, since nobody else writes on it.
func (o *output) flush() {
	done := false
	defer func() {
		if !done {
			o.giveUp()
			o.conn.ResetOnClose()
			o.conn.Interrupt()
		}
	}()
	o.writeOut()
	done = true
}

func (o *output) writeOut() {
	next := o.begin()
	for next.more {
		if o.conn.Pin(o.try) != nil {
			o.n, o.err = 0, transport.ErrInterrupted // closed
		}
		next = o.took()
	}
	if next.end {
		o.closeWrite()
	}
	if next.resume {
		o.resume()
	}
}

// after is what follows a step of writing: more of it, or what there is to do when nothing more is to be written.
type after struct{ more, end, resume bool }

// begin becomes the one who writes, unless somebody does.
func (o *output) begin() after {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued = false
	if o.writing {
		return after{}
	}
	o.writing = true
	return o.goOn()
}

// took takes in what a write did. Where the kernel takes no more a goroutine beside goes on.
func (o *output) took() after {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wrote() {
		return o.goOn()
	}
	o.blocked = true
	o.pause()
	o.charge()
	o.bound()
	o.slow.Add(1)
	go o.writeSlowly()
	return after{}
}

// goOn takes the next piece to be written; without one nobody writes any more. It expects the lock.
func (o *output) goOn() after {
	if o.asking = o.advance(); o.asking {
		return after{more: true}
	}
	o.writing = false
	o.pause()
	o.charge()
	o.rest(false)
	next := after{end: o.last, resume: o.refused}
	o.refused = false
	return next
}

// await waits until who writes at the moment, who may be another goroutine, has written everything or is refused by the kernel. It is called
// before the connection is closed, with which what was said last would be lost.
func (o *output) await() {
	if paused := o.pausing(); paused != nil {
		<-paused
	}
}

// pausing returns what is closed when the writer has come to rest, or nil if there is none.
func (o *output) pausing() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing || o.blocked || o.stuck {
		return nil
	}
	if o.paused == nil {
		o.paused = make(chan struct{})
	}
	return o.paused
}

// pause tells who awaits the writer. It expects the lock.
func (o *output) pause() {
	if o.paused != nil {
		close(o.paused)
		o.paused = nil
	}
}

// giveUp has nobody wait for a writer that has panicked.
func (o *output) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stuck = true
	o.pause()
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
	o.asking = false
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
			o.giveUp()
			o.conn.ResetOnClose()
			o.conn.Interrupt()
		}
	}()
	o.wroteSlowly(o.wait())
}

// wroteSlowly goes on when all that was there when it was last looked has been written, or writing has failed.
func (o *output) wroteSlowly(err error) {
	switch next := o.endSlowly(err); {
	case next.more:
		o.flush()
	case next.end:
		o.closeWrite()
	}
	o.resume()
}

// endSlowly has nobody write any more. There is more if something was appended since step found nothing: who did that saw somebody write.
func (o *output) endSlowly(err error) after {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && o.failed == nil {
		o.failed = err
	}
	if o.failed != nil && o.current != nil {
		freePiece(o.current)
		o.current = nil
	}
	o.writing, o.blocked = false, false
	o.pause()
	o.charge()
	next := after{more: o.next != nil && o.failed == nil, end: o.last}
	if !next.more {
		o.rest(true)
	}
	return next
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
		if !o.ask() {
			return true
		}
		o.write()
		ok, more, half := o.stepped()
		if half {
			o.resume()
		}
		if !more {
			return ok
		}
	}
}

// ask reports whether something is still to be written, which the kernel is to be given next.
func (o *output) ask() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asking = o.failed == nil
	return o.asking
}

// stepped takes in what a write of step did. ok: the kernel has taken it; more: there is another piece; half: streams can go on while it waits.
func (o *output) stepped() (ok, more, half bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ok = o.wrote()
	more = ok && o.advance()
	if ok && !more {
		o.blocked = false
	}
	half = !ok && o.backlog() < backlogLimit/2
	o.charge()
	return ok, more, half
}
