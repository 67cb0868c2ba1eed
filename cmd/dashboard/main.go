// Command dashboard serves the dashboard from a pod of the cluster, to a proxy in the same pod that asks who somebody is. Whoever that lets in sees what
// the pod's service account may see. It listens for pages on loopback alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"fairlead.dev/fairlead/internal/cgroup"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/assets"
	"fairlead.dev/fairlead/internal/dashboard/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("dashboard ended", "err", err)
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	namespace, address, health, hosts string
	logLevel                          slog.Level
}

func parse() *flags {
	var f flags
	flag.StringVar(&f.namespace, "namespace", kube.DefaultSystem, "namespace that fairlead runs in")
	flag.StringVar(&f.address, "address", "127.0.0.1:8080", "loopback address to serve pages on, for a proxy in this pod and kubectl port-forward")
	flag.StringVar(&f.health, "health-address", ":8081", "address to serve /healthz on, and nothing else")
	flag.StringVar(&f.hosts, "hosts", "", "host names, without ports and joined by commas, by which browsers reach the proxy; localhost is one always")
	flag.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "least level to log: DEBUG, INFO, WARN or ERROR")
	flag.Parse()
	return &f
}

// heapPercent is the share of the memory that the dashboard may use which Go's heap gets, unless GOMEMLIMIT says otherwise.
const heapPercent = 85

func run(ctx context.Context) error {
	f := parse()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: f.logLevel}))
	slog.SetDefault(logger)
	log.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	if memory := cgroup.OpenOwn(logger); memory != nil {
		memory.LimitHeap(heapPercent, logger)
		_ = memory.Close()
	}
	s, err := f.server()
	if err != nil {
		return err
	}
	pages, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.address)
	if err != nil {
		return fmt.Errorf("listen for the proxy: %w", err)
	}
	health, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.health)
	if err != nil {
		_ = pages.Close()
		return fmt.Errorf("listen for questions about health: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Serve(ctx, pages) })
	group.Go(func() error { return serveHealth(ctx, health) })
	return group.Wait()
}

// server returns what serves the cluster that the pod runs in, or that KUBECONFIG names.
func (f *flags) server() (*dashboard.Server, error) {
	hosts, err := f.check()
	if err != nil {
		return nil, err
	}
	env := kube.NewEnv(genericiooptions.IOStreams{In: strings.NewReader(""), Out: os.Stdout, ErrOut: os.Stderr})
	env.System = f.namespace
	config, err := env.Config()
	if err != nil {
		return nil, err
	}
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	files, err := assets.Files()
	if err != nil {
		return nil, err
	}
	source := cluster.New(cluster.Options{Env: env, Client: c, Version: kube.Version(), Server: config.Host})
	return dashboard.New(dashboard.Options{Source: source, Assets: files, Hosts: hosts})
}

// check returns the host names of requests that are answered.
func (f *flags) check() ([]string, error) {
	a, err := netip.ParseAddrPort(f.address)
	if err != nil || !a.Addr().IsLoopback() {
		return nil, fmt.Errorf("--address %q: write an address and a port of the pod's loopback, such as 127.0.0.1:8080: others reach the pages through a proxy that asks who they are", f.address)
	}
	hosts := []string{"localhost"}
	for h := range strings.SplitSeq(f.hosts, ",") {
		if strings.ContainsAny(h, ":/ ") {
			return nil, fmt.Errorf("--hosts %q: write host names without ports or paths, joined by commas, such as fairlead.example.com", f.hosts)
		}
		if h != "" {
			hosts = append(hosts, strings.ToLower(h))
		}
	}
	return hosts, nil
}

// serveHealth answers kubelets, which cannot reach loopback, until ctx ends: that the process serves. What of the cluster cannot be read is said on the pages.
func serveHealth(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 4 << 10}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health: %w", err)
	}
	return nil
}
