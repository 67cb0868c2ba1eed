package routes

import (
	"context"
	"errors"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// spokenFor is how long it is known what a host speaks. HTTP/2 is known for as long again with each connection for it.
const spokenFor = 5 * time.Minute

// vainFor is how long a host is not asked again that was asked in vain: each question is a connection of its own, and its client waits for it.
const vainFor = 5 * time.Second

// spoken is what a host chooses that is offered HTTP/2 and HTTP/1.1 by ALPN, as far as it is known: for all pods of the node. It is kept with the
// destination, so it is bounded with them.
type spoken struct {
	asking chan struct{} // holds one while somebody asks the host

	mu sync.Mutex
	// guarded by mu
	protocol string    // an ALPN; empty: not known
	vain     bool      // it was asked in vain
	at       time.Time // since when it is so; zero: it was not asked
}

func newSpoken() *spoken { return &spoken{asking: make(chan struct{}, 1)} }

// known returns what is known at a time, and whether it is: empty for a host that was asked in vain a moment ago.
func (s *spoken) known(now time.Time) (protocol string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vain {
		return "", now.Sub(s.at) < vainFor
	}
	if s.protocol == "" || now.Sub(s.at) >= spokenFor {
		return "", false
	}
	return s.protocol, true
}

// last returns what was found out last, and when; nothing, if it was asked in vain.
func (s *spoken) last() (protocol string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.protocol, s.at
}

func (s *spoken) note(protocol string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.protocol, s.vain, s.at = protocol, false, now
}

func (s *spoken) noteVain(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.protocol, s.vain, s.at = "", true, now
}

// shaken notes what a handshake has shown, or why it has failed.
func (s *spoken) shaken(carries upstream.Carries, protocol string, err error, now time.Time) {
	var failed *tlslayer.Error
	switch {
	case s == nil:
	case err == nil && protocol == tlslayer.HTTP2:
		s.note(tlslayer.HTTP2, now)
	case err == nil && carries == upstream.Either:
		s.note(tlslayer.HTTP1, now)
	case errors.As(err, &failed) && failed.Reason == tlslayer.ALPN: // it has changed
		s.note("", now)
	}
}

// ask returns what the host speaks, for which ask makes a connection. Of those who ask at the same time one does, and the others take what it
// has found out since they came, be it nothing. A client that goes away ends what it has begun, and no more.
func (s *spoken) ask(ctx context.Context, came time.Time, ask func(context.Context)) string {
	select {
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return ""
	}
	defer func() { <-s.asking }()
	if ctx.Err() != nil {
		return ""
	}
	if protocol, at := s.last(); at.After(came) {
		return protocol
	}
	ask(ctx)
	protocol, at := s.last()
	if at.After(came) {
		return protocol
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.noteVain(time.Now())
	}
	return ""
}

// speaks returns what is known at a time, and else asks.
func (s *spoken) speaks(ctx context.Context, now time.Time, ask func(context.Context)) string {
	if protocol, ok := s.known(now); ok {
		return protocol
	}
	return s.ask(ctx, now, ask)
}

// Speaks returns which protocol (an ALPN) the route's host chooses that is offered HTTP/2 and HTTP/1.1; empty: it cannot be found out now. If
// nothing is known of it, ask is called to have a connection made for either (upstream.Request.Either), which ends with the context.
func (r *Route) Speaks(ctx context.Context, ask func(context.Context)) string {
	return r.entry.state.spoken.speaks(ctx, time.Now(), ask)
}
