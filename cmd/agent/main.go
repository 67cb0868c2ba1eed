// Command agent is fairlead's node agent: it captures the calls of this node's pods and enforces policy on them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"fairlead.dev/fairlead/internal/agent"
	"fairlead.dev/fairlead/internal/agent/onecall"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/agent/telemetry/logs"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/cgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the agent at once: it may drain for long
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "call" { // what kubectl fairlead trace runs beside a pod's containers
		return onecall.Run(ctx, args[1:], os.Stdout)
	}
	var (
		o     agent.Options
		level slog.LevelVar
	)
	if err := flags(&o, &level).Parse(args); err != nil {
		return err
	}
	if o.Drain <= 0 {
		return fmt.Errorf("a drain of %s is not possible; --drain=1s is short", o.Drain) // 0 would be the default to what comes
	}
	var err error
	if o.Traces, err = spans.ClientFromEnvironment(); err != nil {
		return err
	}
	if o.Logs, err = logs.ClientFromEnvironment(); err != nil {
		return err
	}
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &level})).With("node", o.Node)
	o.AccessLog = os.Stdout
	if memory := cgroup.OpenOwn(o.Log); memory != nil {
		defer func() { _ = memory.Close() }()
		goBy(memory, &o)
	}
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	o.Log.Info("starting", "manager", o.Manager, "http", o.HTTPAddress, "traces", o.Traces != nil, "logs", o.Logs != nil)
	return a.Run(ctx)
}

// goBy has the heap of this process and what the agent lets in follow an account of memory.
func goBy(memory *cgroup.Memory, o *agent.Options) {
	memory.LimitHeap(heapPercent, o.Log)
	o.Memory = memory
}

// flags has the flags fill in the options and the level of the log.
func flags(o *agent.Options, level *slog.LevelVar) *flag.FlagSet {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.StringVar(&o.Node, "node-name", os.Getenv("NODE_NAME"), "name of the node this agent runs on")
	fs.StringVar(&o.Manager, "manager-address", "fairlead-manager.fairlead-system.svc:9443", "host:port of the manager; every address of host is tried")
	fs.StringVar(&o.TokenFile, "token-file", "/var/run/fairlead/token/token", "service-account token for the manager")
	fs.StringVar(&o.CAFile, "ca-file", "/var/run/fairlead/ca/ca.crt", "certificates the manager's must be signed by")
	fs.StringVar(&o.StateDir, "state-dir", "/var/lib/fairlead", "where the last good configuration is kept")
	fs.StringVar(&o.CRISocket, "cri-socket", "/run/containerd/containerd.sock", "socket of the container runtime")
	fs.StringVar(&o.NetNSDir, "netns-dir", "/run/netns", "folder of the runtime's network namespaces")
	fs.StringVar(&o.HTTPAddress, "http-address", ":9464", "address of /metrics, /healthz, /readyz and /debug")
	fs.BoolVar(&o.Profiling, "pprof", false, "serve /debug/pprof")
	fs.DurationVar(&o.Drain, "drain", agent.DefaultDrain, "how long a stop waits for open connections before it cuts them; the pod's termination grace period must be longer")
	fs.IntVar(&o.MaxSeries, "max-series", telemetry.DefaultMaxSeries, "how many series of metrics policies may have together; what is beyond is shown as one policy, overflow")
	fs.BoolVar(&o.CallerLabel, "metrics-caller-label", false, "have metrics of calls say which workload's they are: series for each of a destination's callers, of those of --max-series")
	fs.TextVar(level, "log-level", level, "DEBUG, INFO, WARN or ERROR")
	return fs
}

// heapPercent is the share of the memory that the agent may use which Go's heap gets, unless GOMEMLIMIT says otherwise: below where capture
// begins to let new connections pass, because garbage is not load. The rest is for what the kernel holds for connections.
const heapPercent = 75
