package dashboard

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options are how a Server serves.
type Options struct {
	Source Source
	// Assets are the pages' files: index.html, and what it refers to.
	Assets fs.FS
	// Token is the secret that all paths begin with: without it nothing is answered. Empty: the paths are open to whoever reaches the listener, which
	// must be a proxy that asks who somebody is.
	Token string
	// Hosts are the host names, without ports, that requests may name besides those of the machine itself.
	Hosts []string
}

// Server serves the dashboard.
type Server struct {
	opts    Options
	hub     *hub
	answers *answers
	taps    *taps
	streams chan struct{} // as many as there are streams
	once    atomic.Pointer[string]
}

// Bounds of what clients may have at a time.
const (
	maxStreams = 64
	maxAnswers = 8
	// answerTime bounds how long an answer takes: agents that do not answer are given up.
	answerTime = 50 * time.Second
)

// New returns a Server; it starts nothing.
func New(o Options) (*Server, error) {
	switch {
	case o.Source == nil || o.Assets == nil:
		return nil, errors.New("dashboard: a source and assets are needed")
	case o.Token == "" && len(o.Hosts) == 0:
		return nil, errors.New("dashboard: without a token the host names that it is reached by are needed")
	}
	return &Server{opts: o, hub: newHub(), answers: newAnswers(), taps: newTaps(o.Source), streams: make(chan struct{}, maxStreams)}, nil
}

// Serve answers on a listener until ctx ends, and watches the source meanwhile. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		s.Watch(ctx)
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	group.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return group.Wait()
}

// Watch passes on what changes in the source, until ctx ends.
func (s *Server) Watch(ctx context.Context) { s.opts.Source.Watch(ctx, s.hub.changed) }

// Handler answers requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.answerPages(mux)
	s.streamPages(mux)
	mux.Handle("GET /", s.assets())
	var h http.Handler = mux
	if s.opts.Token != "" {
		h = s.below("/"+s.opts.Token, h)
	}
	return s.guarded(h)
}

// Once returns a path, without its slash, that leads to the pages once: what is given to a browser as an argument can be seen by other users of the
// machine. It is empty where there is no token.
func (s *Server) Once() string {
	if s.opts.Token == "" {
		return ""
	}
	path := NewToken()
	s.once.Store(&path)
	return path
}
