package proxy

import (
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

const largestWindow = 1<<31 - 1

// overflow is something beyond a window. Each of its streams is a message whose head is there and whose end is not.
type overflow struct {
	streams int
	ofOne   bool // the stream ends, and not the connection
	// act errs where the connection ends in the midst of it.
	act func(streams []*http2test.Stream) error
}

// What a stream or a connection may keep for a peer that takes nothing, in frames: the first is more than a stream's window, and the second, of
// each of so many streams, is less, and together more than a connection's window behind what is kept until memory is short (overflowBuffers).
const (
	overflowFrame   = 16 << 10
	beyondStream    = 1 + (65535+256<<10)/overflowFrame
	withinStream    = 15
	togetherBeyond  = 12
	overflowBuffers = 6 << 20 // a pod's part of which is 1.5 MiB; twice that would end streams
)

func framesOn(s *http2test.Stream, n int) error {
	for range n {
		if err := s.DataAnyway(make([]byte, overflowFrame), false); err != nil {
			return err
		}
	}
	return nil
}

var overflows = map[string]overflow{
	"a setting makes a window too large": {1, false, func(s []*http2test.Stream) error {
		if err := s[0].GiveWindow(1 << 20); err != nil {
			return err
		}
		return s[0].Conn.Settings(window(largestWindow))
	}},
	"a setting is too large":        {1, false, func(s []*http2test.Stream) error { return s[0].Conn.Settings(window(largestWindow + 1)) }},
	"the connection's window grows": {1, false, func(s []*http2test.Stream) error { return s[0].Conn.GiveWindow(largestWindow) }},
	"the stream's window grows":     {1, true, func(s []*http2test.Stream) error { return s[0].GiveWindow(largestWindow) }},
	"more than the stream's window": {1, true, func(s []*http2test.Stream) error { return framesOn(s[0], beyondStream) }},
	"more than the connection's window": {togetherBeyond, false, func(all []*http2test.Stream) error {
		for _, s := range all {
			if err := framesOn(s, withinStream); err != nil {
				return err
			}
		}
		return nil
	}},
}

// refused checks that what went beyond a window was answered with FLOW_CONTROL_ERROR.
func (o *overflow) refused(t *testing.T, s *http2test.Stream) {
	t.Helper()
	if o.ofOne {
		if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeFlowControl {
			t.Errorf("reset %v, %v", code, err)
		}
		check(t, s.Conn.Ping())
		return
	}
	if g, err := s.Conn.AwaitGoAway(); err != nil || g.Code != http2.ErrCodeFlowControl {
		t.Errorf("GOAWAY %+v, %v", g, err)
	}
}

// A client that goes beyond a window, or makes one larger than there may be, loses the stream or the connection whose window it is, and another
// client nothing.
//
//overtls:originate,intercept
func TestRule31_ClientsThatGoBeyondAWindowAreRefused(t *testing.T) {
	for name, o := range overflows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{HoldWindows: true}, Stream: func(s *http2test.Stream) {
				if head, _ := s.Head(); head.Get(":method") == "GET" {
					_ = s.Respond(200, nil, nil)
				}
			}})
			w := buildWith(t, Options{sniffDelay: patience, buffers: overflowBuffers}, srv.Addr(), toAnyH2(nil))
			c := w.dialH2(http2test.Options{})
			var streams []*http2test.Stream
			for range o.streams {
				streams = append(streams, must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t))
			}
			_ = o.act(streams)
			o.refused(t, streams[0])
			w.events.flooded(t, drive.ClientSide, drive.FloodWindow, 1)
			if status, _ := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)); status != "200" {
				t.Errorf("another client got %s", status)
			}
		})
	}
}

// The same of a server: its calls are cut as where the protocol is broken, and the next one is served.
//
//overtls:originate,intercept
func TestRule31_ServersThatGoBeyondAWindowAreRefused(t *testing.T) {
	for name, o := range overflows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			came := make(chan *http2test.Stream, togetherBeyond)
			srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
				if head, _ := s.Head(); head.Get(":path") == "/next" {
					_ = s.Respond(200, nil, nil)
					return
				}
				_ = s.Headers(false, http2test.F(":status", "200"))
				came <- s
			}})
			w := buildWith(t, Options{sniffDelay: patience, buffers: overflowBuffers}, srv.Addr(), toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
			c := w.dialH2(http2test.Options{HoldWindows: true})
			statusOf(t, must(c.Get("up.example", "/next", nil))(t)) // on the connection that the others share
			w.seen.forget(t)
			var streams []*http2test.Stream
			for range o.streams {
				statusOf(t, must(c.Get("up.example", "/", nil))(t))
				streams = append(streams, <-came)
			}
			_ = o.act(streams)
			if o.streams == 1 { // a connection on which more comes is reset when it is closed
				o.refused(t, streams[0])
			}
			w.events.flooded(t, drive.ServerSide, drive.FloodWindow, 1)
			if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Outcome.Kind != call.OK {
				t.Errorf("outcome %+v", e.Outcome)
			}
			if status, _ := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/next", nil))(t)); status != "200" {
				t.Errorf("the next call got %s", status)
			}
		})
	}
}
