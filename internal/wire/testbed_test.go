package wire_test

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/distribute/ca"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// The tests of this package join both ends of the protocol: the manager's distribute and the agent's subscribe, over TLS in memory
// and in synthetic time. They live here because the two ends must not know each other.

const service = "fairlead-manager.fairlead-system.svc"

// testbed is a cluster's worth of managers and agents.
type testbed struct {
	t       *testing.T
	dir     string
	tokens  *fakeAuthenticator
	ca      ca.Authorities
	resolve func() ([]string, error)

	mu sync.Mutex
	// guarded by mu
	managers map[string]*manager // by address
}

// at returns the replica at an address, or nil.
func (w *testbed) at(address string) *manager {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.managers[address]
}

func (w *testbed) addresses() ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.managers)), nil
}

// removeReplica takes a replica's address out of DNS, and stops it.
func (w *testbed) removeReplica(address string) {
	w.mu.Lock()
	m := w.managers[address]
	delete(w.managers, address)
	w.mu.Unlock()
	m.stop()
}

type fakeAuthenticator struct {
	mu    sync.Mutex
	known map[string]distribute.Identity
}

func (k *fakeAuthenticator) Authenticate(_ context.Context, token string) (distribute.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.known[token]
	if !ok || !id.Expiry.IsZero() && !time.Now().Before(id.Expiry) {
		return distribute.Identity{}, distribute.ErrUnauthenticated
	}
	return id, nil
}

func (k *fakeAuthenticator) set(token string, id distribute.Identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[token] = id
}

func withTestbed(t *testing.T, test func(t *testing.T, w *testbed)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		authorities, _, err := ca.Authorities(nil).Renew(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w := &testbed{
			t: t, dir: dir, managers: map[string]*manager{}, ca: authorities,
			tokens: &fakeAuthenticator{known: map[string]distribute.Identity{}},
		}
		w.write("bundle", w.ca.Bundle())
		w.resolve = w.addresses
		defer w.stopManagers()
		test(t, w)
	})
}

func (w *testbed) path(name string) string { return filepath.Join(w.dir, name) }

func (w *testbed) write(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// manager is one replica.
type manager struct {
	address  string
	store    *distribute.Store
	listener *bufconn.Listener
	stop     func()
}

func (w *testbed) manager(address string) *manager {
	w.t.Helper()
	m := &manager{address: address, store: distribute.NewStore(distribute.StoreOptions{}), listener: bufconn.Listen(1 << 20)}
	authorities := w.ca
	server, err := distribute.NewServer(distribute.ServerOptions{
		Store: m.store, Authenticator: w.tokens,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return authorities.Issue(time.Now(), []string{service})
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, m.listener) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("manager: %v", err)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.managers[address] = m
	return m
}

// leader is a replica that serves agents.
func (w *testbed) leader(address string) *manager {
	m := w.manager(address)
	m.store.Serving().Start()
	return m
}

func (w *testbed) stopManagers() {
	addresses, _ := w.addresses()
	for _, address := range addresses {
		w.removeReplica(address)
	}
}

func (m *manager) publish(t *testing.T, fill func(b *distribute.Batch)) {
	t.Helper()
	var b distribute.Batch
	fill(&b)
	if err := m.store.Publish(&b); err != nil {
		t.Fatal(err)
	}
}

// rollout returns how far the policy of a profile has come.
func (m *manager) rollout(name string) distribute.Rollout {
	return m.store.Rollout(policy.ParseID("shop/" + name))
}

// agent is one agent process.
type agent struct {
	*subscribe.Client
	applier *applier
	stop    func()
}

type agentOptions struct {
	node, token, pod string // default: token and pod by node
	claim            string // the node it claims; default node
	applier          *applier
	reporter         subscribe.Reporter
	breakers         subscribe.Breakers
	applies          subscribe.Applier // in place of applier
	noCopy           bool
	onDial           func()
	received         *atomic.Int64 // counts the bytes that arrive
}

func (w *testbed) agent(o agentOptions) *agent {
	w.t.Helper()
	if o.token == "" {
		o.token = "token-" + o.node
	}
	if o.pod == "" {
		o.pod = "agent-" + o.node
	}
	if o.applier == nil {
		o.applier = new(applier)
	}
	if o.claim == "" {
		o.claim = o.node
	}
	if _, err := w.tokens.Authenticate(context.Background(), o.token); err != nil && o.token == "token-"+o.node {
		w.tokens.set(o.token, distribute.Identity{Node: o.node, PodUID: o.pod})
	}
	w.write("token-file-"+o.node, []byte(o.token))
	opts := subscribe.Options{
		Node: o.claim, Target: service + ":9443", TokenFile: w.path("token-file-" + o.node), BundleFile: w.path("bundle"),
		CopyFile: w.path("copy-" + o.node), Applier: o.applier, Reporter: o.reporter, Breakers: o.breakers,
		Resolve: func(context.Context) ([]string, error) { return w.resolve() },
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			if o.onDial != nil {
				o.onDial()
			}
			m := w.at(address)
			if m == nil {
				return nil, errors.New("connection refused")
			}
			conn, err := m.listener.DialContext(ctx)
			if o.received != nil && err == nil {
				conn = &countingConn{conn, o.received}
			}
			return conn, err
		},
	}
	if o.applies != nil {
		opts.Applier = o.applies
	}
	if o.noCopy {
		opts.CopyFile = ""
	}
	client, err := subscribe.New(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	return &agent{Client: client, applier: o.applier, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("agent: %v", err)
		}
	})}
}

// awaitQuiet waits until nothing is left to happen, reconnections and their delays included.
func awaitQuiet() {
	time.Sleep(30 * time.Second)
	synctest.Wait()
}

// applier puts snapshots into force, except those it refuses.
type applier struct {
	mu      sync.Mutex
	inForce *policy.Snapshot
	applied int
	refuse  func(*policy.Profile) bool
	broken  func() bool   // whether nothing at all can be applied
	block   chan struct{} // if set, Apply waits for it
	takes   time.Duration // how long Apply takes
}

func (a *applier) Apply(next *policy.Snapshot) []subscribe.Rejection {
	if a.block != nil {
		<-a.block
	}
	time.Sleep(a.takes)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken != nil && a.broken() {
		return []subscribe.Rejection{{Reason: wire.ReasonResources, Message: "out of files"}}
	}
	var out []subscribe.Rejection
	for _, name := range slices.Sorted(maps.Keys(next.Profiles)) {
		if a.refuse != nil && a.refuse(next.Profiles[name]) {
			out = append(out, subscribe.Rejection{Profile: name, Reason: wire.ReasonInvalid, Message: "will not"})
		}
	}
	if out == nil {
		a.inForce = next
		a.applied++
	}
	return out
}

// set changes what is refused.
func (a *applier) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *applier) snapshot() *policy.Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inForce
}

func (a *applier) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.applied
}

// countingConn counts what is read.
type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}
