package proxy

import (
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// sipping is a client's connection that reads little at a time, and only as the test says.
type sipping struct {
	net.Conn
	sips chan struct{} // one for each read; closed: it reads all
}

func (c *sipping) Read(b []byte) (int, error) {
	<-c.sips
	return c.Conn.Read(b[:min(len(b), 16<<10)])
}

// dialSipping is dialH2 by a client whose kernel takes little.
func (w *testProxy) dialSipping(o http2test.Options) (c *http2test.Conn, sip func(), drink func()) {
	w.t.Helper()
	d := net.Dialer{}
	nc := must(d.Dial("tcp", w.captured.Addr().String()))(w.t).(*net.TCPConn)
	check(w.t, nc.SetReadBuffer(64<<10))
	end := nc.LocalAddr().(*net.TCPAddr).AddrPort()
	w.dialer.closed.Store(end, false)
	w.t.Cleanup(func() { w.dialer.closed.Store(end, true) })
	s := &sipping{Conn: nc, sips: make(chan struct{}, 1)}
	var once sync.Once
	drink = func() { once.Do(func() { close(s.sips) }) }
	c = http2test.Speak(w.t, s, o)
	w.t.Cleanup(drink)
	sip = func() {
		late := time.NewTimer(10 * time.Millisecond)
		defer late.Stop()
		select {
		case s.sips <- struct{}{}:
		case <-late.C: // it has read all there is
		}
	}
	return c, sip, drink
}

// The end of a large response is not cut: a connection is idle, and has come to its end, once its client's kernel has taken everything, however
// slowly the client reads.
func TestADrainDoesNotCutWhatIsBeingSent(t *testing.T) {
	const size = 8 << 20
	for name, drained := range map[string]func(w *testProxy, srv *http2test.Server){
		"idle": func(w *testProxy, _ *http2test.Server) { w.server.closeIdle(time.Now().Add(time.Hour)) },
		"left by its server": func(_ *testProxy, srv *http2test.Server) {
			srv.AwaitConn(0).Close() // the connection is pinned
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, srv := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) { _ = s.Respond(200, make([]byte, size), nil) })
			c, sip, drink := w.dialSipping(http2test.Options{
				HoldWindows: true, DiscardBodies: true, Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}},
			})
			check(t, c.GiveWindow(1<<30))
			s := must(c.Get("up.example", "/", nil))(t)
			ended := func() bool {
				w.seen.mu.Lock()
				defer w.seen.mu.Unlock()
				return len(w.seen.calls) > 0
			}
			for !ended() { // until the last of it waits to be written
				sip()
			}
			for range 5 { // less than what waits
				drained(w, srv)
				sip()
			}
			drink()
			if n, err := s.Received(size); err != nil {
				t.Errorf("%d bytes came: %v", n, err)
			}
			if _, err := s.Body(); err != nil {
				t.Error(err)
			}
		})
	}
}
