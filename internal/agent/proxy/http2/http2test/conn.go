package http2test

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Patience is how long anything waits before it fails.
const Patience = 30 * time.Second

// Options say how a peer behaves apart from its scripts.
type Options struct {
	// Settings are sent at the beginning.
	Settings []http2.Setting
	// HoldWindows: no window is given back but by GiveWindow.
	HoldWindows bool
	// NoSettingsAck: SETTINGS are not acknowledged.
	NoSettingsAck bool
	// NoPingAck: PINGs are not answered.
	NoPingAck bool
	// NeverRead: nothing is read, so that the other side's writes get stuck.
	NeverRead bool
	// DiscardBodies: what is received is counted, not kept.
	DiscardBodies bool
	// Patience is how long anything waits before it fails; 0: the constant.
	Patience time.Duration
	// Over, if not nil, is what a server puts on its connections, such as TLS.
	Over func(net.Conn) net.Conn
}

// GoAway is a GOAWAY frame that was received.
type GoAway struct {
	Last  uint32
	Code  http2.ErrCode
	Debug string
}

// Conn is one side of a connection.
type Conn struct {
	// immutable
	opts   Options
	server bool
	nc     net.Conn
	ended  chan struct{} // closed when reading has ended
	accept func(*Stream) // for streams of the other side

	wmu sync.Mutex // one frame at a time, header blocks in the order of their encoding
	fr  *http2.Framer
	enc *encoder

	mu      sync.Mutex
	changed *sync.Cond
	late    bool // somebody's patience was exhausted
	err     error
	streams map[uint32]*Stream
	next    uint32 // identifier of the next stream of our own
	counts  map[http2.FrameType]int
	acks    int // of SETTINGS
	pongs   int
	goAways []GoAway
	peer    map[http2.SettingID]uint32
	window  int64 // that we may send
	dec     *hpack.Decoder
	tables  []uint32 // sizes of our compression table that were sent and are not acknowledged; one for each SETTINGS
}

func newConn(nc net.Conn, server bool, o Options) *Conn {
	c := &Conn{opts: o, server: server, nc: nc, ended: make(chan struct{}), fr: http2.NewFramer(nc, nc), enc: newEncoder(), streams: map[uint32]*Stream{},
		next: 1, counts: map[http2.FrameType]int{}, peer: map[http2.SettingID]uint32{http2.SettingInitialWindowSize: 65535, http2.SettingMaxFrameSize: 16384},
		window: 65535, dec: hpack.NewDecoder(4096, nil)}
	c.changed = sync.NewCond(&c.mu)
	c.fr.AllowIllegalWrites, c.fr.AllowIllegalReads = true, true
	c.fr.SetMaxReadFrameSize(1<<24 - 1)
	for _, s := range o.Settings {
		if s.ID == http2.SettingHeaderTableSize {
			c.dec.SetAllowedMaxDynamicTableSize(s.Val)
		}
	}
	return c
}

// await waits until done, which is called with mu held, says so.
func (c *Conn) await(what string, done func() bool) error {
	timer := time.AfterFunc(cmp.Or(c.opts.Patience, Patience), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.late = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() {
		switch {
		case c.err != nil:
			return fmt.Errorf("%s: %w", what, c.err)
		case c.late:
			return fmt.Errorf("%s: nothing came", what)
		}
		c.changed.Wait()
	}
	return nil
}

// note changes the state under mu and tells those who wait.
func (c *Conn) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.changed.Broadcast()
}

// Frames writes frames, whatever they are, with nothing in between.
func (c *Conn) Frames(write func(fr *http2.Framer) error) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return write(c.fr)
}

// Raw writes bytes.
func (c *Conn) Raw(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, err := c.nc.Write(b)
	return err
}

// Settings sends SETTINGS.
func (c *Conn) Settings(s ...http2.Setting) error {
	return c.Frames(func(fr *http2.Framer) error {
		c.note(func() { c.tables = append(c.tables, tableOf(s)) })
		return fr.WriteSettings(s...)
	})
}

// sameTable stands for SETTINGS that do not name the size of the table.
const sameTable = 1<<32 - 1

// tableOf is the size of the table that SETTINGS name, the last one.
func tableOf(settings []http2.Setting) uint32 {
	size := uint32(sameTable)
	for _, s := range settings {
		if s.ID == http2.SettingHeaderTableSize {
			size = s.Val
		}
	}
	return size
}

// Ping sends a PING and waits for its answer.
func (c *Conn) Ping() error {
	c.mu.Lock()
	want := c.pongs + 1
	c.mu.Unlock()
	if err := c.Frames(func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{'p', 'i', 'n', 'g'}) }); err != nil {
		return err
	}
	return c.await("answer to a PING", func() bool { return c.pongs >= want })
}

// GoAway sends a GOAWAY.
func (c *Conn) GoAway(last uint32, code http2.ErrCode) error {
	return c.Frames(func(fr *http2.Framer) error { return fr.WriteGoAway(last, code, nil) })
}

// GiveWindow sends a WINDOW_UPDATE for the connection.
func (c *Conn) GiveWindow(n uint32) error {
	return c.Frames(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(0, n) })
}

// Close ends the connection.
func (c *Conn) Close() { c.nc.Close() }

// Abort ends the connection with a reset.
func (c *Conn) Abort() {
	nc := c.nc
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS, which would announce the end
		nc = over.NetConn()
	}
	if tcp, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // fails when the connection is closed already
	}
	nc.Close()
}

// Count is how many frames of a type were received.
func (c *Conn) Count(t http2.FrameType) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[t]
}

// AwaitCount waits for so many frames of a type.
func (c *Conn) AwaitCount(t http2.FrameType, n int) error {
	return c.await(fmt.Sprintf("%d %v frames", n, t), func() bool { return c.counts[t] >= n })
}

// AwaitSettingsAck waits for the n-th acknowledgement of our SETTINGS, the first ones included.
func (c *Conn) AwaitSettingsAck(n int) error {
	return c.await("acknowledgement of SETTINGS", func() bool { return c.acks >= n })
}

// PeerSetting is the value of a setting that the other side sent.
func (c *Conn) PeerSetting(id http2.SettingID) (value uint32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok = c.peer[id]
	return value, ok
}

// AwaitGoAway waits for a GOAWAY and returns the last one.
func (c *Conn) AwaitGoAway() (GoAway, error) {
	if err := c.await("GOAWAY", func() bool { return len(c.goAways) > 0 }); err != nil {
		return GoAway{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goAways[len(c.goAways)-1], nil
}

// AwaitEnd waits until the other side has ended the connection, and returns the GOAWAYs that came before.
func (c *Conn) AwaitEnd() ([]GoAway, error) {
	select {
	case <-c.ended:
	case <-time.After(cmp.Or(c.opts.Patience, Patience)):
		return nil, errors.New("the connection does not end")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goAways, nil
}
