// Command serve serves the dashboard of a generated cluster, for work on its pages: go run ./internal/dashboard/generated/serve --assets web/dist.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/generated"
)

func main() {
	assets := flag.String("assets", "internal/dashboard/assets/dist", "The folder of the pages' files, read anew for each request")
	listen := flag.String("listen", "127.0.0.1:8099", "Where to listen")
	small := flag.Bool("small", false, "Serve a small cluster")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *assets, *listen, *small); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, assets, listen string, small bool) error {
	size := generated.Large
	if small {
		size = generated.Small
	}
	c, err := generated.New(size)
	if err != nil {
		return err
	}
	// Without a token it can be opened again after it was started again. It is no cluster of anybody's.
	s, err := dashboard.New(dashboard.Options{Source: c.Source(), Assets: os.DirFS(assets), Hosts: []string{"localhost"}})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/\n", l.Addr())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		c.Run(ctx)
		return nil
	})
	group.Go(func() error { return s.Serve(ctx, l) })
	return group.Wait()
}
