package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/egress"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/references"
	"fairlead.dev/fairlead/internal/policy"
)

// What agents know the manager by.
const (
	serviceName    = "fairlead-manager"
	managerAccount = "fairlead-manager"
	agentAccount   = "fairlead-agent"
	tokenAudience  = "fairlead-manager"
	authorityName  = "fairlead-ca" // of the Secret and the ConfigMap
	leaderElection = "fairlead-manager"
)

// What the manager may do. It writes status and events, and in its own namespace its authority and its lease.
//
// +kubebuilder:rbac:groups=policy.fairlead.dev,resources=retrypolicies;clusterretrypolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.fairlead.dev,resources=retrypolicies/status;clusterretrypolicies/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods;namespaces;services;nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=secrets;configmaps,verbs=create
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=secrets;configmaps,resourceNames=fairlead-ca,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=fairlead-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=fairlead-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=fairlead-system,resources=leases,resourceNames=fairlead-manager,verbs=get;update

// What policies refer to is read where a namespace permits it, by a role that is bound nowhere at first: config/rbac/references.yaml.
// ClusterTrustBundles may be read by every service account anyway.
//
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=clustertrustbundles,verbs=get;list;watch

// Options configure a Manager.
type Options struct {
	Config *rest.Config
	// Namespace is the manager's own.
	Namespace string
	// LeaderElect has replicas agree on one that writes status and serves agents.
	LeaderElect bool
	// Agents accepts agents' connections; the manager closes it.
	Agents net.Listener
	// MetricsAddress and HealthAddress are bind addresses; "0" for none.
	MetricsAddress, HealthAddress string
	// LiveAddress serves the live API, which answers the manager's own pod alone; "" or "0" for none.
	LiveAddress string
	// InventoryFlows is how many flows the inventory keeps apart; 0: there is none. InventoryMetrics has metrics show them.
	InventoryFlows   int
	InventoryMetrics bool
	// ProfilingAddress serves pprof; "" for none.
	ProfilingAddress string
	// ClusterDomain is the domain of Services' names, cluster.local if empty.
	ClusterDomain string
	Logger        *slog.Logger
	// Metrics is where the manager's own metrics are registered, and what is served with them.
	Metrics metrics.RegistererGatherer
}

// Manager is the controller with all it needs. New makes it, Run runs it.
type Manager struct {
	opts    Options
	manager manager.Manager
	egress  *egress.Renewer // set by setup
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
		Metrics:                       server.Options{BindAddress: "0"}, // addMetrics serves them, with bounds
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
	if err := m.setup(); err != nil {
		return nil, err
	}
	return m, nil
}

// Run works until ctx ends or the lead is lost.
func (m *Manager) Run(ctx context.Context) error { return m.manager.Start(ctx) }

// setup makes the parts and has the manager run them.
func (m *Manager) setup() error {
	queue, rollouts := &keyQueue[policy.ID]{}, &keyQueue[policy.ID]{}
	enqueue := func(ids []policy.ID) { queue.add(ids); rollouts.add(ids) }
	lookup := &clusterLookup{reader: m.manager.GetClient(), domain: m.opts.ClusterDomain}
	idx := index.New(lookup, m.opts.Namespace)
	acknowledged := ackDurations()
	parts, err := newLiveParts(&m.opts)
	if err != nil {
		return err
	}
	store := distribute.NewStore(parts.storeOptions(func(profiles []string) { enqueue(idx.PoliciesOf(profiles)) }, acknowledged))
	wrote, err := registerMetrics(m.opts.Metrics, idx, store, acknowledged)
	if err != nil {
		return err
	}
	if err := errors.Join(m.addServer(store), m.addMetrics(), m.addLive(parts, store, lookup)); err != nil {
		return err
	}
	compiler := newCompiler(idx, store, enqueue, m.opts.Logger)
	if err := m.manager.Add(compiler); err != nil {
		return err
	}
	objects := &objectReconciler{reader: m.manager.GetClient(), pods: newPodStore(), index: idx, changes: parts.changes, changed: compiler.changed, waiting: map[objectKey]map[objectKey]struct{}{}}
	if err := m.addObjects(objects, lookup, store); err != nil {
		return err
	}
	rolling := &rolloutReconciler{
		index: idx, agents: store, kept: objects.kept, clock: clock.RealClock{}, changed: compiler.changed, statuses: queue.add, logger: m.opts.Logger,
		observed: map[policy.ID]*observedRollout{}, uids: map[policy.ID]types.UID{},
	}
	if err := rolling.SetupWithManager(m.manager, rollouts); err != nil {
		return err
	}
	statuses := &statusReconciler{
		client: m.manager.GetClient(), index: idx, agents: store, clock: clock.RealClock{}, schedule: defaultWriteSchedule(), wrote: wrote,
		recorder: recordingChanges{m.manager.GetEventRecorder(fieldOwner), parts.changes}, changes: parts.changes, records: map[policy.ID]*statusRecord{},
	}
	return errors.Join(m.opts.Metrics.Register(statuses), statuses.SetupWithManager(m.manager, queue))
}

// addObjects adds the object reconciler, and what reads and publishes the objects that are not cached.
func (m *Manager) addObjects(objects *objectReconciler, lookup *clusterLookup, store *distribute.Store) error {
	clients, err := m.clients()
	if err != nil {
		return err
	}
	objects.kept = &revisions{client: clients.AppsV1().ControllerRevisions(m.opts.Namespace)}
	referenced := &keyQueue[objectKey]{}
	watcher, err := m.addReferences(clients, objects.index, referenced)
	if err != nil {
		return err
	}
	renewer, err := m.addEgress(clients, objects.index, store)
	if err != nil {
		return err
	}
	m.egress = renewer
	lookup.references = watcher.Find
	objects.references, objects.referenced, objects.namespaceChanged = watcher, referenced, renewer.Wake
	return objects.SetupWithManager(m.manager)
}

// addReferences adds what reads the objects that policies refer to.
func (m *Manager) addReferences(clients kubernetes.Interface, idx *index.Index, referenced *keyQueue[objectKey]) (*references.Watcher, error) {
	w := references.New(references.Options{
		Client: clients, Namespace: m.opts.Namespace, Account: managerAccount, Used: idx.References, Logger: m.opts.Logger,
		Changed: func(refs []compile.Reference) {
			keys := make([]objectKey, len(refs))
			for i, ref := range refs {
				keys[i] = keyOf(ref)
			}
			referenced.add(keys)
		},
	})
	return w, m.manager.Add(w)
}
