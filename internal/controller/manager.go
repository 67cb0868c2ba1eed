package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/distribute/ca"
	"fairlead.dev/fairlead/internal/policy"
)

// What agents know the manager by.
const (
	serviceName    = "fairlead-manager"
	agentAccount   = "fairlead-agent"
	tokenAudience  = "fairlead-manager"
	authorityName  = "fairlead-ca" // of the Secret and the ConfigMap
	leaderElection = "fairlead-manager"
)

// What the manager may do. It writes status and events, and in its own namespace its authority and its lease.
//
// +kubebuilder:rbac:groups=policy.fairlead.dev,resources=retrypolicies;clusterretrypolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.fairlead.dev,resources=retrypolicies/status;clusterretrypolicies/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods;namespaces;services,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=secrets;configmaps,verbs=create
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=secrets;configmaps,resourceNames=fairlead-ca,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=fairlead-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=fairlead-system,resources=leases,resourceNames=fairlead-manager,verbs=get;update

// Options configure a Manager.
type Options struct {
	Config *rest.Config
	// Namespace is the manager's own.
	Namespace string
	// LeaderElect has replicas agree who writes status and serves agents.
	LeaderElect bool
	// Agents accepts agents' connections; the manager closes it.
	Agents net.Listener
	// MetricsAddress and HealthAddress are bind addresses; "0" for none.
	MetricsAddress, HealthAddress string
	// ProfilingAddress serves pprof; "" for none.
	ProfilingAddress string
	// ClusterDomain is the domain of Services' names, cluster.local if empty.
	ClusterDomain string
	Logger        *slog.Logger
	// Metrics is where the manager's own metrics are registered.
	Metrics prometheus.Registerer
}

// Manager is the office with all it needs. New makes it, Run runs it.
type Manager struct {
	opts    Options
	manager manager.Manager
}

// New returns a manager that has started nothing.
func New(opts Options) (*Manager, error) {
	if opts.Config == nil || opts.Namespace == "" || opts.Agents == nil || opts.Logger == nil || opts.Metrics == nil {
		return nil, errors.New("controller: a manager needs a client configuration, its namespace, a listener, a logger and a registry")
	}
	if opts.ClusterDomain == "" {
		opts.ClusterDomain = "cluster.local"
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	mgr, err := manager.New(opts.Config, manager.Options{
		Scheme:                        scheme,
		Logger:                        logr.FromSlogHandler(opts.Logger.Handler()),
		Cache:                         cacheOptions(),
		Metrics:                       server.Options{BindAddress: opts.MetricsAddress},
		HealthProbeBindAddress:        opts.HealthAddress,
		PprofBindAddress:              opts.ProfilingAddress,
		LeaderElection:                opts.LeaderElect,
		LeaderElectionID:              leaderElection,
		LeaderElectionNamespace:       opts.Namespace,
		LeaderElectionReleaseOnCancel: true, // the process ends when Run does
		GracefulShutdownTimeout:       ptr.To(10 * time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	m := &Manager{opts: opts, manager: mgr}
	if err := m.furnish(); err != nil {
		return nil, err
	}
	return m, nil
}

// Run works until ctx ends or the lead is lost.
func (m *Manager) Run(ctx context.Context) error { return m.manager.Start(ctx) }

// furnish puts the rooms into the house.
func (m *Manager) furnish() error {
	mail := &mailbox{}
	idx := newIndex(&cluster{reader: m.manager.GetClient(), domain: m.opts.ClusterDomain}, m.opts.Namespace)
	store := distribute.NewStore(distribute.StoreOptions{
		Notify: func(profiles []string) { mail.add(idx.policiesOf(profiles)) },
	})
	writes, err := instrument(m.opts.Metrics, idx, store)
	if err != nil {
		return err
	}
	if err := m.addServer(store); err != nil {
		return err
	}
	if err := m.addDesk(idx, store, mail); err != nil {
		return err
	}
	return m.addClerk(&clerk{
		client: m.manager.GetClient(), index: idx, agents: store, recorder: m.manager.GetEventRecorder(fieldOwner),
		clock: clock.RealClock{}, turns: newTurns(writesPerSecond, writeBurst), writes: writes, files: map[policy.ID]*file{},
	}, mail)
}

// addServer adds what runs on every replica: the certificate authority and the agents' server. The store's gate decides who answers.
func (m *Manager) addServer(store *distribute.Store) error {
	direct, err := client.New(m.opts.Config, client.Options{Scheme: m.manager.GetScheme(), HTTPClient: m.manager.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("set up a client: %w", err)
	}
	host := serviceName + "." + m.opts.Namespace
	keeper, err := ca.New(ca.Options{
		Storage:    &ca.Cluster{Client: direct, Namespace: m.opts.Namespace, Secret: authorityName, ConfigMap: authorityName},
		DNSNames: []string{serviceName, host, host + ".svc", host + ".svc." + m.opts.ClusterDomain},
		Logger:   m.opts.Logger,
	})
	if err != nil {
		return err
	}
	reviewer, err := distribute.NewTokenReviewer(distribute.TokenReviewOptions{
		Client: direct, Audience: tokenAudience, Namespace: m.opts.Namespace, ServiceAccount: agentAccount,
	})
	if err != nil {
		return err
	}
	srv, err := distribute.NewServer(distribute.ServerOptions{
		Store: store, Authenticator: reviewer, Certificate: keeper.Certificate, Logger: m.opts.Logger,
	})
	if err != nil {
		return err
	}
	serve := func(ctx context.Context) error { return srv.Run(ctx, m.opts.Agents) }
	return errors.Join(
		m.manager.Add(everywhere{keeper.Run}),
		m.manager.Add(everywhere{serve}),
		m.manager.AddHealthzCheck("ping", healthz.Ping),
		m.manager.AddReadyzCheck("certificate", certificateCheck(keeper.Certificate)),
	)
}

// certificateCheck holds readiness until agents can be greeted. It says nothing about leadership.
func certificateCheck(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) healthz.Checker {
	return func(*http.Request) error {
		_, err := certificate(nil)
		return err
	}
}

// everywhere runs on every replica.
type everywhere struct {
	run func(context.Context) error
}

func (e everywhere) Start(ctx context.Context) error { return e.run(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

func (m *Manager) addDesk(idx *index, store *distribute.Store, mail *mailbox) error {
	err := m.manager.GetFieldIndexer().IndexField(context.Background(), &discoveryv1.EndpointSlice{}, serviceIndex, indexSlice)
	if err != nil {
		return fmt.Errorf("index endpoint slices: %w", err)
	}
	if err := warm(context.Background(), m.manager.GetCache()); err != nil {
		return err
	}
	d := &desk{
		reader: m.manager.GetClient(), index: idx, agents: store, statuses: mail.add, logger: m.opts.Logger,
	}
	c, err := controller.NewTyped("desk", m.manager, controller.TypedOptions[fact]{
		Reconciler:              d,
		MaxConcurrentReconciles: 1,
		SkipNameValidation:      ptr.To(true), // several managers may live in one test process
	})
	if err != nil {
		return fmt.Errorf("set up the desk: %w", err)
	}
	if err := watchAll(c, m.manager); err != nil {
		return fmt.Errorf("watch the cluster: %w", err)
	}
	return m.manager.Add(d)
}

func (m *Manager) addClerk(c *clerk, mail *mailbox) error {
	ctl, err := controller.NewTyped("clerk", m.manager, controller.TypedOptions[policy.ID]{
		Reconciler:              c,
		MaxConcurrentReconciles: 4,
		SkipNameValidation:      ptr.To(true),
	})
	if err != nil {
		return fmt.Errorf("set up the clerk: %w", err)
	}
	return errors.Join(ctl.Watch(mail), m.manager.Add(&turnGiver{turns: c.turns, clock: c.clock, look: mail.add}))
}
