package standalone

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/dns"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/standalone/figures"
	"fairlead.dev/fairlead/internal/standalone/policies"
)

// Options configure an Engine.
type Options struct {
	// Services say where Services are.
	Services []policies.Service
	// Namespace is where the command stands.
	Namespace string
	// Log is for mistakes of the program's own.
	Log *slog.Logger
	// AccessLog takes a line of JSON for each call that its policy has logged; nil: nobody wants them.
	AccessLog io.Writer
}

// Engine enforces policies on connections.
type Engine struct {
	// immutable after New
	options Options
	names   *dns.Resolver
	table   *routes.Table
	proxy   *proxy.Server
	log     *telemetry.AccessLog
	meter   *telemetry.Meter
	pages   http.Handler
	figures *figures.Figures
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error) // the machine's, but in tests

	further further
	mu      sync.Mutex
	inForce *policy.Snapshot // guarded by mu
}

// New makes an Engine, in which nothing runs before Run.
func New(o Options) (*Engine, error) {
	e := &Engine{options: o, lookup: net.DefaultResolver.LookupNetIP}
	var err error
	if o.AccessLog != nil {
		name := func(string) (string, string) { return o.Namespace + "/command", "" }
		if e.log, err = telemetry.NewAccessLog(telemetry.AccessLogOptions{Writer: o.AccessLog, Pod: name}); err != nil {
			return nil, err
		}
	}
	e.meter = telemetry.New(telemetry.Options{Logger: o.Log, AccessLog: e.log})
	e.names = dns.New(dns.Options{Panicked: func(what any, stack []byte) { e.meter.Panicked("", what, stack) }})
	e.table, err = routes.New(routes.Options{
		Dialer: func(string) upstream.Dialer { return dialer{o.Services, &e.further} }, Node: "local", Observer: e.meter, Names: e.names,
	})
	if err != nil {
		return nil, err
	}
	if e.proxy, err = proxy.New(proxy.Options{Store: e.table, Events: e.meter}); err != nil {
		return nil, err
	}
	e.meter.Watch(telemetry.Sources{Stats: e.table.Stats, Replay: e.proxy.ReplayMemory()})
	if e.pages, err = telemetry.Handler(telemetry.HandlerOptions{Meter: e.meter}); err != nil {
		return nil, err
	}
	e.figures, err = figures.New(e.meter, telemetry.NewCollector(e.meter))
	return e, err
}

// Pages are /metrics and the like.
func (e *Engine) Pages() http.Handler { return e.pages }

// Figures are what has happened so far.
func (e *Engine) Figures() figures.Totals { return e.figures.Totals() }

// Install puts policies in force. Where the data plane refuses one, the former stay in force and the error says why.
func (e *Engine) Install(s *policy.Snapshot) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	refused := e.table.Install(s)
	if len(refused) == 0 {
		e.inForce = s
		e.meter.Installed(time.Now(), s)
		return nil
	}
	if e.inForce != nil {
		e.table.Install(e.inForce)
	}
	return fmt.Errorf("the policies cannot be enforced: %s", refused[0].Message)
}

// Run works until ctx ends: what the policies in force and their logs need.
func (e *Engine) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { _ = e.table.Run(ctx) }) // ends with ctx alone
	if e.log != nil {
		work.Go(func() { _ = e.log.Run(ctx) })
	}
	work.Wait()
	e.names.Close()
}

// Serve serves a connection of the command that was on its way to an address, of which the beginning was read. It owns conn and blocks until it is
// done with it.
func (e *Engine) Serve(conn transport.Socket, to netip.AddrPort, read []byte) {
	e.proxy.ServeRead(policies.Workload, conn, to, read)
}

// Shutdown waits for the calls under way, and ends what is left of them when ctx ends.
func (e *Engine) Shutdown(ctx context.Context) error { return e.proxy.Shutdown(ctx) }
