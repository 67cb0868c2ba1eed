package tunnel

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// End is how a tunnel ended.
type End uint8

// The ends.
const (
	// Finished: both sides have finished sending.
	Finished End = iota
	// Broken: one side was reset or failed, and the other was reset in turn.
	Broken
	// Idle: nothing was sent either way for Options.Idle; both sides were reset.
	Idle
	// Expired: Options.Until has come; both sides were reset.
	Expired
)

// Options of a tunnel.
type Options struct {
	// ToServer and ToClient were read already and are written first. They must stay unchanged until Run returns.
	ToServer, ToClient []byte
	// Idle ends a tunnel in which no data arrived from and was sent to either side for so long. Zero means never.
	Idle time.Duration
	// Until ends a tunnel whatever moves in it. Zero means never.
	Until time.Time
	// Poller waits for the server while that sends nothing; nil: a goroutine does.
	Poller *transport.Poller
	// Moved, if not nil, is called now and then with how many bytes each side has accepted so far, for as long as the tunnel goes on. No two calls are
	// made at a time, and none once Carry's ended is called.
	Moved func(toServer, toClient int64)
}

// Result is what a tunnel did.
type Result struct {
	End End
	// ToServer and ToClient count the bytes accepted by each side, prefixes included.
	ToServer, ToClient int64
}

// Tunnel passes bytes both ways between a client and a server.
type Tunnel struct {
	client, server *transport.Conn
	poller         *transport.Poller // may be nil
	up, down       direction
	idle           time.Duration
	until          transport.Instant // zero: never
	end            atomic.Uint32
	upDone         atomic.Bool
	downDone       atomic.Bool
	parked         atomic.Bool                    // poller waits for the server
	other          sync.WaitGroup                 // of down
	panicked       atomic.Pointer[panics.Carrier] // what a helping goroutine has panicked with; nil: none has

	moved func(toServer, toClient int64) // may be nil

	watch sync.Mutex
	// guarded by watch
	timer    *time.Timer // nil: nothing is watched, or no longer
	reported int64       // the bytes of both directions that moved was last called with; -1: none yet
}

// New returns a tunnel, which owns the connections from now on.
func New(client, server *transport.Conn, o Options) *Tunnel {
	t := &Tunnel{client: client, server: server, poller: o.Poller, idle: o.Idle, until: transport.At(o.Until), moved: o.Moved, reported: -1}
	t.up.init(t, client, server, o.ToServer)
	t.down.init(t, server, client, o.ToClient)
	return t
}

// Run passes bytes on until both sides have finished, one breaks, both idle, or Until has come, and closes the connections. Closing
// one of them from outside, or interrupting the client's, ends it. Each side's end of stream is passed on as such (CloseWrite), a reset
// as a reset; a server that vanishes counts as one when its connection's keep-alive says so (transport.KeepAlive). Deadlines that are
// set on the connections are lifted. It panics if what helps it has, after the connections were reset.
//
// Run needs one goroutine besides the caller's, which has ended when it returns; with a Poller, only while the server sends something.
// Most of what a tunnel costs while it is idle are stacks, so what is on them while they wait is kept small.
func (t *Tunnel) Run() (Result, error) {
	err := t.begin()
	if err == nil {
		t.runUp()
		t.awaitClose()
		t.other.Wait()
		t.stopWatch()
	}
	t.close()
	t.raise()
	return t.result(), err
}

func (t *Tunnel) result() Result {
	return Result{End: End(t.end.Load()), ToServer: t.up.bytes.Load(), ToClient: t.down.bytes.Load()}
}

// Carry is Run, of which it does not matter why it could not begin. In the end, also if that is a panic, it calls ended.
func (t *Tunnel) Carry(ended func(r Result, lasted time.Duration)) {
	began := time.Now()
	defer func() {
		t.stopWatch() // also after a panic
		ended(t.result(), time.Since(began))
	}()
	_, _ = t.Run()
}

// begin does what has left the stack when Run waits.
func (t *Tunnel) begin() error {
	if err := errors.Join(t.client.ClearDeadlines(), t.server.ClearDeadlines()); err != nil {
		t.abort(Broken)
		return err
	}
	t.beginWatch()
	t.other.Add(1)
	go t.runDown() // waited for by Run
	return nil
}

// direction is one way of a tunnel.
type direction struct {
	mover  transport.Mover
	t      *Tunnel
	dst    *transport.Conn
	prefix []byte // is written first
	bytes  atomic.Int64
	// finished: the source has ended, which is being passed on.
	finished atomic.Bool
}

func (d *direction) init(t *Tunnel, src, dst *transport.Conn, prefix []byte) {
	d.t, d.dst, d.prefix = t, dst, prefix
	d.mover.Init(src)
}

// run passes bytes on until the source ends or either side fails.
func (d *direction) run() {
	err := d.writePrefix()
	for err == nil {
		_, err = d.move()
	}
	d.end(err)
}

func (d *direction) move() (transport.Side, error) {
	n, side, err := d.mover.Move(d.dst, transport.MaxMove)
	d.bytes.Add(n)
	return side, err
}

// end passes on how the source has ended: err is io.EOF, or what has failed.
func (d *direction) end(err error) {
	if err == io.EOF { //nolint:errorlint // Move returns io.EOF itself
		d.finished.Store(true)
		err = d.dst.CloseWrite()
	}
	if err != nil && !errors.Is(err, syscall.ENOTCONN) {
		d.t.abort(Broken)
	}
}

func (d *direction) writePrefix() error {
	if len(d.prefix) == 0 {
		return nil
	}
	var inner error
	err := d.dst.Pin(func() {
		var n int
		n, inner = d.dst.Write(d.prefix)
		d.bytes.Add(int64(n))
	})
	d.prefix = nil
	return errors.Join(err, inner)
}

// awaitClose waits for the server to finish when the client has. Nobody reads from the client's connection any more, so this is what sees
// that the client has reset it, or that it is closed or interrupted from outside, which must end the tunnel even if the server never sends
// another byte.
func (t *Tunnel) awaitClose() {
	t.upDone.Store(true)
	if t.downDone.Load() {
		return
	}
	_ = t.client.Serve(t.clientReset, time.Time{}, time.Time{}) // an error means closed or interrupted
	if !t.down.finished.Load() {
		t.abort(Broken)
	}
}

func (t *Tunnel) clientReset(uintptr) bool {
	return t.client.Ending() == transport.Broken && !t.down.finished.Load()
}

// abort resets both sides; the first reason stands.
func (t *Tunnel) abort(end End) {
	if !t.end.CompareAndSwap(uint32(Finished), uint32(end)) {
		return
	}
	// Closing with a linger time of zero sends a reset: otherwise the peer would take what it has received for the whole.
	for _, c := range [...]*transport.Conn{t.client, t.server} {
		c.ResetOnClose()
		_ = c.Close()
	}
	if t.parked.Swap(false) { // nobody will find out that the server's connection is closed
		t.poller.Forget(t.server)
		t.downEnded()
	}
}

func (t *Tunnel) close() {
	_ = t.client.Close()
	_ = t.server.Close()
}

// firstCheck is when a tunnel is first checked. How often it is checked later depends on its server's keep-alive.
const firstCheck = time.Second

func (t *Tunnel) beginWatch() {
	t.watch.Lock()
	defer t.watch.Unlock()
	first := firstCheck
	if t.idle > 0 {
		first = min(first, t.idle)
	}
	if t.until != 0 {
		first = min(first, time.Until(t.until.Time()))
	}
	t.timer = time.AfterFunc(first, t.check)
}

// check is called by the timer.
func (t *Tunnel) check() {
	defer func() {
		if what := recover(); what != nil {
			t.failed(what)
			t.abort(Broken)
		}
	}()
	t.watchOver()
}

// How often Options.Moved is called: for bytes that go on moving, and for those behind a pause.
const (
	reportSoon  = 15 * time.Second
	reportLater = time.Minute
)

// reportMoved reports what has moved, and returns when to do so again. watch is held.
func (t *Tunnel) reportMoved() (again time.Duration) {
	toServer, toClient := t.up.bytes.Load(), t.down.bytes.Load()
	if toServer+toClient == t.reported {
		return reportLater
	}
	t.reported = toServer + toClient
	t.moved(toServer, toClient)
	return reportSoon
}

// watchOver closes a tunnel that is idle or has expired, or whose server has vanished, or comes back when that could be. It goes by what the kernel
// knows: the data path pays nothing for it, and a stream in one direction keeps the tunnel alive.
func (t *Tunnel) watchOver() {
	t.watch.Lock()
	defer t.watch.Unlock()
	if t.timer == nil {
		return
	}
	vanished, within := t.server.PeerVanished(time.Now()) // the client is in a pod of this very node
	if vanished {
		t.abort(Broken)
		return
	}
	again := within / 4
	if t.moved != nil {
		again = sooner(again, t.reportMoved())
	}
	if t.idle > 0 {
		left := t.idle - min(quietFor(t.client), quietFor(t.server))
		if left <= 0 {
			t.abort(Idle)
			return
		}
		again = sooner(again, left)
	}
	if t.until != 0 {
		left := time.Until(t.until.Time())
		if left <= 0 {
			t.abort(Expired)
			return
		}
		again = sooner(again, left)
	}
	if again > 0 {
		t.timer.Reset(again)
	}
}

// sooner returns the shorter of two waits of which one that is not positive means for ever; b is positive.
func sooner(a, b time.Duration) time.Duration {
	if a <= 0 {
		return b
	}
	return min(a, b)
}

func (t *Tunnel) stopWatch() {
	t.watch.Lock()
	defer t.watch.Unlock()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// quietFor returns how long ago data was last received or sent on a connection, or a long time if that is gone: the tunnel ends then.
func quietFor(c *transport.Conn) time.Duration {
	if ago, ok := c.LastData(); ok {
		return ago
	}
	return 1<<63 - 1
}
