package h2

import (
	"errors"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// maxTable is the largest compression table that we fill.
const maxTable = 4096

// serverConn is a connection to a server, which carries attempts of many calls. Its goroutine ends with it.
type serverConn struct {
	// immutable
	driver  *Driver
	conn    *upstream.Conn
	account *podAccount // of the pod whose it is

	// the reading goroutine's own
	in     input
	parser http2.Parser
	dec    http2.Decoder
	block  http2.Block
	frame  http2.Frame
	batch  batch
	now    time.Time

	mu sync.Mutex
	// guarded by mu
	out              output
	enc              http2.Encoder
	flood            http2.Flood
	peer             http2.Settings
	send             http2.SendWindow
	recv             http2.ReceiveWindow
	nextID           uint32
	attempts         map[uint32]holder
	pinned           map[*Session]struct{}
	waiting          []holder // that have something to send, and no window of the connection's or room in its output
	settingsReceived bool
	leaving          bool   // it takes no new streams
	ended            bool   // it carries nothing any more
	received         uint64 // frames
	ping             pinger
}

// holder is an attempt on a stream, and the session whose lock guards it.
type holder struct {
	t *attempt
	s *Session
	// id is that of the stream: the attempt may have become another one.
	id uint32
}

// newServerConn begins to use a connection that was made.
func newServerConn(d *Driver, c *upstream.Conn, client *drive.Client, p *policy.Pool, now time.Time) *serverConn {
	u := &serverConn{driver: d, conn: c, account: d.buffers.of(client.Pod), now: now, peer: http2.InitialSettings(), nextID: 1, attempts: map[uint32]holder{}}
	u.parser.Init(http2.Client)
	own := http2.InitialSettings()
	own.EnablePush, own.InitialWindowSize = false, streamWindow
	u.dec.Init(http2.MaxList)
	u.enc.Init(maxTable)
	u.flood.Init(http2.Client, now)
	u.send.Init(http2.DefaultWindow)
	u.recv.Init(http2.DefaultWindow)
	u.in.init(c.Conn, &u.parser, d.HeadTimeout, u.frames)
	u.out.init(c.Conn, &u.mu, u.resume)
	u.out.panicked = d.Panicked
	u.out.whenCut = func() { d.Flooded(drive.ServerSide, drive.FloodStalled) }
	u.in.turns = client.Share.Turns
	u.in.account, u.out.account = u.account, u.account
	u.ping.start(u, p.PingInterval, p.PingTimeout, now)
	b := append(u.out.buffer(), http2.Preface...)
	b = own.Append(b)
	if increment := u.account.open(&u.recv); increment > 0 {
		b = http2.AppendWindowUpdate(b, 0, increment)
	}
	u.out.put(b)
	c.Attachment = u
	c.CloseByUser()
	return u
}

// touched has what was appended written.
func (u *serverConn) touched(b *batch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b.add(&u.out)
}

// run reads until the connection ends.
func (u *serverConn) run() {
	defer u.end()
	u.fail(u.serve())
}

// peerCheck is how often it is checked whether a peer has vanished: who is sent something and leaves it unacknowledged is not asked by TCP
// keep-alive (see transport.Conn.PeerVanished).
const peerCheck = 10 * time.Second

// serve reads until the connection ends, with the reason.
func (u *serverConn) serve() error {
	for {
		now := time.Now()
		err := u.in.serve(now, now.Add(peerCheck))
		if !errors.Is(err, os.ErrDeadlineExceeded) || u.ping.silent.Load() {
			return err
		}
	}
}

// end closes the connection. It is deferred, and deals with a panic.
func (u *serverConn) end() {
	if recovered := recover(); recovered != nil {
		what, stack := panics.Cause(recovered)
		u.driver.Panicked("", what, stack)
		u.conn.ResetOnClose()
		u.fail(errPanicked)
	}
	u.ping.stop()
	u.conn.Drain()
	u.conn.StopWriting()
	_ = u.conn.Close()
	u.out.slow.Wait()
	u.in.discharge()
	u.account.leave()
}

// recovered is deferred by goroutines that serve the connection beside its own. It ends the connection when they panic.
func (u *serverConn) recovered() {
	if recovered := recover(); recovered != nil {
		what, stack := panics.Cause(recovered)
		u.driver.Panicked("", what, stack)
		u.conn.ResetOnClose()
		u.conn.Interrupt()
	}
}

var errPanicked = errors.New("h2: panic")

// fail ends all attempts on the connection, which is broken.
func (u *serverConn) fail(err error) {
	all := u.stop(err)
	u.conn.Drain() // before the attempts are made anew
	u.sayGoodbye(err)
	u.now = time.Now()
	notify(all, func(h holder) { h.s.lost(h, u, err, u.now) })
	if !errors.Is(err, transport.ErrInterrupted) { // else it is we who end it
		u.leaves()
	}
	u.batch.flush()
	u.out.await()
}

// notify reports to all who have held a stream what has become of it, even if one of them panics: nobody else would.
func notify(all []holder, what func(holder)) {
	for _, h := range all {
		h.s.contained(func() { what(h) })
	}
}

// stop has the connection carry nothing any more, and returns what it has carried.
func (u *serverConn) stop(err error) []holder {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.leaving, u.ended = true, true
	if _, ours := errors.AsType[*http2.Error](err); !ours && !errors.Is(err, transport.ErrInterrupted) && u.out.failed == nil {
		u.out.failed = err // nothing is written any more
	}
	return u.take(func(uint32) bool { return true })
}

// cut reports whether we have ended the connection for what waited to be written on it.
func (u *serverConn) cut() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.out.tooMuch
}

// sayGoodbye tells the server that the connection ends, where it does not know, and what it has done wrong.
func (u *serverConn) sayGoodbye(err error) {
	code, why := http2.NoError, ""
	var broken *http2.Error
	switch {
	case errors.As(err, &broken):
		code, why = broken.Code, broken.Error()
		u.driver.countFlood(drive.ServerSide, broken)
	case !errors.Is(err, transport.ErrInterrupted):
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.out.put(http2.AppendGoAway(u.out.buffer(), 0, code, why))
	u.batch.add(&u.out)
}

// take removes the attempts on the streams that f selects. It expects the lock.
func (u *serverConn) take(f func(id uint32) bool) (taken []holder) {
	for id, h := range u.attempts {
		if f(id) {
			taken = append(taken, h)
			delete(u.attempts, id)
		}
	}
	return taken
}

// frames acts on the frames in b.
func (u *serverConn) frames(b []byte) (used int, err error) {
	u.now = time.Now()
	defer u.batch.flush()
	u.ping.heard(u.now)
	u.conn.Heard(u.now)
	for {
		n, need, err := u.parser.Next(b[used:], &u.frame)
		used += n
		if need > 0 {
			shrink(&u.block)
			if u.parser.Memory() > keptBlock && u.account.overrun() {
				return used, http2.ErrBlockTooLarge
			}
			return used, nil
		}
		if err == nil {
			err = u.act(&u.frame)
		}
		if err = u.refuse(err); err != nil {
			return used, err
		}
	}
}

// refuse deals with a stream that breaks the protocol. What concerns the connection is returned.
func (u *serverConn) refuse(err error) error {
	if err == nil {
		return nil
	}
	broken, ok := errors.AsType[*http2.Error](err)
	if !ok || broken.Scope == http2.OnConnection {
		return err
	}
	u.driver.countFlood(drive.ServerSide, broken)
	if h, ok := u.reset(u.frame.Stream, broken.Code); ok {
		h.s.malformed(h, u, broken)
	}
	return nil
}

// reset resets a stream, and returns who has held it.
func (u *serverConn) reset(id uint32, c http2.Code) (holder, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h, ok := u.attempts[id]
	delete(u.attempts, id)
	u.out.put(http2.AppendRSTStream(u.out.buffer(), id, c))
	u.batch.add(&u.out)
	return h, ok
}

func (u *serverConn) act(f *http2.Frame) error {
	if err := u.count(f); err != nil {
		return err
	}
	switch f.Type {
	case http2.Headers:
		return u.headers(f)
	case http2.Data:
		return u.data(f)
	case http2.RSTStream:
		if h, ok := u.find(f.Stream); ok {
			h.s.resetByServer(h, u, f.Code)
		}
	case http2.SettingsFrame:
		return u.settings(f)
	case http2.Ping:
		u.pinged(f)
	case http2.GoAway:
		u.goAway(f)
	case http2.WindowUpdate:
		return u.windowUpdate(f)
	case http2.Priority, http2.PushPromise, http2.Continuation:
	}
	return nil
}

// count counts a frame, and refuses one of a stream that was not opened.
func (u *serverConn) count(f *http2.Frame) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.received++
	if err := u.flood.Frame(f, u.now); err != nil {
		return err
	}
	idle := f.Stream != 0 && (f.Stream%2 == 0 || f.Stream >= u.nextID)
	if idle && f.Type != http2.Priority && f.Type <= http2.Continuation {
		return http2.ErrStreamID // RFC 9113 section 5.1
	}
	return nil
}

// find returns who holds a stream.
func (u *serverConn) find(id uint32) (holder, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h, ok := u.attempts[id]
	return h, ok
}

func (u *serverConn) headers(f *http2.Frame) error {
	err := u.dec.Decode(f.Payload, &u.block)
	if err != nil {
		return err
	}
	if h, ok := u.find(f.Stream); ok {
		return h.s.headersFromServer(h, u, f)
	}
	return nil // of a stream that we have reset
}

func (u *serverConn) data(f *http2.Frame) error {
	h, held, ok := u.receive(f)
	switch {
	case !ok:
		return http2.ErrWindowExceeded
	case held:
		return h.s.dataFromServer(h, u, f)
	}
	return nil // of a stream that we have reset
}

// receive counts data against the connection's window, and returns who holds the stream. ok: the window allows it.
func (u *serverConn) receive(f *http2.Frame) (h holder, held, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	ok = u.recv.Receive(f.Flow)
	if h, held = u.attempts[f.Stream]; !held {
		u.giveBack(f.Flow, &u.batch)
	}
	return h, held, ok
}

// returned opens the connection's window for what was received of an attempt and is not kept of it.
func (u *serverConn) returned(n uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.giveBack(n, &u.batch)
}

// giveBack opens the connection's window again. It expects the lock.
func (u *serverConn) giveBack(n uint32, b *batch) {
	if increment := u.account.open(&u.recv) + u.recv.Consume(n); increment > 0 {
		u.out.put(http2.AppendWindowUpdate(u.out.buffer(), 0, increment))
		b.add(&u.out)
	}
}
