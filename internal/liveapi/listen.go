package liveapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Serve answers on an address, as Listen has it, until ctx ends.
func Serve(ctx context.Context, what, address string, h http.Handler) error {
	srv, l, err := Listen(ctx, what, address, h)
	if err != nil {
		return err
	}
	return serve(ctx, srv, l)
}

// Listen returns a server and the listener that it is to serve, at an address; what it serves is for errors. Idle and dawdling readers do not keep their
// descriptors, and many from elsewhere are not served: captured connections need descriptors and memory.
func Listen(ctx context.Context, what, address string, h http.Handler) (*http.Server, net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("serve %s: %w", what, err)
	}
	return newServer(h), newBounded(l), nil
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
}

func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	var group errgroup.Group
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return group.Wait()
}
