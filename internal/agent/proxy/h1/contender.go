package h1

import (
	"context"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// contender is the goroutine that an attempt belongs to while others are under way beside it.
type contender struct {
	// immutable
	info   http1.RequestInfo
	dial   *drive.Dialling // how it is connected; nil: it is
	again  bool            // it has to send the request
	ctx    context.Context //nolint:containedctx // of the dial, which is all that it is for
	cancel context.CancelFunc
	done   chan struct{} // closed at its end

	stopped atomic.Bool
	stage   atomic.Int32 // connecting, connected or leftBehind

	sentAt time.Time   // valid once sent
	sent   atomic.Bool // the request, as a whole
	noted  bool        // by the session's goroutine: the call knows of it

	// valid at its end
	dialErr  error
	headErr  error
	panicked panics.Carrier
}

// The stages of a contender: it may still be left behind while it connects, it is waited for, or it was left behind.
const (
	connecting int32 = iota
	connected
	leftBehind
)

// contend gives an attempt to a goroutine of its own. d says how it is connected (nil: it is), again that it has to send the request.
func (x *exchange) contend(t *attempt, d *drive.Dialling, again bool) {
	c := &contender{info: x.request.Info(), dial: d, again: again, done: make(chan struct{})}
	if d != nil {
		c.ctx, c.cancel = d.Context()
	}
	t.beside, t.streaming = c, true // whoever writes leaves the rest to the session's goroutine
	go t.contends(c)
}

func (t *attempt) contends(c *contender) {
	defer func() {
		if !c.comesIn() { // the attempt is another call's by now
			c.endAlone(t.x.driver)
			return
		}
		close(c.done)
		t.x.lookAgain()
	}()
	defer c.panicked.Catch()
	if c.dial != nil && !t.connects(c) {
		return
	}
	if c.again {
		if t.err = t.sendAgain(); t.err != nil {
			return
		}
		c.sentAt = time.Now()
		c.sent.Store(true)
		t.x.lookAgain()
	}
	c.headErr = t.readHeadBeside(c)
}

// lookAgain has the session's goroutine look at what contenders have come to.
func (x *exchange) lookAgain() {
	select {
	case x.arrived <- struct{}{}:
	default: // it is about to
	}
}

// connects makes the connection, and reports whether the attempt goes on.
func (t *attempt) connects(c *contender) bool {
	l, err := c.dial.Dial(c.ctx)
	if !c.comesIn() {
		if err == nil {
			l.ReleaseUnused(time.Now())
		}
		return false
	}
	if err != nil {
		c.dialErr = err
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hold(l)
	return !c.stopped.Load()
}

// hasArrived reports whether the goroutine has ended. c may be nil.
func (c *contender) hasArrived() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// justSent reports whether the contender has sent the request, which it does once. c may be nil.
func (c *contender) justSent() bool {
	if c == nil || c.noted || !c.sent.Load() {
		return false
	}
	c.noted = true
	return true
}

// join takes the attempt back from its goroutine, which has ended or is about to.
func (t *attempt) join() {
	c := t.beside
	<-c.done
	t.beside, t.streaming = nil, false
	if c.cancel != nil {
		c.cancel()
	}
	c.panicked.Raise()
}

// halt has the goroutine of an attempt end, if there is one. The connection is good for nothing after that.
func (t *attempt) halt() {
	c := t.beside
	if c == nil {
		return
	}
	c.stopped.Store(true)
	if c.cancel != nil {
		c.cancel()
	}
	t.mu.Lock() // it may be connected just now
	if t.Lease.Conn != nil {
		t.Lease.StopWriting()
		t.Lease.Interrupt()
	}
	t.mu.Unlock()
	t.join()
}
