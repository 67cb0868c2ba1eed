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

// Serve answers on an address until ctx ends; what it serves is for errors. Idle and dawdling readers do not keep their descriptors, and many from elsewhere
// are not served: captured connections need descriptors and memory.
func Serve(ctx context.Context, what, address string, h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("serve %s: %w", what, err)
	}
	return serve(ctx, l, h)
}

func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	var group errgroup.Group
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	if err := srv.Serve(newBounded(l)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return group.Wait()
}
