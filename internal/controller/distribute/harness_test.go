package distribute

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"fairlead.dev/fairlead/internal/controller/distribute/ca"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

const serverName = "fairlead-manager.fairlead-system.svc"

// fakeAuthenticator knows tokens by heart.
type fakeAuthenticator struct {
	mu    sync.Mutex
	known map[string]Identity
	fails error
	asked int
}

func (f *fakeAuthenticator) Authenticate(_ context.Context, token string) (Identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.fails != nil {
		return Identity{}, f.fails
	}
	id, ok := f.known[token]
	if !ok {
		return Identity{}, ErrUnauthenticated
	}
	return id, nil
}

// testManager is a server with its store under test, in synthetic time.
type testManager struct {
	t        *testing.T
	store    *Store
	auth     *fakeAuthenticator
	roots    *x509.CertPool
	listener *bufconn.Listener
	stop     func()
	notified *names
	writes   atomic.Int64 // to all connections
}

// countedListener counts the writes to the connections that it accepts.
type countedListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return countedConn{conn, l.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// names collects what Notify was called with.
type names struct {
	mu  sync.Mutex
	all [][]string
}

func (n *names) add(profiles []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, profiles)
}

func (n *names) take() [][]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.all
	n.all = nil
	return out
}

func withManager(t *testing.T, test func(t *testing.T, o *testManager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := newTestManager(t)
		defer o.stop()
		test(t, o)
	})
}

func newTestManager(t *testing.T) *testManager {
	t.Helper()
	authorities, _, err := ca.Authorities(nil).Renew(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authorities.Issue(time.Now(), []string{serverName})
	if err != nil {
		t.Fatal(err)
	}
	o := &testManager{
		t: t, auth: &fakeAuthenticator{known: map[string]Identity{}}, roots: x509.NewCertPool(),
		listener: bufconn.Listen(1 << 20), notified: new(names),
	}
	o.roots.AppendCertsFromPEM(authorities.Bundle())
	o.store = NewStore(StoreOptions{Notify: o.notified.add})
	o.store.Serving().Start()
	for _, node := range []string{"n1", "n2"} {
		o.auth.known["token-"+node] = Identity{Node: node, PodUID: "agent-" + node}
	}
	server, err := NewServer(ServerOptions{
		Store: o.store, Authenticator: o.auth,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, countedListener{o.listener, &o.writes}) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return o
}

func (o *testManager) connect(config *tls.Config) *grpc.ClientConn {
	o.t.Helper()
	conn, err := grpc.NewClient("passthrough:///manager",
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return o.listener.DialContext(ctx) }),
		grpc.WithStaticStreamWindowSize(1<<20), grpc.WithStaticConnWindowSize(1<<20), // as agents have
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage), grpc.MaxCallSendMsgSize(wire.MaxMessage)),
	)
	if err != nil {
		o.t.Fatal(err)
	}
	return conn
}

func (o *testManager) trusting() *tls.Config {
	return &tls.Config{RootCAs: o.roots, ServerName: serverName}
}

// agent is a hand-driven agent.
type agent struct {
	t      *testing.T
	ctx    context.Context
	client wire.Client
	stream wire.SubscribeClient
	leave  func()

	verdicts []policy.BreakerVerdict // that came beside updates
	asked    bool                    // to report on breakers
}

// aside takes an update that is about no resources.
func (a *agent) aside(u wire.Update) {
	a.verdicts, a.asked = append(a.verdicts, u.Breakers...), a.asked || u.TakesBreakers
}

// agent connects with a token and opens nothing yet.
func (o *testManager) agent(token string) *agent {
	o.t.Helper()
	conn := o.connect(o.trusting())
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token))
	return &agent{t: o.t, ctx: ctx, client: wire.NewClient(conn), leave: func() {
		cancel()
		conn.Close()
		synctest.Wait()
	}}
}

// subscribed connects as the agent of node and says what it holds.
func (o *testManager) subscribed(node string, held map[wire.Ref]wire.Version) *agent {
	o.t.Helper()
	a := o.agent("token-" + node)
	if err := a.subscribe(node, held); err != nil {
		o.t.Fatal(err)
	}
	return a
}

func (a *agent) subscribe(node string, held map[wire.Ref]wire.Version) error {
	s, err := a.client.Subscribe(a.ctx, wire.Hello{Node: node, Held: held})
	a.stream = s
	return err
}

// refused opens a subscription and returns why it ends without an update.
func (a *agent) refused(node string) error {
	a.t.Helper()
	if err := a.subscribe(node, nil); err != nil {
		return err
	}
	u, err := a.stream.RecvWhole(1<<30, a.aside)
	if err == nil {
		a.t.Fatalf("got %v, want an error", u)
	}
	return err
}

// receive takes the next update and acknowledges it.
func (a *agent) receive(rejections ...wire.Rejection) wire.Update {
	a.t.Helper()
	u := a.take()
	a.acknowledge(u, rejections...)
	return u
}

func (a *agent) take() wire.Update {
	a.t.Helper()
	u, err := a.stream.RecvWhole(1<<30, a.aside)
	if err != nil {
		a.t.Fatal(err)
	}
	return u
}

func (a *agent) acknowledge(u wire.Update, rejections ...wire.Rejection) {
	a.t.Helper()
	if err := a.stream.Ack(wire.Ack{Nonce: u.Nonce, Rejections: rejections}); err != nil {
		a.t.Fatal(err)
	}
	synctest.Wait()
}

// silent reports whether no update is on its way.
func (a *agent) silent() bool {
	got := make(chan error, 1)
	go func() {
		_, err := a.stream.Recv()
		got <- err
	}()
	synctest.Wait()
	select {
	case <-got:
		return false
	default:
		a.leave()
		<-got
		return true
	}
}

func refsOf(u wire.Update) []string {
	var out []string
	for _, r := range u.Set {
		out = append(out, "+"+r.Ref.String())
	}
	for _, r := range u.Removed {
		out = append(out, "-"+r.String())
	}
	return out
}

// Small policies.

func pod(uid, profileName string) *policy.Workload {
	return &policy.Workload{UID: uid, Namespace: "shop", Name: "pod-" + uid, Profile: profileName}
}

func policyOf(name string) policy.ID { return policy.ParseID("shop/" + name) }

// rollout returns how far the policy of a profile has come. That called everyone has a part in all of them.
func (o *testManager) rollout(name string) Rollout { return o.store.Rollout(policyOf(name)) }

// profileOf returns a profile that names services; edit distinguishes versions.
func profileOf(name string, edit int, services ...string) *policy.Profile {
	p := &policy.Profile{Name: name}
	for _, s := range services {
		b := policy.Binding{Key: fmt.Sprint(name, s), Policy: policyOf(name), Merged: []policy.ID{policyOf("everyone"), policyOf(name)}, Base: policy.Defaults()}
		b.Base.Retry.MaxRetries = edit
		b.To = policy.Target{Kind: policy.TargetService, Service: s}
		p.Bindings = append(p.Bindings, b)
	}
	if len(services) == 0 {
		b := policy.Binding{Key: name, Policy: policyOf(name), Merged: []policy.ID{policyOf("everyone"), policyOf(name)}, Base: policy.Defaults()}
		b.Base.Retry.MaxRetries = edit
		b.To = policy.Target{Kind: policy.TargetAny}
		p.Bindings = []policy.Binding{b}
	}
	return p
}

func service(name string, port uint16) *policy.Destination {
	return &policy.Destination{Name: name, Ports: []policy.DestinationPort{{Port: port}}}
}

func (o *testManager) publish(fill func(b *Batch)) {
	o.t.Helper()
	var b Batch
	fill(&b)
	if err := o.store.Publish(&b); err != nil {
		o.t.Fatal(err)
	}
}
