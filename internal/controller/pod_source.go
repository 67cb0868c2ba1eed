package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// podSource keeps the store in step with the cluster's pods, on every replica, so that one that comes to lead serves agents at once. There, it
// has the object reconciler read the pods that change. It does not name those that are there at first: the reconciler reads them all.
type podSource struct {
	store *podStore
	watch cache.ListerWatcher
}

var (
	_ manager.Runnable                     = (*podSource)(nil)
	_ manager.LeaderElectionRunnable       = (*podSource)(nil)
	_ source.TypedSyncingSource[objectKey] = podChanges{}
)

// newPodSource returns a source that reads pods with the configuration of the manager.
func newPodSource(mgr manager.Manager, store *podStore) (*podSource, error) {
	config := rest.CopyConfig(mgr.GetConfig())
	config.ContentType = runtime.ContentTypeProtobuf
	core, err := corev1client.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("set up a client for pods: %w", err)
	}
	return &podSource{store: store, watch: cache.NewListWatchFromClient(core.RESTClient(), "pods", metav1.NamespaceAll, fields.Everything())}, nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *podSource) NeedLeaderElection() bool { return false }

// Start keeps the store in step until ctx ends.
func (s *podSource) Start(ctx context.Context) error {
	reflector := cache.NewReflectorWithOptions(s.watch, &corev1.Pod{}, s.store, cache.ReflectorOptions{Name: "pods"})
	reflector.RunWithContext(ctx)
	return nil
}

// podChanges names the pods of a store that change to the object reconciler.
type podChanges struct{ store *podStore }

// Start implements source.TypedSource: queue is the reconciler's.
func (c podChanges) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[objectKey]) error {
	c.store.onChange(queue.Add)
	return nil
}

// WaitForSync returns when the store holds the whole cluster.
func (c podChanges) WaitForSync(ctx context.Context) error {
	select {
	case <-c.store.synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the pods: %w", ctx.Err())
	}
}
