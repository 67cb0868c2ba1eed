package subscribe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

const (
	firstBackoff = 200 * time.Millisecond
	// maxBackoff bounds how long after a manager's return its agents do: each waits at most this, and at least half of it.
	maxBackoff = 5 * time.Second
	// returnDelay spreads the agents over time when all lose the same manager.
	returnDelay    = 500 * time.Millisecond
	connectTimeout = 5 * time.Second
	// firstTimeout bounds the time from connecting to the first whole update.
	firstTimeout = 30 * time.Second
	pingInterval = 20 * time.Second
	pingTimeout  = 10 * time.Second
	maxTokenSize = 16 << 10
	// window is how much of the manager's messages may be on its way: a whole part of an update. Being fixed, it spares the pings that gRPC measures
	// the connection with, one and its answer for every update, of which the manager sends thousands at once.
	window = 1 << 20
	// warnInterval is the least time between two complaints about the same outage.
	warnInterval = time.Minute
)

// follow keeps a session with whichever replica serves, until ctx ends.
func (c *Client) follow(ctx context.Context) {
	backoff := firstBackoff
	var complained time.Time
	for ctx.Err() == nil {
		served, err := c.tryAddresses(ctx)
		if ctx.Err() != nil {
			return
		}
		c.disconnected(err)
		if served {
			backoff, complained = firstBackoff, time.Time{}
			c.opts.Logger.InfoContext(ctx, "manager lost, policy stays in force", "err", err)
			pause(ctx, rand.N(returnDelay))
			continue
		}
		if now := time.Now(); now.Sub(complained) >= warnInterval {
			complained = now
			c.opts.Logger.WarnContext(ctx, "no manager serves this agent, policy stays in force", "err", err)
		}
		pause(ctx, backoff/2+rand.N(backoff/2))
		backoff = min(2*backoff, maxBackoff)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tryAddresses tries every address once, in random order, and stays with the first that serves. It says whether one did, and why it ended.
func (c *Client) tryAddresses(ctx context.Context) (bool, error) {
	addresses, err := c.opts.Resolve(ctx)
	if err != nil {
		return false, fmt.Errorf("find the manager: %w", err)
	}
	if len(addresses) == 0 {
		return false, errors.New("find the manager: no addresses")
	}
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	var all []error
	for _, address := range addresses {
		served, err := c.session(ctx, address)
		// A replica that says that another stream has taken this one's place serves: nothing is gained by waiting for it.
		served = served || status.Code(err) == codes.Aborted
		if served || ctx.Err() != nil {
			return served, err
		}
		all = append(all, fmt.Errorf("%s: %w", address, err))
	}
	return false, errors.Join(all...)
}

// session follows one replica until the stream ends. It says whether the replica ever served. When ctx ends, it goes on for as long as the last report takes.
func (c *Client) session(ctx context.Context, address string) (bool, error) {
	conn, err := c.connect(address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := c.outliving(ctx, &wg)
	defer cancel()
	if ctx, err = withToken(ctx, c.opts.TokenFile); err != nil {
		return false, err
	}
	limit := time.AfterFunc(firstTimeout, cancel)
	defer limit.Stop()
	client := wire.NewClient(conn)
	base, hello := c.hello()
	in, breakers := updateReader{base: base}, newBreakerReporter(c.opts.Breakers)
	defer breakers.released()
	in.aside = func(u wire.Update) { breakers.take(ctx, &wg, in.stream, u) }
	if in.stream, err = client.Subscribe(ctx, hello); err != nil {
		return false, err
	}
	for served := false; ; served = true {
		u, err := in.next()
		if err != nil {
			return served, err
		}
		limit.Stop()
		if err := c.answer(ctx, &in, u); err != nil {
			return served, err
		}
		if served {
			continue
		}
		c.connected(address)
		c.opts.Logger.InfoContext(ctx, "following manager", "address", address, "held", len(hello.Held), "received", len(u.Set))
		c.startReports(ctx, &wg, client, &in, u.Grants != nil)
	}
}

// outliving returns a context that goes on, once ctx has ended, until the manager has the last report.
func (c *Client) outliving(ctx context.Context, wg *sync.WaitGroup) (context.Context, context.CancelFunc) {
	session, end := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() {
		select {
		case <-ctx.Done():
			if c.opts.Reporter != nil {
				c.reports.finish(session)
			}
			end()
		case <-session.Done():
		}
	})
	return session, end
}

// startReports has reports delivered until the session ends, and, if the manager divides limits that the cluster shares, demands.
func (c *Client) startReports(ctx context.Context, wg *sync.WaitGroup, client wire.Client, in *updateReader, divides bool) {
	if c.opts.Sharer != nil && divides {
		in.shares = newShareSession(c.opts.Sharer, in.stream)
		wg.Go(func() { in.shares.run(ctx) })
	}
	if c.opts.Reporter != nil {
		wg.Go(func() { c.reports.deliver(ctx, client, c.opts.Logger) })
	}
}

// answer puts an update in force and tells the manager what came of it.
func (c *Client) answer(ctx context.Context, in *updateReader, u wire.Update) error {
	ack := c.receive(ctx, in.base, u)
	in.base = c.current.Load()
	return in.stream.Ack(ack)
}

// hello returns the first message of a subscription, and the set that the first update changes.
func (c *Client) hello() (*set, wire.Hello) {
	base := c.current.Load()
	h := wire.Hello{Node: c.opts.Node, Held: base.versions(), Features: wire.AllFeatures(), Version: c.opts.Version}
	if c.opts.Sharer == nil {
		h.Features &^= wire.FeaturesOf(wire.FeatureClusterLimits)
	}
	if c.opts.Breakers == nil {
		h.Features &^= wire.FeaturesOf(wire.FeatureClusterBreakers)
	}
	if !h.Fits() {
		// What is not listed is sent again.
		base, h.Held = base.emptied(), nil
	}
	return base, h
}

// updateReader reads updates and holds removals back until a complete snapshot was seen.
type updateReader struct {
	stream   wire.SubscribeClient
	base     *set // what the next update changes
	complete bool
	heldBack []wire.Ref
	aside    func(wire.Update) // is called with updates that are about no resources
	shares   *shareSession     // nil: nothing is said of limits that the cluster shares
}

// beside takes in an update that is about no resources.
func (i *updateReader) beside(u wire.Update) {
	i.aside(u)
	i.shares.obey(u.Grants)
}

func (i *updateReader) next() (wire.Update, error) {
	u, err := i.stream.RecvWhole(maxCopy, i.beside)
	if err != nil {
		return wire.Update{}, err
	}
	i.complete = i.complete || u.SnapshotComplete
	if !i.complete {
		i.heldBack = append(i.heldBack, u.Removed...)
		u.Removed = nil
		return u, nil
	}
	u.Removed = append(i.heldBack, u.Removed...)
	i.heldBack = nil
	return u, nil
}

// connect prepares a connection that trusts the bundle as it is on disk now. Nothing is sent yet.
func (c *Client) connect(address string) (*grpc.ClientConn, error) {
	bundle, err := os.ReadFile(c.opts.BundleFile)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("read bundle: no certificate in %s", c.opts.BundleFile)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: c.opts.ServerName}
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return c.opts.Dial(ctx, address)
		}),
		grpc.WithAuthority(c.opts.ServerName),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
		grpc.WithDisableRetry(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage), grpc.MaxCallSendMsgSize(wire.MaxMessage)),
	)
}

func withToken(ctx context.Context, path string) (context.Context, error) {
	token, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	if len(token) == 0 || len(token) > maxTokenSize {
		return nil, fmt.Errorf("read token: %d bytes in %s", len(token), path)
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token))), nil
}
