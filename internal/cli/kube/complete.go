package kube

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// completionTime bounds how long a shell waits for names.
const completionTime = 3 * time.Second

// Completion is what cobra asks for the words that may come next.
type Completion = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// CompletePolicies completes the first argument with the names of RetryPolicies of the namespace, and of ClusterRetryPolicies as
// clusterretrypolicy/name.
func (e *Env) CompletePolicies() Completion {
	return e.first(func(ctx context.Context, c client.Client) []string {
		names := e.namesOf(ctx, c, v1alpha1.GroupVersion().WithKind(v1alpha1.RetryPolicyKind), true)
		for _, name := range e.namesOf(ctx, c, v1alpha1.GroupVersion().WithKind(v1alpha1.ClusterRetryPolicyKind), false) {
			names = append(names, "clusterretrypolicy/"+name)
		}
		return names
	})
}

// CompletePods completes the first argument with the names of pods of the namespace.
func (e *Env) CompletePods() Completion {
	return e.first(func(ctx context.Context, c client.Client) []string {
		return e.namesOf(ctx, c, corev1.SchemeGroupVersion.WithKind("Pod"), true)
	})
}

// CompleteWorkloads completes the first argument with the names of Deployments, StatefulSets and DaemonSets of the namespace.
func (e *Env) CompleteWorkloads() Completion {
	return e.first(func(ctx context.Context, c client.Client) (names []string) {
		for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
			names = append(names, e.namesOf(ctx, c, appsv1.SchemeGroupVersion.WithKind(kind), true)...)
		}
		return names
	})
}

// CompleteNamespaces completes the value of a flag with the names of namespaces.
func (e *Env) CompleteNamespaces() Completion {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return e.complete(begun, func(ctx context.Context, c client.Client) []string {
			return e.namesOf(ctx, c, corev1.SchemeGroupVersion.WithKind("Namespace"), false)
		})
	}
}

func (e *Env) first(names func(context.Context, client.Client) []string) Completion {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return e.complete(begun, names)
	}
}

func (e *Env) complete(begun string, names func(context.Context, client.Client) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	c, err := e.Client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	fit := slices.DeleteFunc(names(ctx, c), func(name string) bool { return !strings.HasPrefix(name, begun) })
	slices.Sort(fit)
	return fit, cobra.ShellCompDirectiveNoFileComp
}

// namesOf lists the names of objects of a kind, of which it asks for the metadata alone. What cannot be listed completes nothing.
func (e *Env) namesOf(ctx context.Context, c client.Client, kind schema.GroupVersionKind, namespaced bool) []string {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	var options []client.ListOption
	if namespaced {
		namespace, err := e.Namespace()
		if err != nil {
			return nil
		}
		options = append(options, client.InNamespace(namespace))
	}
	if err := c.List(ctx, list, options...); err != nil {
		return nil
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names
}
