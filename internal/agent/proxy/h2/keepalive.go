package h2

import (
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// pinger checks a connection that is silent while streams wait on it (connectionPool.http2.pingInterval), and has it end when the server
// does not answer.
type pinger struct {
	// immutable
	u                 *serverConn
	interval, timeout time.Duration // interval is 0: never

	silent  atomic.Bool  // a PING was not answered in time
	heardAt atomic.Int64 // since born, in nanoseconds
	born    time.Time

	mu sync.Mutex
	// guarded by mu
	timer   *time.Timer
	asked   time.Time // when the PING was sent that is to be answered; zero: none is
	stopped bool
}

func (p *pinger) start(u *serverConn, interval, timeout time.Duration, now time.Time) {
	p.u, p.interval, p.timeout, p.born = u, interval, timeout, now
	if interval > 0 {
		p.timer = time.AfterFunc(interval, p.tick)
	}
}

func (p *pinger) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// heard notes that the server has sent something.
func (p *pinger) heard(now time.Time) {
	if p.interval > 0 {
		p.heardAt.Store(int64(now.Sub(p.born)))
	}
}

// tick is a goroutine of its own.
func (p *pinger) tick() {
	defer p.u.recovered()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	now := time.Now()
	last := p.born.Add(time.Duration(p.heardAt.Load()))
	silent := now.Sub(last)
	switch {
	case !p.asked.IsZero() && last.Before(p.asked):
		if now.Sub(p.asked) >= p.timeout {
			p.silent.Store(true)
			p.u.conn.Wake() // the reader finds that the time is up
			return
		}
		p.timer.Reset(p.timeout - now.Sub(p.asked))
		return
	case silent < p.interval:
		p.asked = time.Time{}
		p.timer.Reset(p.interval - silent)
		return
	}
	if p.u.sendPing() {
		p.asked = now
		p.timer.Reset(p.timeout)
		return
	}
	p.timer.Reset(p.interval)
}

// sendPing asks the server whether it is there, if there is a stream that waits.
func (u *serverConn) sendPing() (waits bool) {
	flushed(func(b *batch) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if waits = len(u.attempts) > 0 && !u.ended; waits {
			u.out.put(http2.AppendPing(u.out.buffer(), [8]byte{}))
			b.add(&u.out)
		}
	})
	return waits
}
