package h2

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Session serves the streams of one captured connection. New makes it.
type Session struct {
	// immutable
	driver *Driver
	client *drive.Client

	// the reading goroutine's own
	in     input
	parser http2.Parser
	dec    http2.Decoder
	frame  http2.Frame
	batch  batch
	prefix []byte // what was read of a connection that is not served here

	beside sync.WaitGroup // goroutines that serve the session beside its own

	wakes  sync.Mutex
	woken  []*stream // guarded by wakes
	kicked atomic.Bool

	mu sync.Mutex
	// guarded by mu
	routes  *route.Selector
	out     output
	enc     http2.Encoder
	flood   http2.Flood
	peer    http2.Settings
	ours    http2.Settings
	send    http2.SendWindow
	recv    http2.ReceiveWindow
	streams map[uint32]*stream
	unused  []*stream
	heads   int // memory that the heads of the open streams take
	lastID  uint32
	leaving leaving
	blocked []*stream // that have something to send, and no window of the connection's or room in its output
	turn    turn
	alarms  alarms
	timer   *time.Timer
	armed   time.Time
	now     time.Time
	over    bool
	own     http2.Block // of our answers
	scratch http2.Block
	report  routes.Exchange
	opened  bool
	resting bool      // no stream is open, and the client may not have everything yet
	closeBy time.Time // when the client must have closed the connection that has ended; zero: never
	// closeSent is what it had taken of the output when that was set.
	closeSent uint64
	account   *podAccount    // of its pod; nil before open
	pinnedTo  *serverConn    // see pinTo
	private   *upstream.Pool // for streams that no policy governs
	// searches are the look-ups under way that streams wait for
	searches map[*routes.Route]*search
}

// New returns a session for a client's connection.
func (d *Driver) New(client *drive.Client, routes *route.Selector) *Session {
	s := &Session{driver: d, client: client, routes: routes, streams: map[uint32]*stream{}, peer: http2.InitialSettings(), ours: http2.InitialSettings()}
	s.ours.MaxConcurrentStreams, s.ours.InitialWindowSize, s.ours.MaxHeaderListSize = maxStreams, streamWindow, maxHeaderList
	s.parser.Init(http2.Server)
	s.dec.Init(maxHeaderList)
	s.enc.Init(maxTable)
	s.send.Init(http2.DefaultWindow)
	s.recv.Init(http2.DefaultWindow)
	s.in.init(client.Conn, &s.parser, d.HeadTimeout, s.frames)
	s.in.full, s.in.turns = s.congested, client.Share.Turns
	s.out.init(client.Conn, &s.mu, s.resume)
	s.out.written = s.written
	s.out.panicked = d.Panicked
	s.out.whenCut = func() { d.Flooded(drive.ClientSide, drive.FloodStalled) }
	s.timer = time.AfterFunc(time.Hour, s.tick)
	s.timer.Stop()
	return s
}

// Prefix returns what was read of a connection that is to be passed on after Serve.
func (s *Session) Prefix() []byte { return s.prefix }

// Preload says what was read of the connection before the session got it.
func (s *Session) Preload(read []byte) { s.prefix = append(s.prefix, read...) }

// Serve serves the connection to its end. pass says that it is to be passed on as it is from what Prefix returns, since no policy governs its first
// request.
func (s *Session) Serve() (pass bool) {
	if !s.governed() {
		return true
	}
	defer s.end()
	s.open()
	drain := s.Drain
	s.client.OnDrain.Store(&drain)
	err := s.serve()
	s.client.OnDrain.Store(nil)
	s.sayGoodbye(err)
	return false
}

// serve reads until the connection ends, or has no more streams while it is to end.
func (s *Session) serve() error {
	if used, err := s.frames(s.prefix); err != nil {
		return err
	} else if rest := s.prefix[used:]; len(rest) > 0 {
		s.in.prefix = append(s.in.prefix, rest...)
	}
	s.prefix = nil
	for {
		err := s.in.serve(time.Time{}, time.Time{})
		switch {
		case errors.Is(err, errCongested):
			if err := s.awaitRoom(); err != nil {
				return err
			}
		case errors.Is(err, io.EOF) && s.awaited():
			return s.drainHalf()
		default:
			return err
		}
	}
}

// maxBacklog is how much may wait to be written to a client before no more is read from it.
const maxBacklog = 4 * backlogLimit

// errCongested ends the reading from a client that does not read what it is sent.
var errCongested = errors.New("h2: the client does not read")

func (s *Session) congested() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.blocked && s.out.backlog() >= maxBacklog
}

// awaitRoom waits until a client has read some of what it was sent, and goes on with what was read from it before.
func (s *Session) awaitRoom() error {
	tick := time.NewTicker(halfStep)
	defer tick.Stop()
	for {
		<-tick.C
		room, failed := s.hasRoom()
		switch {
		case failed != nil:
			return failed
		case s.client.Conn.Interrupted():
			return transport.ErrInterrupted
		case s.client.Conn.Ending() == transport.Broken:
			return io.ErrUnexpectedEOF
		case room:
			return s.in.again()
		}
	}
}

func (s *Session) hasRoom() (room bool, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.backlog() < backlogLimit, s.out.failed
}

// open begins with our SETTINGS.
func (s *Session) open() {
	defer s.batch.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client.Activity.Set(drive.Idle)
	s.now, s.opened = time.Now(), true
	s.flood.Init(http2.Server, s.now)
	s.account = s.driver.buffers.of(s.client.Pod)
	s.in.account, s.out.account = s.account, s.account
	o := s.ours.Append(s.out.buffer())
	if increment := s.account.open(&s.recv); increment > 0 {
		o = http2.AppendWindowUpdate(o, 0, increment)
	}
	s.out.put(o)
	s.batch.add(&s.out)
}

// awaited reports whether a client that has ended its side waits for responses still (rule 4).
func (s *Session) awaited() bool { return s.unfinished() && !s.client.Left() }

func (s *Session) unfinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams) > 0 || s.out.writing && s.out.failed == nil
}

// halfStep is how often it is checked whether a client that has ended its side is still there.
const halfStep = 50 * time.Millisecond

// drainHalf waits until a client that has ended its side has its responses, or has gone.
func (s *Session) drainHalf() error {
	tick := time.NewTicker(halfStep)
	defer tick.Stop()
	for s.awaited() {
		<-tick.C
	}
	return io.EOF
}

// sayGoodbye tells the client why its connection ends.
func (s *Session) sayGoodbye(err error) {
	bad, broken := errors.AsType[*http2.Error](err)
	s.appendGoodbye(err, bad)
	s.batch.flush()
	s.out.await()
	if broken {
		s.linger()
	}
}

func (s *Session) appendGoodbye(err error, bad *http2.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case bad != nil:
		s.out.put(http2.AppendGoAway(s.out.buffer(), s.lastID, bad.Code, bad.Error()))
		s.refused(bad, nil)
		s.out.last = true
	case errors.Is(err, transport.ErrInterrupted) && s.out.failed == nil:
		s.out.put(http2.AppendGoAway(s.out.buffer(), s.lastID, http2.NoError, ""))
	default:
		return
	}
	s.batch.add(&s.out)
}

// lingerFor is how long a client whose connection is ended for what it has sent may go on sending: closing with bytes unread would destroy
// what it was sent.
const lingerFor = time.Second

func (s *Session) linger() {
	var waste [4 << 10]byte
	for end, now := time.Now().Add(lingerFor), time.Now(); now.Before(end); now = time.Now() {
		if _, err := s.client.Conn.Read(waste[:], now, end); err != nil {
			return
		}
	}
}

// end gives back whatever the session holds.
func (s *Session) end() {
	private := s.endStreams()
	s.client.Conn.StopWriting()
	s.beside.Wait()
	s.out.slow.Wait()
	if private != nil {
		private.Close()
	}
	s.returnMemory()
}

// endStreams ends the streams that are open, and returns the pool for those that no policy governs, if there is one.
func (s *Session) endStreams() *upstream.Pool {
	defer s.batch.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = time.Now()
	why := routes.DetailClientLeft
	if s.out.tooMuch {
		why = routes.DetailMemory
	}
	for _, x := range s.streams {
		s.contained(func() { x.clientGone(http2.Cancel, why, &s.batch) })
	}
	s.unpin()
	s.over = true
	s.timer.Stop()
	return s.private
}

// remove takes a stream from those that are open.
func (s *Session) remove(x *stream, b *batch) {
	delete(s.streams, x.id)
	s.heads -= x.headSize
	s.unschedule(x)
	dialling := x.abandoned
	x.phase = over
	if !dialling {
		s.free(x)
	}
	if len(s.streams) == 0 {
		s.rested(b)
	}
}

// sendHeaders appends a header block of a stream.
func (s *Session) sendHeaders(x *stream, head *http2.Block, end bool, b *batch) {
	o := http2.Outgoing{Stream: x.id, EndStream: end, MaxFrame: s.peer.MaxFrameSize}
	s.out.put(s.enc.AppendHeaders(s.out.buffer(), head, &o))
	s.flood.Sent(1)
	b.add(&s.out)
}

// reset appends RST_STREAM.
func (s *Session) reset(x *stream, c http2.Code, b *batch) {
	s.out.put(http2.AppendRSTStream(s.out.buffer(), x.id, c))
	b.add(&s.out)
}

// giveBack opens the connection's window again.
func (s *Session) giveBack(n uint32, b *batch) {
	if n == 0 {
		return
	}
	if increment := s.account.open(&s.recv) + s.recv.Consume(n); increment > 0 {
		s.out.put(http2.AppendWindowUpdate(s.out.buffer(), 0, increment))
		b.add(&s.out)
	}
}

// resume is called when the client's kernel has taken what it did not take before.
func (s *Session) resume() { flushed(s.sendOn) }

func (s *Session) sendOn(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = time.Now()
	s.unblock(b)
}

// unblock has the streams send on that wait for the connection, in turn.
func (s *Session) unblock(b *batch) {
	for len(s.blocked) > 0 && s.send.Available() > 0 && !s.out.full() {
		blocked, before := s.blocked, s.out.appended
		s.blocked = nil
		for _, x := range blocked {
			x.blocked = false
			if x.phase == forwarding {
				s.turn.begin()
				x.relay(x.answer, nil, b)
				s.turn.end()
			}
		}
		if s.out.appended == before {
			return
		}
	}
}

// clock takes in a reading of the clock, which another goroutine may have made before the last one.
func (s *Session) clock(now time.Time) {
	if now.After(s.now) {
		s.now = now
	}
}
