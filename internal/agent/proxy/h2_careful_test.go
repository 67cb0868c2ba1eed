package proxy

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// What must not be sent twice goes out on a connection whose server was heard just now, on one that the same client used last, or on a new one.
func TestRule25_UnsafeMethodsTakeProvenConnectionsOverHTTP2(t *testing.T) {
	const long = 600 * time.Millisecond // longer than a connection counts as proven for everybody
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		_, _ = s.Body()
		_ = s.Respond(200, nil, nil)
	})
	mine, other := w.dialH2(http2test.Options{}), w.dialH2(http2test.Options{})
	pause := func() {
		silence := time.NewTimer(long)
		defer silence.Stop()
		<-silence.C
	}
	for _, step := range []struct {
		what   string
		client *http2test.Conn
		post   bool
		after  bool // a pause
		want   int64
	}{
		{"the first request", mine, false, false, 1},
		{"the same client's, later", mine, true, true, 1},
		{"another client's, at once", other, true, false, 1},
		{"a safe one of a client, later", mine, false, true, 1},
		{"another client's, later", other, true, true, 2},
	} {
		if step.after {
			pause()
		}
		method := "GET"
		if step.post {
			method = "POST"
		}
		statusOf(t, must(step.client.Request(true, http2test.Head(method, "up.example", "/")))(t))
		if n := w.dialer.dials.Load(); n != step.want {
			t.Fatalf("%s: %d connections, want %d", step.what, n, step.want)
		}
	}
}

// Where there may be no other connection the one that is there is used.
func TestRule25_ALimitOnConnectionsHoldsForUnsafeMethodsOverHTTP2(t *testing.T) {
	release := newBarrier()
	defer release.now()
	w, srv := scripted(t, toAnyH2(func(s *policy.Settings) { s.Pool.MaxConnections = 1 }), func(n int, s *http2test.Stream) {
		if n == 0 {
			<-release.C
		}
		_ = s.Respond(200, nil, nil)
	})
	first := must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t)
	srv.AwaitConn(0)
	silence := time.NewTimer(600 * time.Millisecond)
	defer silence.Stop()
	<-silence.C
	if status, head := statusOf(t, must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)); status != "200" {
		t.Errorf("got %v", head)
	}
	release.now()
	statusOf(t, first)
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
