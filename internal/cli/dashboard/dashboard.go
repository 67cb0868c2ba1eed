// Package dashboard is kubectl fairlead dashboard: it serves the dashboard's pages on this machine.
package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/assets"
	"fairlead.dev/fairlead/internal/dashboard/cluster"
)

// flags are those of the command.
type flags struct {
	port   uint16
	noOpen bool
	listen string
	hosts  []string
}

// New returns the command. Version is that of this program.
func New(env *kube.Env, version string) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Serve the dashboard on this machine, and open it in a browser",
		Long: `Serves the dashboard on this machine's loopback, with your rights in the cluster, and opens it in a browser, until Ctrl-C. Who has the address that it
prints sees what you may see: it has a secret part, which is another one each time.

With --behind-proxy it has no secret part, and answers requests for the host names that are given: a proxy in front of it must ask who somebody is.`,
		Example: "  kubectl fairlead dashboard\n  kubectl fairlead dashboard --port 8080 --no-open\n  kubectl fairlead dashboard --port 8080 --no-open --behind-proxy fairlead.example.com",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), env, version)
		},
	}
	set := cmd.Flags()
	set.Uint16Var(&f.port, "port", 0, "The port to listen on; 0: a free one")
	set.BoolVar(&f.noOpen, "no-open", false, "Print the address alone, and open no browser")
	set.StringVar(&f.listen, "listen", "127.0.0.1", "The loopback address to listen on")
	set.StringSliceVar(&f.hosts, "behind-proxy", nil, "Serve without a secret to a proxy that asks who somebody is: the host names, without ports, by which browsers reach it")
	return cmd
}

func (f *flags) check() error {
	a, err := netip.ParseAddr(f.listen)
	if err != nil || !a.IsLoopback() {
		return fmt.Errorf("--listen %q: write an address of this machine's loopback, such as 127.0.0.1 or ::1; docs/guides/dashboard.md says how to serve others through a proxy", f.listen)
	}
	for _, h := range f.hosts {
		if h == "" || strings.ContainsAny(h, ":/ ") {
			return fmt.Errorf("--behind-proxy %q: write a host name without port or path, such as fairlead.example.com", h)
		}
	}
	return nil
}

func (f *flags) run(ctx context.Context, env *kube.Env, version string) error {
	s, token, err := f.server(env, version)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(f.listen, strconv.Itoa(int(f.port))))
	if err != nil {
		return fmt.Errorf("serve the dashboard: %w: choose another --port", err)
	}
	root := "http://" + l.Addr().String() + "/"
	address := root
	if token != "" {
		address += token + "/"
	}
	fmt.Fprintf(env.Out, "The dashboard is at %s until Ctrl-C.\n", address)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var opening sync.WaitGroup
	if !f.noOpen {
		opening.Go(func() {
			if err := open(ctx, root+s.Once()); err != nil && ctx.Err() == nil {
				fmt.Fprintf(env.ErrOut, "no browser could be opened (%v): open the address yourself\n", err)
			}
		})
	}
	err = s.Serve(ctx, l)
	stop()
	opening.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve the dashboard: %w", err)
	}
	return nil
}

// server returns what serves the cluster of the environment, and the secret that its paths begin with.
func (f *flags) server(env *kube.Env, version string) (*dashboard.Server, string, error) {
	c, err := env.Client()
	if err != nil {
		return nil, "", err
	}
	files, err := assets.Files()
	if err != nil {
		return nil, "", err
	}
	o := dashboard.Options{Assets: files, Hosts: lower(f.hosts)}
	if len(f.hosts) == 0 {
		o.Token = dashboard.NewToken()
	}
	of := cluster.Options{Env: env, Client: c, Version: version}
	if config, err := env.Config(); err == nil {
		of.Server = config.Host
	}
	if raw, err := env.Flags.ToRawKubeConfigLoader().RawConfig(); err == nil {
		if of.Context = raw.CurrentContext; env.Flags.Context != nil && *env.Flags.Context != "" {
			of.Context = *env.Flags.Context
		}
	}
	o.Source = cluster.New(of)
	s, err := dashboard.New(o)
	return s, o.Token, err
}

func lower(all []string) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = strings.ToLower(all[i])
	}
	return out
}
