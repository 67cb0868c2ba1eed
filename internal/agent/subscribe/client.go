package subscribe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Options configure a Client.
type Options struct {
	// Node is the node the agent runs on.
	Node string
	// Version is the agent's, for the manager's log. Default: that of the build.
	Version string
	// Target is the manager's "host:port"; every address of host is tried.
	Target string
	// ServerName is the DNS name the manager's certificate must have. Default: the host of Target.
	ServerName string
	// TokenFile and BundleFile are read again for every connection, so rotated contents are picked up.
	TokenFile, BundleFile string
	// CopyFile is where the last good set is kept; empty keeps none.
	CopyFile string
	Applier  Applier
	// Reporter is asked for a report every ReportInterval (default 5 s) until the manager asks for another interval. Without one there are
	// no reports.
	Reporter Reporter
	// Flows is called with whether the manager takes the flows of calls in reports, each time that it says so; nil: reports have none.
	Flows func(wanted bool)
	// Breakers are those that the nodes of the cluster share; nil: there are none.
	Breakers       Breakers
	ReportInterval time.Duration
	// Sharer has the node's part of limits that the cluster shares. Without one the node has them to itself, as agents of before have.
	Sharer Sharer
	Logger *slog.Logger // default: discard

	// Resolve returns the addresses ("ip:port") behind Target. Default: DNS.
	Resolve func(ctx context.Context) ([]string, error)
	// Dial opens a connection to an address. Default: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Client receives policy for an agent and sends its reports.
type Client struct {
	opts    Options // immutable after New
	reports *reportQueue
	copies  *copyWriter

	current atomic.Pointer[set]

	mu sync.Mutex
	// guarded by mu
	state   State
	refused map[wire.Ref]wire.Rejection
}

// New returns a client that Run starts.
func New(opts Options) (*Client, error) {
	host, port, err := net.SplitHostPort(opts.Target)
	if err != nil {
		return nil, fmt.Errorf("subscribe: target: %w", err)
	}
	if opts.Node == "" || opts.TokenFile == "" || opts.BundleFile == "" || opts.Applier == nil {
		return nil, errors.New("subscribe: a client needs a node, a token, a bundle and an applier")
	}
	if opts.ServerName == "" {
		opts.ServerName = host
	}
	if opts.ReportInterval == 0 {
		opts.ReportInterval = 5 * time.Second
	}
	if opts.Version == "" {
		opts.Version = buildVersion()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Resolve == nil {
		opts.Resolve = lookup(host, port)
	}
	if opts.Dial == nil {
		opts.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	c := &Client{opts: opts, reports: newReportQueue(time.Now(), opts.Flows), copies: newCopyWriter(opts.CopyFile, opts.Logger), refused: map[wire.Ref]wire.Rejection{}}
	c.current.Store(emptySet())
	return c, nil
}

// AgentVersion returns the version that the manager is sent.
func (c *Client) AgentVersion() string { return c.opts.Version }

// buildVersion returns the version of the program's module, or the revision that it was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version
}

func lookup(host, port string) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return nil, err
		}
		for i, ip := range ips {
			ips[i] = net.JoinHostPort(ip, port)
		}
		return ips, nil
	}
}

// Run applies the copy on disk, then follows the manager until ctx ends. It returns nil then.
func (c *Client) Run(ctx context.Context) error {
	c.start(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { c.copies.run(ctx) })
	if c.opts.Reporter != nil {
		wg.Go(func() { c.reports.collect(ctx, c.opts.Reporter, c.opts.ReportInterval) })
	}
	c.follow(ctx)
	return nil
}

// start puts the copy on disk into force.
func (c *Client) start(ctx context.Context) {
	if c.opts.CopyFile == "" {
		return
	}
	saved, err := loadCopy(c.opts.CopyFile)
	switch {
	case errors.Is(err, errNoCopy):
		return
	case err != nil:
		c.opts.Logger.WarnContext(ctx, "copy on disk ignored, waiting for the manager", "file", c.opts.CopyFile, "err", err)
		return
	}
	inForce, why := apply(c.opts.Applier, emptySet(), saved)
	refused := why.rejections(saved, inForce, wire.Update{})
	c.install(inForce, SourceDisk, wire.Update{}, refused)
	c.opts.Logger.InfoContext(ctx, "started from the copy on disk", "workloads", len(inForce.snapshot.Workloads), "refused", len(refused))
}

// receive applies an update to base, and returns its acknowledgement.
func (c *Client) receive(ctx context.Context, base *set, u wire.Update) wire.Ack {
	next, undecoded := base.with(u)
	inForce, why := apply(c.opts.Applier, c.current.Load(), next)
	var refused []wire.Rejection
	if inForce != next || len(undecoded) > 0 { // else all is held that the update asks for
		why.replace(undecoded)
		refused = why.rejections(base, inForce, u)
	}
	c.install(inForce, SourceManager, u, refused)
	c.copies.save(inForce)
	for _, r := range refused {
		c.opts.Logger.WarnContext(ctx, "resource refused", "resource", r.Ref, "reason", r.Reason, "message", r.Message)
	}
	return wire.Ack{Nonce: u.Nonce, Rejections: refused}
}

// Snapshot returns what is in force. It is never nil and must not be changed.
func (c *Client) Snapshot() *policy.Snapshot { return c.current.Load().snapshot }
