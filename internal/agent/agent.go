package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/kernel"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
	"fairlead.dev/fairlead/internal/agent/dns"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/agent/telemetry/flows"
	"fairlead.dev/fairlead/internal/agent/telemetry/logs"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/agent/telemetry/steps"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Options configure an Agent. All but Profiling, Drain, MaxSeries, CallerLabel, Memory, Traces and Logs are required.
type Options struct {
	// Node is the name of the node; pods of other nodes are not this agent's.
	Node string
	// Manager is "host:port" of the manager; every address of host is tried.
	Manager string
	// TokenFile and CAFile authenticate the agent to the manager, and the manager to the agent.
	TokenFile, CAFile string
	// StateDir holds the last good configuration.
	StateDir string
	// CRISocket is the container runtime's socket, NetNSDir the folder of its network namespaces.
	CRISocket, NetNSDir string
	// HTTPAddress serves metrics, health and debugging.
	HTTPAddress string
	// Profiling adds /debug/pprof to it.
	Profiling bool
	// Drain is how long a stop waits for connections to end before it cuts them; it must be shorter than the pod's termination grace period.
	// Default: DefaultDrain.
	Drain time.Duration
	// MaxSeries is how many series policies may have in metrics together; 0: telemetry.DefaultMaxSeries.
	MaxSeries int
	// CallerLabel has metrics say which workload's calls they count.
	CallerLabel bool
	// Memory is what the agent may use; nil means that only running out of it counts.
	Memory capture.Memory
	// Traces sends the spans of traced calls; nil: there is nowhere to send them, so no call is traced.
	Traces otlptrace.Client
	// Logs sends the lines of the access log; nil: they go to AccessLog alone.
	Logs sdklog.Exporter
	// Log is for operators, AccessLog takes one JSON line per logged call.
	Log       *slog.Logger
	AccessLog io.Writer
}

// DefaultDrain is long because a connection that is cut is a failure of the agent's making: downloads, event streams, websockets and opaque
// connections end when their peers want. New calls are not held up meanwhile: they go to the next agent, or directly.
const DefaultDrain = 10 * time.Minute

// Agent is one node's agent.
type Agent struct {
	opts      Options
	host      *netns.Host
	watcher   *pods.Watcher
	kernel    *kernel.Kernel
	started   time.Time
	names     *dns.Resolver // of what pods call
	proxies   *dns.Resolver // of the proxies that policies name
	routes    *routes.Table
	proxy     *proxy.Server
	capture   *capture.Manager
	detector  *socketlb.Detector
	client    *subscribe.Client
	accessLog *telemetry.AccessLog
	spans     *spans.Exporter // nil: nothing is traced
	taps      *taps.Taps
	traces    *steps.Traces
	meter     *telemetry.Meter
	pages     http.Handler
}

// New makes the agent's parts and connects them. Nothing runs before Run.
func New(o Options) (*Agent, error) {
	if o.Node == "" {
		return nil, errors.New("agent: no node name; set --node-name")
	}
	if o.Drain < 0 {
		return nil, fmt.Errorf("agent: a drain of %s is not possible; set --drain", o.Drain)
	}
	if o.MaxSeries < 0 {
		return nil, fmt.Errorf("agent: %d series are not possible; set --max-series", o.MaxSeries)
	}
	o.Drain = cmp.Or(o.Drain, DefaultDrain)
	a := &Agent{opts: o, started: time.Now()}
	steps := []func() error{a.newDataPlane, a.newCapture, a.newConfigClient}
	for _, step := range steps {
		if err := step(); err != nil {
			a.closeHost()
			return nil, fmt.Errorf("agent: %w", err)
		}
	}
	return a, nil
}

func (a *Agent) closeHost() {
	if a.host != nil {
		a.host.Close()
	}
}

// newDataPlane makes what carries calls: meter, routes and proxy.
func (a *Agent) newDataPlane() error {
	var err error
	if err := a.newAccessLog(); err != nil {
		return err
	}
	if a.opts.Traces != nil {
		a.spans, err = spans.New(spans.Options{Client: a.opts.Traces, Log: a.opts.Log, Node: a.opts.Node, Pod: a.pod})
		if err != nil {
			return err
		}
	}
	a.taps = taps.New(a.pod)
	a.meter = telemetry.New(telemetry.Options{
		Logger: a.opts.Log, AccessLog: a.accessLog, Spans: a.spans, Taps: a.taps, Inventory: flows.New(), MaxSeries: a.opts.MaxSeries, Callers: a.opts.CallerLabel,
	})
	lookups := dns.Options{Panicked: func(what any, stack []byte) { a.meter.Panicked("", what, stack) }}
	a.names, a.proxies = dns.New(lookups), dns.New(lookups)
	a.routes, err = routes.New(a.routesOptions())
	if err != nil {
		return err
	}
	a.proxy, err = proxy.New(proxy.Options{Store: a.routes, Events: a.meter, HeadMemory: a.headMemory()})
	if err != nil {
		return err
	}
	a.traces = steps.New(a.proxy.Watches(), a.opts.Log, a.pod)
	a.meter.Watch(telemetry.Sources{Stats: a.routes.Stats, Captures: a.captureState, Replay: a.proxy.ReplayMemory()})
	a.pages, err = telemetry.Handler(telemetry.HandlerOptions{
		Meter: a.meter, Ready: a.ready, Config: a.config, Endpoints: a.endpoints, Pages: a.livePages(), Profiling: a.opts.Profiling,
	})
	if err != nil {
		return err
	}
	return nil
}

// newAccessLog makes what writes the lines that policies ask for, and exports them if that is wanted.
func (a *Agent) newAccessLog() error {
	o := telemetry.AccessLogOptions{Writer: a.opts.AccessLog, Pod: a.pod}
	var err error
	if a.opts.Logs != nil {
		o.Exporter, err = logs.New(logs.Options{Client: a.opts.Logs, Log: a.opts.Log, Node: a.opts.Node})
		if err != nil {
			return err
		}
	}
	a.accessLog, err = telemetry.NewAccessLog(o)
	return err
}

// headMemory is an eighth of what the agent may use, and what a proxy has by default where that is more.
func (a *Agent) headMemory() int64 {
	if a.opts.Memory == nil {
		return proxy.DefaultHeadMemory
	}
	_, limit, _ := a.opts.Memory.Usage()
	return max(limit/8, proxy.DefaultHeadMemory)
}

// routesOptions are those of the routes. What pods call is looked up apart from the proxies: pods decide how many names they call.
func (a *Agent) routesOptions() routes.Options {
	return routes.Options{
		Dialer:   func(uid string) upstream.Dialer { return a.capture.Dialer(uid) },
		Node:     a.opts.Node,
		Observer: a.meter,
		Names:    a.names, ProxyNames: a.proxies,
		Traces: a.spans != nil,
	}
}

// newConfigClient makes what receives policy.
func (a *Agent) newConfigClient() error {
	var err error
	a.detector = a.newDetector()
	a.client, err = subscribe.New(subscribe.Options{
		Node: a.opts.Node, Target: a.opts.Manager, TokenFile: a.opts.TokenFile, BundleFile: a.opts.CAFile,
		// Named after the node: nodes that share a disk must not share their configuration.
		CopyFile: filepath.Join(a.opts.StateDir, a.opts.Node+".snapshot"),
		Applier:  &applier{node: a.opts.Node, routes: a.routes, meter: a.meter, log: a.opts.Log, capture: a.capture, detector: a.detector},
		Reporter: a.meter, Flows: a.meter.WantFlows, Sharer: a.routes, Breakers: a.routes, Logger: a.opts.Log,
	})
	return err
}

// pod names a pod and what it belongs to for the access log.
func (a *Agent) pod(uid string) (name, workload string) {
	if w := a.client.Snapshot().Workloads[uid]; w != nil {
		return w.Namespace + "/" + w.Name, w.Owner.String()
	}
	return "", ""
}

// captureState is capture's state for the meter.
func (a *Agent) captureState() telemetry.CaptureState {
	problems, stats := a.capture.Problems(), a.capture.Stats()
	d := telemetry.CaptureState{Captured: int(stats.Captured), Uncaptured: len(problems), Problems: problems, Notices: a.notices(time.Now()),
		Cut: uint64(stats.Cut), Loops: uint64(stats.Loops),
		Refused: uint64(stats.Refused), Shed: uint64(stats.Shed), Shedding: int(stats.SheddingPods)}
	for id, n := range a.capture.Older() {
		d.OlderConnections = append(d.OlderConnections, telemetry.Older{Policy: id, Count: n})
	}
	slices.SortFunc(d.OlderConnections, func(a, b telemetry.Older) int { return cmp.Compare(a.Policy.String(), b.Policy.String()) })
	return d
}
