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
	"fairlead.dev/fairlead/internal/cli/output"
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

// CompletePolicyKeys completes a word with policies as fairlead names them: namespace/name, those of all namespaces where -A is set, or the name of a
// ClusterRetryPolicy.
func (e *Env) CompletePolicyKeys() Completion {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return e.Complete(begun, func(ctx context.Context, c client.Client) []string {
			options, err := e.within(cmd)
			if err != nil {
				return nil
			}
			policies, err := Policies(ctx, c, options)
			if err != nil {
				return nil
			}
			keys := make([]string, len(policies))
			for i := range policies {
				keys[i] = policies[i].Key()
			}
			return keys
		})
	}
}

// within are the namespaces that a command is about: all with -A, otherwise that of the flags.
func (e *Env) within(cmd *cobra.Command) (*client.ListOptions, error) {
	if all, err := cmd.Flags().GetBool("all-namespaces"); err == nil && all {
		return &client.ListOptions{}, nil
	}
	namespace, err := e.Namespace()
	return &client.ListOptions{Namespace: namespace}, err
}

// CompleteNodes completes a word with the names of the nodes that agents run on.
func (e *Env) CompleteNodes() Completion {
	return e.everywhere(func(ctx context.Context, c client.Client) (names []string) {
		agents, err := e.AgentPods(ctx, c)
		if err != nil {
			return nil
		}
		for i := range agents {
			names = append(names, agents[i].Spec.NodeName)
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

// CompleteWorkload completes the first argument with the names of Deployments, StatefulSets and DaemonSets of the namespace.
func (e *Env) CompleteWorkload() Completion { return e.first(e.workloads) }

// CompleteWorkloads completes a word with the names of Deployments, StatefulSets and DaemonSets of the namespace.
func (e *Env) CompleteWorkloads() Completion { return e.everywhere(e.workloads) }

func (e *Env) workloads(ctx context.Context, c client.Client) (names []string) {
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		names = append(names, e.namesOf(ctx, c, appsv1.SchemeGroupVersion.WithKind(kind), true)...)
	}
	return names
}

// CompleteNamespaces completes the value of a flag with the names of namespaces.
func (e *Env) CompleteNamespaces() Completion {
	return e.everywhere(func(ctx context.Context, c client.Client) []string {
		return e.namesOf(ctx, c, corev1.SchemeGroupVersion.WithKind("Namespace"), false)
	})
}

// everywhere completes a word wherever it stands.
func (e *Env) everywhere(names func(context.Context, client.Client) []string) Completion {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return e.Complete(begun, names)
	}
}

func (e *Env) first(names func(context.Context, client.Client) []string) Completion {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return e.Complete(begun, names)
	}
}

// Complete completes a word that has begun with the names that fit it. Names that a terminal would act on are left out.
func (e *Env) Complete(begun string, names func(context.Context, client.Client) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	c, err := e.Client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	fit := slices.DeleteFunc(names(ctx, c), func(name string) bool {
		return !strings.HasPrefix(name, begun) || name == "" || output.Text(name) != name
	})
	slices.Sort(fit)
	return slices.Compact(fit), cobra.ShellCompDirectiveNoFileComp
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
