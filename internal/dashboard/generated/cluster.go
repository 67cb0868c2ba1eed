package generated

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/dashboard/cluster"
)

// Size says how large a cluster is.
type Size struct {
	Namespaces, PoliciesEach, PodsEach, Nodes int
}

// Large is the largest cluster that fairlead is for: 2,000 policies and 5,000 nodes. Small is one for tests that do not need that.
var (
	Large = Size{Namespaces: 100, PoliciesEach: 20, PodsEach: 40, Nodes: 5000}
	Small = Size{Namespaces: 3, PoliciesEach: 4, PodsEach: 6, Nodes: 5}
)

// Script is what the names are made of that attempt to have a page run a script: it sets a variable of the page.
const Script = `"><img src=x onerror="window.fairleadScriptRan=1"><script>window.fairleadScriptRan=1</script>`

// Cluster is one that was generated. It goes on living while Run runs.
type Cluster struct {
	Env    *kube.Env
	Client client.WithWatch

	size     Size
	rnd      *rand.Rand
	policies []*madePolicy
	pods     []*corev1.Pod
	agents   map[string]*corev1.Pod // by name
	byNode   map[string][]*madePolicy
	flows    []*madeFlow
	store    *inventory.Store
	changes  *changes.Log
}

// madePolicy is a policy, and how its calls fare.
type madePolicy struct {
	key, namespace string
	target, label  string // as agents name it, and as status does
	service        bool
	rate, success  float64
	p50            time.Duration
	open           bool // its breaker
	dryRun         bool // its breaker would be open
	limited        bool
}

// New returns a cluster with an hour of traffic behind it.
func New(size Size) (*Cluster, error) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams() //nolint:dogsled // that is what it returns
	c := &Cluster{
		Env: kube.NewEnv(streams), size: size, rnd: rand.New(rand.NewPCG(1, 2)), agents: map[string]*corev1.Pod{}, byNode: map[string][]*madePolicy{},
		changes: changes.New(),
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return nil, err
	}
	objects := c.objects()
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.RetryPolicy{}, &v1alpha1.ClusterRetryPolicy{}).Build()
	c.Env.Connect = func() (client.WithWatch, error) { return c.Client, nil }
	c.history(time.Now())
	return c, nil
}

// Source returns what answers the dashboard's pages from it.
func (c *Cluster) Source() *cluster.Source {
	return cluster.New(cluster.Options{
		Env: c.Env, Client: c.Client, Reach: c.reach, Context: "generated", Server: "https://generated.example:6443", Version: "v0.0.0-generated",
	})
}

// Run has traffic go on until ctx ends.
func (c *Cluster) Run(ctx context.Context) {
	tick := time.NewTicker(inventory.Slot)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.traffic(now)
			c.happens(now)
		}
	}
}

// NodeName is the name of a node by its number.
func NodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

// DomainNames are what its namespaces are called after. The list is never written to.
var domainNames = []string{
	"shop", "billing", "search", "catalog", "warehouse", "identity", "messaging", "pricing", "analytics", "support", "routing", "media", "ledger", "risk", "partners", "mobile", "reviews",
	"shipping", "returns", "loyalty",
}

// workloadNames are the workloads of each namespace. The list is never written to.
var workloadNames = []string{"api", "web", "worker", "scheduler", "gateway", "indexer", "importer", "notifier", "cart", "checkout", "session", "reports"}

func namespaceName(i int) string {
	name := domainNames[i%len(domainNames)]
	if n := i / len(domainNames); n > 0 {
		name = fmt.Sprintf("%s-%d", name, n+1)
	}
	return name
}
