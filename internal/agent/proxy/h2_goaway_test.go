package proxy

import (
	"fmt"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// However close the server's end comes to the beginning of a stream, the client that chose the address hears of it.
func TestRule25_NoServersEndIsMissed(t *testing.T) {
	const clients = 100
	srv := http2test.NewServer(t, http2test.Script{
		Conn:   func(c *http2test.Conn) { _ = c.GoAway(1<<31-1, http2.ErrCodeNo) },
		Stream: func(s *http2test.Stream) { _ = s.Respond(200, nil, nil) },
	})
	w := buildH2(t, srv.Addr(), toAnyH2(func(s *policy.Settings) { s.Retry.MaxRetries = 10 }))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range clients / 4 {
				c := w.dialH2(http2test.Options{})
				s, err := c.Get("up.example", "/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if head, err := s.Head(); err != nil || head.Get(":status") != "200" {
					t.Errorf("got %v, %v", head, err)
				}
				if _, err := c.AwaitEnd(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A client that says GOAWAY opens no more streams, and those that are open go on to their end.
func TestGoAwayOfAClientLetsItsStreamsEnd(t *testing.T) {
	release := newBarrier()
	defer release.now()
	w, _ := scripted(t, toAnyH2(nil), func(_ int, s *http2test.Stream) {
		body, _ := s.Body()
		<-release.C
		_ = s.Respond(200, body, nil)
	})
	c := w.dialH2(http2test.Options{})
	var streams []*http2test.Stream
	for i := range 3 {
		streams = append(streams, must(c.Request(false, http2test.Head("POST", "up.example", fmt.Sprintf("/%d", i))))(t))
	}
	check(t, c.GoAway(0, http2.ErrCodeNo))
	for _, s := range streams {
		check(t, s.Data([]byte("the rest"), true))
	}
	release.now()
	for _, s := range streams {
		if body := must(s.Body())(t); string(body) != "the rest" {
			t.Errorf("got %q", body)
		}
	}
	check(t, c.Ping())
}

// GOAWAY of a server with some of its streams above the last: those are made anew, and the others end where they are.
//
//overtls:originate,intercept
func TestRule07_GoAwayPartsTheStreamsOfAServer(t *testing.T) {
	const streams = 8
	var mu sync.Mutex
	var early []*http2test.Stream
	w, srv := scripted(t, toAnyH2(nil), func(n int, s *http2test.Stream) {
		mu.Lock()
		defer mu.Unlock()
		if n >= streams {
			_ = s.Respond(200, []byte("again"), nil)
			return
		}
		if early = append(early, s); len(early) < streams {
			return
		}
		_ = s.Conn.GoAway(7, http2.ErrCodeNo) // 1, 3, 5 and 7 are taken
		for _, each := range early {
			if each.ID <= 7 {
				_ = each.Respond(200, []byte("first"), nil)
			}
		}
	})
	c := w.dialH2(http2test.Options{})
	var all []*http2test.Stream
	for range streams {
		all = append(all, must(c.Post("up.example", "/", []byte("x"), nil))(t))
	}
	got := map[string]int{}
	for _, s := range all {
		body := must(s.Body())(t)
		got[string(body)]++
	}
	if got["first"] != 4 || got["again"] != 4 {
		t.Errorf("got %v", got)
	}
	if _, err := srv.AwaitConn(0).AwaitEnd(); err != nil {
		t.Error(err)
	}
}

// A second GOAWAY may lower the last stream (RFC 9113 section 6.8).
//
//overtls:originate,intercept
func TestRule07_ASecondGoAwayCounts(t *testing.T) {
	w, _ := scripted(t, toAnyH2(nil), func(n int, s *http2test.Stream) {
		if n > 0 {
			_ = s.Respond(200, nil, nil)
			return
		}
		_ = s.Conn.GoAway(1<<31-1, http2.ErrCodeNo)
		_ = s.Conn.Ping()
		_ = s.Conn.GoAway(0, http2.ErrCodeNo)
	})
	if status, head := statusOf(t, must(w.dialH2(http2test.Options{}).Post("up.example", "/", []byte("x"), nil))(t)); status != "200" {
		t.Errorf("got %v", head)
	}
}
