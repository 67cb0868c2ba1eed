// Command manager is the controller: it compiles call policies, distributes them to the agents, and writes the policies' status.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"fairlead.dev/fairlead/internal/cgroup"
	"fairlead.dev/fairlead/internal/controller"
	"fairlead.dev/fairlead/internal/controller/inventory"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		slog.Error("manager ended", "err", err)
		os.Exit(1)
	}
}

// flags are the command line. The flag kubeconfig comes with controller-runtime.
type flags struct {
	opts     controller.Options
	agents   string
	logLevel slog.Level
}

func parse() *flags {
	var f flags
	flag.StringVar(&f.opts.Namespace, "namespace", "fairlead-system", "namespace the manager runs in")
	flag.BoolVar(&f.opts.LeaderElect, "leader-elect", false, "have replicas agree on a leader")
	flag.StringVar(&f.agents, "agents-address", ":9443", "address to serve agents on")
	flag.StringVar(&f.opts.MetricsAddress, "metrics-address", ":8080", "address to serve metrics on, 0 for none")
	flag.StringVar(&f.opts.HealthAddress, "health-address", ":8081", "address to serve /healthz and /readyz on, 0 for none")
	flag.StringVar(&f.opts.LiveAddress, "live-address", "127.0.0.1:8082", "address to serve the live API on, which answers this pod alone; 0 for none")
	flag.IntVar(&f.opts.InventoryFlows, "inventory-flows", inventory.DefaultFlows, "how many flows the inventory of calls keeps apart, those with the most calls; 0 for no inventory")
	flag.BoolVar(&f.opts.InventoryMetrics, "inventory-metrics", false, "have metrics show the inventory of calls: three series for each flow")
	flag.StringVar(&f.opts.ProfilingAddress, "profiling-address", "", "address to serve pprof on, empty for none")
	flag.StringVar(&f.opts.ClusterDomain, "cluster-domain", "cluster.local", "domain of the names of Services")
	flag.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "least level to log: DEBUG, INFO, WARN or ERROR")
	flag.Parse()
	return &f
}

// heapPercent is the share of the memory that the manager may use which Go's heap gets, unless GOMEMLIMIT says otherwise. Little else needs
// memory: the kernel's buffers for some thousands of connections on which little is under way.
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

	cfg, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	listener, err := net.Listen("tcp", f.agents)
	if err != nil {
		return fmt.Errorf("listen for agents: %w", err)
	}
	f.opts.Config, f.opts.Agents, f.opts.Logger, f.opts.Metrics = cfg, listener, logger, metrics.Registry
	m, err := controller.New(f.opts)
	if err != nil {
		_ = listener.Close()
		return err
	}
	return m.Run(ctx)
}
