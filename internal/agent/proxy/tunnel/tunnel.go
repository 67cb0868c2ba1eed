package tunnel

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

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
}

// Result is what a tunnel did.
type Result struct {
	End End
	// ToServer and ToClient count the bytes accepted by each side, prefixes included.
	ToServer, ToClient int64
}

// Run passes bytes both ways between client and server until both have finished, one breaks, both idle, or Until has come. It owns the
// connections and closes them; closing one of them from outside, or interrupting the client's, ends it. Each side's end of stream is
// passed on as such (CloseWrite), a reset as a reset; a server that vanishes counts as one when its connection's keep-alive says so
// (transport.KeepAlive). Deadlines that are set on the connections are lifted.
//
// Run needs one goroutine besides the caller's, which has ended when it returns.
func Run(client, server *transport.Conn, o Options) (Result, error) {
	t := &tunnel{client: client, server: server}
	defer t.close()
	if err := errors.Join(client.ClearDeadlines(), server.ClearDeadlines()); err != nil {
		t.abort(Broken)
		return Result{End: Broken}, err
	}
	t.up.init(t, client, server)
	t.down.init(t, server, client)
	t.beginWatch(o.Idle, o.Until)
	var other sync.WaitGroup
	other.Go(func() {
		t.down.run(o.ToClient)
		t.downDone.Store(true)
		if t.upDone.Load() {
			client.Wake() // out of awaitClose
		}
	})
	t.up.run(o.ToServer)
	t.awaitClose()
	other.Wait()
	t.stopWatch()
	return Result{End: End(t.end.Load()), ToServer: t.up.bytes, ToClient: t.down.bytes}, nil
}

type tunnel struct {
	client, server *transport.Conn
	up, down       direction
	idle           time.Duration
	until          time.Time
	end            atomic.Uint32
	upDone         atomic.Bool
	downDone       atomic.Bool

	watch sync.Mutex
	// guarded by watch
	timer   *time.Timer
	stopped bool
}

// direction is one way of a tunnel.
type direction struct {
	mover transport.Mover
	t     *tunnel
	dst   *transport.Conn
	bytes int64
}

func (d *direction) init(t *tunnel, src, dst *transport.Conn) {
	d.t, d.dst = t, dst
	d.mover.Init(src)
}

// run passes bytes on until the source ends or either side fails.
func (d *direction) run(prefix []byte) {
	if len(prefix) > 0 {
		n, err := d.dst.Write(prefix)
		d.bytes += int64(n)
		if err != nil {
			d.t.abort(Broken)
			return
		}
	}
	for {
		n, _, err := d.mover.Move(d.dst, transport.MaxMove)
		d.bytes += n
		switch {
		case err == nil:
			continue
		case err != io.EOF: //nolint:errorlint // Move returns io.EOF itself
			d.t.abort(Broken)
			return
		}
		if err := d.dst.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
			d.t.abort(Broken)
		}
		return
	}
}

// awaitClose waits for the server to finish when the client has. Nobody reads from the client's connection any more, so this is what sees
// that it is closed or interrupted from outside, which must end the tunnel even if the server never sends another byte.
func (t *tunnel) awaitClose() {
	t.upDone.Store(true)
	if t.downDone.Load() {
		return
	}
	_ = t.client.Serve(func(uintptr) bool { return false }, time.Time{}, time.Time{}) // ends with an error only
	if !t.downDone.Load() {
		t.abort(Broken)
	}
}

// abort resets both sides; the first reason stands.
func (t *tunnel) abort(end End) {
	if !t.end.CompareAndSwap(uint32(Finished), uint32(end)) {
		return
	}
	// Closing with a linger time of zero sends a reset: the peer must not take what it has for everything.
	for _, c := range [...]*transport.Conn{t.client, t.server} {
		c.ResetOnClose()
		_ = c.Close()
	}
}

func (t *tunnel) close() {
	_ = t.client.Close()
	_ = t.server.Close()
}

// firstCheck is when a tunnel is first checked. How often it is checked later depends on its server's keep-alive.
const firstCheck = time.Second

func (t *tunnel) beginWatch(idle time.Duration, until time.Time) {
	t.watch.Lock()
	defer t.watch.Unlock()
	t.idle, t.until = idle, until
	first := firstCheck
	if idle > 0 {
		first = min(first, idle)
	}
	if !until.IsZero() {
		first = min(first, time.Until(until))
	}
	t.timer = time.AfterFunc(first, t.check)
}

// check closes a tunnel that is idle or has expired, or whose server has vanished, or comes back when that could be. It goes by what the kernel
// knows: the data path pays nothing for it, and a stream in one direction keeps the tunnel alive.
func (t *tunnel) check() {
	t.watch.Lock()
	defer t.watch.Unlock()
	if t.stopped {
		return
	}
	vanished, within := t.server.PeerVanished(time.Now()) // the client is in a pod of this very node
	if vanished {
		t.abort(Broken)
		return
	}
	again := within / 4
	if t.idle > 0 {
		left := t.idle - min(quietFor(t.client), quietFor(t.server))
		if left <= 0 {
			t.abort(Idle)
			return
		}
		again = sooner(again, left)
	}
	if !t.until.IsZero() {
		left := time.Until(t.until)
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

func (t *tunnel) stopWatch() {
	t.watch.Lock()
	defer t.watch.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// quietFor returns how long ago data was last received or sent on a connection, or a long time if that is gone: the tunnel ends then.
func quietFor(c *transport.Conn) time.Duration {
	if ago, ok := c.LastData(); ok {
		return ago
	}
	return 1<<63 - 1
}
