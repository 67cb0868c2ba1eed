package routes

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

func TestWhatAHostSpeaksIsKnownForAWhile(t *testing.T) {
	now := time.Now()
	alpn := &tlslayer.Error{Reason: tlslayer.ALPN}
	for name, tc := range map[string]struct {
		do   func(s *spoken)
		want string
	}{
		"nothing was tried":        {func(*spoken) {}, ""},
		"it has chosen HTTP/2":     {func(s *spoken) { s.shaken(upstream.Either, tlslayer.HTTP2, nil, now) }, tlslayer.HTTP2},
		"it has chosen HTTP/1.1":   {func(s *spoken) { s.shaken(upstream.Either, tlslayer.HTTP1, nil, now) }, tlslayer.HTTP1},
		"it has chosen none":       {func(s *spoken) { s.shaken(upstream.Either, "", nil, now) }, tlslayer.HTTP1},
		"it was not asked":         {func(s *spoken) { s.shaken(upstream.OneByOne, tlslayer.HTTP1, nil, now) }, ""},
		"it speaks what is needed": {func(s *spoken) { s.shaken(upstream.Many, tlslayer.HTTP2, nil, now) }, tlslayer.HTTP2},
		"long ago":                 {func(s *spoken) { s.shaken(upstream.Either, tlslayer.HTTP2, nil, now.Add(-spokenFor)) }, ""},
		"long ago, and again": {func(s *spoken) {
			s.shaken(upstream.Either, tlslayer.HTTP2, nil, now.Add(-spokenFor))
			s.shaken(upstream.Many, tlslayer.HTTP2, nil, now.Add(-time.Minute))
		}, tlslayer.HTTP2},
		"it does not any more": {func(s *spoken) {
			s.shaken(upstream.Either, tlslayer.HTTP2, nil, now)
			s.shaken(upstream.Many, "", alpn, now)
		}, ""},
		"it fails in another way": {func(s *spoken) {
			s.shaken(upstream.Either, tlslayer.HTTP2, nil, now)
			s.shaken(upstream.Many, "", &tlslayer.Error{Reason: tlslayer.Expired}, now)
			s.shaken(upstream.Many, "", errors.New("reset"), now)
		}, tlslayer.HTTP2},
	} {
		s := newSpoken()
		tc.do(s)
		if got, ok := s.known(now); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, ok, tc.want)
		}
	}
}

// Of those who ask at a time one does, also where nothing is found out; whoever comes later asks again.
func TestAHostIsAskedByOneAtATime(t *testing.T) {
	for name, found := range map[string]string{"it answers": tlslayer.HTTP2, "it does not": ""} {
		t.Run(name, func(t *testing.T) {
			s := newSpoken()
			var asked atomic.Int64
			begun, answers := make(chan struct{}), make(chan struct{})
			ask := func(context.Context) {
				if asked.Add(1) == 1 {
					close(begun)
				}
				<-answers
				if found != "" {
					s.shaken(upstream.Either, found, nil, time.Now())
				}
			}
			var all sync.WaitGroup
			all.Go(func() { _ = s.ask(t.Context(), time.Now(), ask) })
			<-begun
			var came sync.WaitGroup
			for range 20 {
				came.Add(1)
				all.Go(func() {
					before := time.Now() // what is found out later is news to it
					came.Done()
					if got := s.ask(t.Context(), before, ask); got != found {
						t.Errorf("got %q", got)
					}
				})
			}
			came.Wait()
			close(answers)
			all.Wait()
			if n := asked.Load(); n != 1 {
				t.Errorf("it was asked %d times", n)
			}
			_ = s.ask(t.Context(), time.Now(), ask)
			if n := asked.Load(); n != 2 {
				t.Errorf("asked %d times in the end", n)
			}
		})
	}
}

// A host that was asked in vain, and by nobody who left, is not asked again for a moment, unless a connection shows what it speaks.
func TestAHostThatWasAskedInVainIsLeftAlone(t *testing.T) {
	s, asked := newSpoken(), 0
	silent := func(context.Context) { asked++ }
	after := func(d time.Duration, want string, times int) {
		t.Helper()
		_, at := s.last()
		if got := s.speaks(t.Context(), at.Add(d), silent); got != want || asked != times {
			t.Errorf("got %q, asked %d times; want %q, %d", got, asked, want, times)
		}
	}
	after(0, "", 1)
	after(vainFor-1, "", 1)
	after(vainFor, "", 2)
	s.shaken(upstream.Many, tlslayer.HTTP2, nil, time.Now())
	after(vainFor-1, tlslayer.HTTP2, 2)
	leaving, leave := context.WithCancel(t.Context())
	s = newSpoken()
	_ = s.speaks(leaving, time.Now(), func(context.Context) { asked++; leave() })
	after(0, "", 4)
}

// Who leaves ends what he has begun, and those who wait go on without him.
func TestWhoLeavesAsksNoMore(t *testing.T) {
	s := newSpoken()
	leaving, leave := context.WithCancel(t.Context())
	begun := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = s.ask(leaving, time.Now(), func(ctx context.Context) { close(begun); <-ctx.Done() })
	})
	<-begun
	before := time.Now()
	gone, end := context.WithCancel(t.Context())
	end()
	if got := s.ask(gone, time.Now(), func(context.Context) { t.Error("it has left already, and asks") }); got != "" {
		t.Errorf("got %q", got)
	}
	leave()
	got := s.ask(t.Context(), before, func(context.Context) { s.shaken(upstream.Either, tlslayer.HTTP2, nil, time.Now()) })
	if all.Wait(); got != tlslayer.HTTP2 {
		t.Errorf("got %q", got)
	}
}
