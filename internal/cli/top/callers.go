package top

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/liveapi"
)

// source is where figures come from.
type source struct {
	asker  *ask.Asker
	client client.Reader
	// namespace is whose calls are asked for; empty: those of all.
	namespace string
	// selector selects the calling pods; nil: all.
	selector labels.Selector
}

// selected parses the selector of the flags.
func (f *flags) selected() (labels.Selector, error) {
	if f.selector == "" {
		return nil, nil
	}
	s, err := labels.Parse(f.selector)
	if err != nil {
		return nil, fmt.Errorf("--selector: %w: write it as team=shop,tier!=test", err)
	}
	return s, nil
}

// figures asks the manager for at most so many flows. Where pods are selected it asks for as many as it gets, and leaves out those of workloads that
// have no such pod now. What the manager has left out is not known to be of such pods, and stays counted.
func (f *flags) figures(ctx context.Context, s *source, limit int) (*liveapi.Inventory, error) {
	var callers map[caller]bool
	if s.selector != nil {
		limit = maxFlows
		var err error
		if callers, err = s.callers(ctx); err != nil {
			return nil, err
		}
	}
	var got liveapi.Inventory
	if err := s.asker.Manager(ctx, liveapi.InventoryPath, f.query(s.namespace, limit), &got); err != nil || s.selector == nil {
		return &got, err
	}
	got.Flows = slices.DeleteFunc(got.Flows, func(w liveapi.Flow) bool { return !callers[caller{w.Namespace, w.Workload}] })
	got.Total = liveapi.Flow{}
	for i := range got.Flows {
		w := &got.Flows[i]
		got.Total.Calls += w.Calls
		got.Total.PerSecond += w.PerSecond
		got.Total.Successes += w.Successes
		got.Total.Retries += w.Retries
	}
	return &got, nil
}

// caller names a workload as flows do.
type caller struct{ namespace, workload string }

// callers are the workloads that have a pod with the labels.
func (s *source) callers(ctx context.Context) (map[caller]bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	if err := s.client.List(ctx, list, &client.ListOptions{Namespace: s.namespace, LabelSelector: s.selector}); err != nil {
		return nil, kube.Explain(err, "list the pods that --selector selects")
	}
	out := map[caller]bool{}
	for i := range list.Items {
		name := list.Items[i].Name
		if owner := compile.OwnerOf(&corev1.Pod{ObjectMeta: list.Items[i].ObjectMeta}); owner != nil {
			name = owner.Name
		}
		out[caller{list.Items[i].Namespace, name}] = true
	}
	return out, nil
}
