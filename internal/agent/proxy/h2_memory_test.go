package proxy

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// installFor has a policy govern several pods.
func (w *testProxy) installFor(b policy.Binding, uids ...string) {
	w.t.Helper()
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: governed(b)}},
	}
	for _, uid := range uids {
		snapshot.Workloads[uid] = &policy.Workload{UID: uid, Namespace: "ns", Name: uid, Profile: "p"}
	}
	if r := w.store.Install(snapshot); len(r) > 0 {
		w.t.Fatalf("rejected: %v", r)
	}
}

// dialH2As is dialH2 by a pod.
func (w *testProxy) dialH2As(uid string, o http2test.Options) *http2test.Conn {
	w.t.Helper()
	return http2test.Speak(w.t, w.connectAs(uid), o)
}

// connectAs opens a connection of a pod.
func (w *testProxy) connectAs(uid string) *net.TCPConn {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	defer l.Close()
	c := must(net.Dial("tcp", l.Addr().String()))(w.t)
	captured := must(l.Accept())(w.t)
	end := c.LocalAddr().(*net.TCPAddr).AddrPort()
	w.dialer.closed.Store(end, false)
	var served sync.WaitGroup
	served.Go(func() { w.server.ServeCaptured(uid, captured.(*net.TCPConn), w.original) })
	w.t.Cleanup(func() {
		w.dialer.closed.Store(end, true)
		c.Close()
		served.Wait()
	})
	return c.(*net.TCPConn)
}

// endless answers without end, but for /small, and for /wait which it does not answer.
func endless(_ int, s *http2test.Stream) {
	head, _ := s.Head()
	switch head.Get(":path") {
	case "/small":
		_ = s.Respond(200, make([]byte, 32<<10), nil)
		return
	case "/wait":
		_, _ = s.AwaitReset()
		return
	}
	_ = s.Headers(false, http2test.F(":status", "200"))
	for s.Data(make([]byte, 16<<10), false) == nil {
	}
}

// slowly opens streams whose responses are not taken beyond the first 64 KiB.
func slowly(t *testing.T, c *http2test.Conn, n int) (streams []*http2test.Stream) {
	t.Helper()
	for range n {
		s := must(c.Get("up.example", "/", nil))(t)
		must(s.Received(65535))(t)
		streams = append(streams, s)
	}
	return streams
}

// A pod whose clients take nothing of many responses holds no more than its share, and another pod's calls go on as if it were not there.
func TestRule31_OnePodsSlowClientsCostNoOtherPod(t *testing.T) {
	const limit = 8 << 20
	w, _ := scriptedWith(t, Options{buffers: limit}, toAnyH2(nil), endless)
	w.installFor(toAnyH2(nil), pod, "greedy")
	greedy := w.dialH2As("greedy", http2test.Options{HoldWindows: true})
	check(t, greedy.GiveWindow(1<<30))
	for range 60 { // each would be kept for 256 KiB of
		must(greedy.Get("up.example", "/", nil))(t)
	}
	poll(t, func() bool { return w.server.h2.Buffered() > limit/4 })
	c := w.dialH2As(pod, http2test.Options{HoldWindows: true})
	check(t, c.GiveWindow(1<<30))
	before := w.server.h2.Buffered()
	slowly(t, c, 7)
	poll(t, func() bool { return w.server.h2.Buffered() > before+5<<18 }) // more than its server's connection may carry at a time
	for range 10 {
		s := must(c.Get("up.example", "/small", nil))(t)
		if body := must(s.Body())(t); len(body) != 32<<10 {
			t.Errorf("%d bytes came", len(body))
		}
	}
	if n := w.server.h2.Buffered(); n > limit {
		t.Errorf("%d bytes are kept", n)
	}
}

// A pod that goes on to take memory loses the streams for which it is taken, and gets no more of them; it can go on when it has given some back.
func TestRule31_APodThatHoldsTooMuchLosesItsOwnStreams(t *testing.T) {
	const limit = 256 << 10 // twice a pod's share of which is less than a stream's window
	w, _ := scriptedWith(t, Options{buffers: limit}, toAnyH2(nil), endless)
	w.installFor(toAnyH2(nil), pod, "greedy")
	other := w.dialH2As(pod, http2test.Options{})
	greedy := w.dialH2As("greedy", http2test.Options{HoldWindows: true})
	check(t, greedy.GiveWindow(1<<30))
	wait := must(other.Get("up.example", "/wait", nil))(t)
	for range 4 {
		s := must(greedy.Get("up.example", "/", nil))(t)
		if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeEnhanceYourCalm {
			t.Fatalf("reset %v, %v", code, err)
		}
	}
	if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Detail != routes.DetailMemory {
		t.Errorf("outcome %+v, %s", e.Outcome, e.Detail)
	}
	w.events.flooded(t, drive.ClientSide, drive.FloodStalled, 4)
	if status, _ := statusOf(t, must(greedy.Get("up.example", "/small", nil))(t)); status != "200" {
		t.Errorf("a later call got %s", status)
	}
	if status, _ := statusOf(t, must(other.Get("up.example", "/small", nil))(t)); status != "200" {
		t.Errorf("another pod got %s", status)
	}
	check(t, wait.Reset(http2.ErrCodeCancel))
	if n := w.server.h2.Buffered(); n > limit {
		t.Errorf("%d bytes are kept", n)
	}
}

// The same for requests that servers do not take.
func TestRule31_RequestsThatServersDoNotTakeAreAccountedFor(t *testing.T) {
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{HoldWindows: true},
		Conn:    func(c *http2test.Conn) { _ = c.GiveWindow(1 << 30) },
		Stream:  func(s *http2test.Stream) { _, _ = s.AwaitReset() },
	})
	w := buildWith(t, Options{buffers: 256 << 10}, srv.Addr(), toAnyH2(nil))
	c := w.dialH2(http2test.Options{})
	s := must(c.Request(false, http2test.Head("POST", "up.example", "/")))(t)
	if err := s.Data(make([]byte, 1<<20), true); err == nil {
		t.Error("the request was taken as a whole")
	}
	if code, err := s.AwaitReset(); err != nil || code != http2.ErrCodeEnhanceYourCalm {
		t.Errorf("reset %v, %v", code, err)
	}
	w.events.flooded(t, drive.ServerSide, drive.FloodStalled, 1)
	poll(t, func() bool { return w.server.h2.Buffered() < 64<<10 })
}

// Heads are memory as well: those of open streams are accounted for, and given back; where they are too much, streams are refused to the pod whose
// they are.
func TestRule30_HeadsOfOpenStreamsAreAccountedFor(t *testing.T) {
	large := http2test.F("x-large", strings.Repeat("x", 100<<10))
	t.Run("requests", func(t *testing.T) {
		w, _ := scripted(t, toAnyH2(nil), endless)
		c := w.dialH2(http2test.Options{})
		var streams []*http2test.Stream
		for range 10 {
			streams = append(streams, must(c.Get("up.example", "/wait", large))(t))
		}
		check(t, c.Ping())
		if n := w.server.h2.Buffered(); n < 10*(100<<10) {
			t.Errorf("%d bytes are accounted for", n)
		}
		for _, s := range streams {
			check(t, s.Reset(http2.ErrCodeCancel))
		}
		check(t, c.Ping())
		poll(t, func() bool { return w.server.h2.Buffered() < 100<<10 })
		c.Close()
		poll(t, func() bool { return w.server.Connections() == 0 })
	})
	t.Run("responses", func(t *testing.T) {
		w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
			_ = s.Headers(false, append(http2test.F(":status", "200"), large...))
			_, _ = s.AwaitReset()
		})
		c := w.dialH2(http2test.Options{})
		s := must(c.Get("up.example", "/", nil))(t)
		statusOf(t, s)
		if n := w.server.h2.Buffered(); n < 100<<10 {
			t.Errorf("%d bytes are accounted for", n)
		}
		check(t, s.Reset(http2.ErrCodeCancel))
		poll(t, func() bool { return w.server.h2.Buffered() < 100<<10 })
	})
	t.Run("too much", func(t *testing.T) {
		w, _ := scriptedWith(t, Options{buffers: 512 << 10}, toAnyH2(nil), endless)
		w.installFor(toAnyH2(nil), pod, "greedy")
		greedy, other := w.dialH2As("greedy", http2test.Options{}), w.dialH2As(pod, http2test.Options{})
		for range 3 {
			must(greedy.Get("up.example", "/wait", large))(t)
		}
		if code, err := must(greedy.Get("up.example", "/small", nil))(t).AwaitReset(); err != nil || code != http2.ErrCodeRefusedStream {
			t.Errorf("reset %v, %v", code, err)
		}
		if status, _ := statusOf(t, must(other.Get("up.example", "/small", nil))(t)); status != "200" {
			t.Errorf("another pod got %s", status)
		}
	})
}

// What waits to be written to a client that reads nothing is accounted for, and so is the beginning of a head.
func TestRule31_WhatConnectionsHoldIsAccountedFor(t *testing.T) {
	t.Run("output", func(t *testing.T) {
		w, _ := scripted(t, toAnyH2(nil), endless)
		c := w.dialH2(http2test.Options{NeverRead: true, Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}}})
		check(t, c.GiveWindow(1<<30))
		must(c.Get("up.example", "/", nil))(t)
		const stream = 256 << 10                                                 // is kept at most
		poll(t, func() bool { return w.server.h2.Buffered() > stream+(64<<10) }) // the rest waits to be written
		c.Abort()
		poll(t, func() bool { return w.server.h2.Buffered() == 0 })
	})
	t.Run("input", func(t *testing.T) {
		w, _ := scripted(t, toAnyH2(nil), endless)
		// Nothing is sent by itself, which would interrupt the header block.
		c := w.dialH2(http2test.Options{HoldWindows: true, NoSettingsAck: true, NoPingAck: true})
		statusOf(t, must(c.Get("up.example", "/small", nil))(t))
		s := c.Open()
		check(t, c.Frames(func(fr *http2.Framer) error {
			err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: make([]byte, 16<<10)})
			for i := 0; i < 8 && err == nil; i++ {
				err = fr.WriteContinuation(s.ID, false, make([]byte, 16<<10))
			}
			return err
		}))
		poll(t, func() bool { return w.server.h2.Buffered() >= 9*(16<<10) })
		c.Abort()
		poll(t, func() bool { return w.server.h2.Buffered() < 16<<10 })
	})
}

// A pod that opens many connections, has all of them answered at length and reads none of them holds no more than it may: what waits to be written
// is memory like any other, and connections on which it waits are ended.
func TestRule31_ClientsThatReadNothingAreBounded(t *testing.T) {
	const limit, conns = 1 << 20, 8 // on which 256 KiB could wait each
	var ended atomic.Int64
	answer := make(chan struct{})
	w, _ := scriptedWith(t, Options{buffers: limit}, toAnyH2(nil), func(n int, s *http2test.Stream) {
		if head, _ := s.Head(); head.Get(":path") != "/" {
			endless(n, s)
			return
		}
		<-answer
		endless(n, s)
		ended.Add(1)
	})
	w.installFor(toAnyH2(nil), pod, "greedy")
	large := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}}
	for range conns {
		c := w.dialH2As("greedy", http2test.Options{NeverRead: true, Settings: large})
		check(t, c.GiveWindow(1<<30))
		must(c.Get("up.example", "/", nil))(t)
	}
	other := w.dialH2As(pod, http2test.Options{})
	close(answer)
	most := int64(0)
	poll(t, func() bool {
		most = max(most, w.server.h2.Buffered())
		return ended.Load() >= conns-2
	})
	if most > limit {
		t.Errorf("%d bytes were kept", most)
	}
	if status, _ := statusOf(t, must(other.Get("up.example", "/small", nil))(t)); status != "200" {
		t.Errorf("another pod got %s", status)
	}
}
