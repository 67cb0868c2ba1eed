package proxy

import (
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// What a call leaves behind is nothing to the next one of its client's connection: that a server did not want the rest of one request says
// nothing of the next, whose body may come while its connection is still made.
func TestRule18_ABodyThatComesBeforeItsConnectionIsSentOverHTTP2(t *testing.T) {
	var n atomic.Int64
	bodies := make(chan string, 2)
	srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
		if n.Add(1) == 1 { // answered early
			_ = s.Respond(200, nil, nil)
			_ = s.Reset(http2.ErrCodeNo)
			return
		}
		b, err := s.Body()
		if err != nil {
			t.Error(err)
		}
		bodies <- string(b)
		_ = s.Respond(200, nil, nil)
	}})
	w := buildNamed(t, srv.Addr(), toHost("up.example", nil))
	w.names.set("up.example", dead, alive)
	c := w.dialH2(http2test.Options{})
	early := must(c.Request(false, http2test.Head("POST", "up.example", "/early")))(t)
	statusOf(t, early)
	if code := must(early.AwaitReset())(t); code != http2.ErrCodeNo {
		t.Errorf("reset with %v", code)
	}
	w.dialer.silent.Store(w.original, true) // it is overtaken, after a while
	next := must(c.Request(false, http2test.Head("POST", "up.example", "/next")))(t)
	check(t, next.Data([]byte("whole"), true))
	check(t, c.Ping()) // the body is there
	if status, head := statusOf(t, next); status != "200" {
		t.Fatalf("got %v", head)
	}
	if body := <-bodies; body != "whole" {
		t.Errorf("the server was sent %q", body)
	}
}
