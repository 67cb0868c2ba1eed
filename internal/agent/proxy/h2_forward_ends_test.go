package proxy

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// forwardingH2 is a proxy between clients and a server that have agreed on what they say.
type forwardingH2 struct {
	t      *testing.T
	world  *testProxy
	window uint32 // of the server's streams, at first
	// leaveAfter is after how many streams the server ends a connection; 0: it does not.
	leaveAfter int

	talks map[string]*talk // by id; immutable once the clients call

	mu   sync.Mutex
	came map[string]int // how often each talk came to the server
	last map[*http2test.Conn]*taken
}

// taken are the streams that the server has taken on a connection.
type taken struct {
	count   int
	highest uint32
	leaving bool // those above the highest were not
}

// take takes a stream, unless the server has said that it was not.
func (f *forwardingH2) take(s *http2test.Stream) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.last[s.Conn]
	if c == nil {
		c = &taken{}
		f.last[s.Conn] = c
	}
	if c.leaving {
		return s.ID <= c.highest
	}
	c.count++
	c.highest = max(c.highest, s.ID)
	if c.leaving = c.count == f.leaveAfter; c.leaving {
		_ = s.Conn.GoAway(c.highest, http2.ErrCodeNo)
	}
	return true
}

// serve is the server's side of a stream.
func (f *forwardingH2) serve(s *http2test.Stream) {
	head, err := s.Head()
	if err != nil || !f.take(s) {
		return
	}
	k := f.talks[head.Get("x-id")]
	if k == nil {
		f.t.Errorf("the server is sent what no client asks for: %v", head)
		_ = s.Reset(http2.ErrCodeInternal)
		return
	}
	f.mu.Lock()
	f.came[k.id]++
	first := f.came[k.id] == 1
	f.mu.Unlock()
	if d := cmp.Diff(k.request, head); d != "" {
		f.t.Errorf("the request %s has another head (-want +got):\n%s", k.id, d)
	}
	if f.window == 0 {
		_ = s.GiveWindow(k.late)
	}
	switch {
	case k.refused && first:
		_ = s.Reset(http2.ErrCodeRefusedStream)
	case k.early:
		if f.answer(k, s); k.breaks == -1 {
			f.request(k, s)
		}
	default:
		if f.request(k, s) {
			f.answer(k, s)
		}
	}
}

// request reads a request to its end, which it reports if there is one.
func (f *forwardingH2) request(k *talk, s *http2test.Stream) bool {
	body, err := s.Body()
	want := text(k.body)
	if code, reset := http2test.IsReset(err); reset {
		if k.leaves < 0 && k.breaks == -1 || !strings.HasPrefix(want, string(body)) {
			f.t.Errorf("the request %s is reset with %v behind %d bytes of %d", k.id, code, len(body), len(want))
		}
		return false
	}
	if err != nil {
		return false // the connection has ended, as it does at the end of the test
	}
	if string(body) != want {
		f.t.Errorf("the request %s has another body: %d bytes instead of %d", k.id, len(body), len(want))
	}
	trailers, _ := s.Trailers()
	if d := cmp.Diff(k.trailers, trailers); d != "" {
		f.t.Errorf("the request %s has other trailers (-want +got):\n%s", k.id, d)
	}
	return true
}

// answer sends the response of a talk, as far as it gets.
func (f *forwardingH2) answer(k *talk, s *http2test.Stream) {
	for _, i := range k.interims {
		_ = s.HeadersIn(k.replyShape, false, i)
	}
	if k.breaks == -2 {
		_ = s.Reset(k.code)
		return
	}
	_ = s.HeadersIn(k.replyShape, k.breaks < 0 && len(k.reply) == 0 && k.replyTrailers == nil, k.response)
	_ = send(s, k.reply, k.breaks, k.replyTrailers, k.replyShape) // the client's to miss
	if k.breaks >= 0 {
		_ = s.Reset(k.code)
	}
}

// send sends a body and trailers; of a body that breaks off only so many pieces.
func send(s *http2test.Stream, body []piece, breaks int, trailers http2test.Fields, shape http2test.Shape) error {
	pieces := body
	if breaks >= 0 {
		pieces = body[:breaks]
	}
	for i, p := range pieces {
		if err := p.send(s, breaks < 0 && trailers == nil && i == len(body)-1); err != nil {
			return err
		}
	}
	if breaks < 0 && trailers != nil {
		return s.HeadersIn(shape, true, trailers)
	}
	return nil
}

func (p *piece) send(s *http2test.Stream, end bool) error {
	if p.pad < 0 {
		return s.Data([]byte(p.data), end)
	}
	for rest := []byte(p.data); ; {
		n, err := s.Padded(rest, p.pad, end)
		if rest = rest[n:]; err != nil || len(rest) == 0 {
			return err
		}
	}
}

// talkingClient is a client's connection.
type talkingClient struct {
	*forwardingH2
	settings []http2.Setting
	window   uint32 // of its streams, at first
	table    uint32 // how large its table may be
	talks    []*talk
	noise    *rand.Rand

	conn *http2test.Conn
}

// run begins all talks of the client.
func (c *talkingClient) run(all *sync.WaitGroup) {
	c.conn = c.world.dialH2(http2test.Options{Settings: c.settings})
	for _, k := range c.talks {
		all.Go(func() { c.talk(k) })
		c.makeNoise()
	}
}

// makeNoise sends frames that change nothing.
func (c *talkingClient) makeNoise() {
	switch c.noise.IntN(8) {
	case 0:
		_ = c.conn.Ping()
	case 1:
		_ = c.conn.Frames(func(fr *http2.Framer) error { return fr.WriteRawFrame(0xbe, 0xff, 0, []byte("nothing")) })
	case 2:
		_ = c.conn.Frames(func(fr *http2.Framer) error {
			return fr.WritePriority(101, http2.PriorityParam{StreamDep: 3, Weight: 9})
		})
	case 3:
		// Never more than before: the decoder of x/net takes no two updates in a block, as they follow from less and then more (RFC 7541 section
		// 4.2), unless the first one empties its table.
		c.table = c.noise.Uint32N(c.table + 1)
		_ = c.conn.Settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: c.table})
	case 4:
		if c.window > 0 {
			_ = c.conn.Settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 + c.noise.Uint32N(1<<20)})
		}
	}
}

// talk is the client's side of a stream.
func (c *talkingClient) talk(k *talk) {
	s, err := c.conn.RequestIn(k.shape, k.leaves < 0 && len(k.body) == 0 && k.trailers == nil, k.request)
	if err != nil {
		c.t.Error(err)
		return
	}
	if c.window == 0 {
		_ = s.GiveWindow(k.late)
	}
	err = send(s, k.body, k.leaves, k.trailers, k.shape)
	if k.leaves >= 0 {
		_ = s.Reset(http2.ErrCodeCancel)
		return
	}
	if _, reset := http2test.IsReset(err); err != nil && !reset {
		c.t.Errorf("the request %s cannot be sent: %v", k.id, err)
		return
	}
	c.response(k, s)
}

// response reads the response of a talk.
func (c *talkingClient) response(k *talk, s *http2test.Stream) {
	head, err := s.Head()
	if k.breaks == -2 {
		if err != nil || head.Get(":status") != "502" || head.Get("fairlead-reason") != "reset" {
			c.t.Errorf("%s, reset without an answer, is answered %v, %v", k.id, head, err)
		}
		return
	}
	if err != nil {
		c.t.Errorf("%s is not answered: %v", k.id, err)
		return
	}
	if why := head.Get("fairlead-reason"); why != "" {
		c.t.Errorf("%s is answered by the agent: %s", k.id, why)
		return
	}
	interims, err := s.Interims(len(k.interims))
	if d := cmp.Diff(k.interims, interims); err != nil || d != "" {
		c.t.Errorf("%s has other interim responses: %v (-want +got):\n%s", k.id, err, d)
	}
	if d := cmp.Diff(k.response, head); d != "" {
		c.t.Errorf("the response to %s has another head (-want +got):\n%s", k.id, d)
	}
	body, err := s.Body()
	want := text(k.reply)
	if code, reset := http2test.IsReset(err); reset {
		if k.breaks < 0 || code != k.code || !strings.HasPrefix(want, string(body)) {
			c.t.Errorf("the response to %s is reset with %v behind %d bytes of %d", k.id, code, len(body), len(want))
		}
		return
	}
	if err != nil || k.breaks >= 0 || string(body) != want {
		c.t.Errorf("the response to %s has %d bytes instead of %d, and breaks off: %v (%v)", k.id, len(body), len(want), k.breaks >= 0, err)
	}
	trailers, err := s.Trailers()
	if d := cmp.Diff(k.replyTrailers, trailers); d != "" || err != nil {
		c.t.Errorf("the response to %s has other trailers: %v (-want +got):\n%s", k.id, errors.Unwrap(err), d)
	}
}
