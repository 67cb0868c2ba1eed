// Package gather collects what decides which policies are in force: from a cluster, with the rights of who asks, and from files.
package gather

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// Gathered is what was collected, and what could not be.
type Gathered struct {
	effective.World
	// Notes are sentences about what is not known.
	Notes []string
}

// Namespace collects what concerns the pods of one namespace, and the Services that its policies name, with the endpoints of those in also.
func Namespace(ctx context.Context, env *kube.Env, c client.Reader, namespace string, also ...string) (*Gathered, error) {
	g := &Gathered{World: effective.World{Exempt: env.System}}
	if err := g.policies(ctx, c, namespace); err != nil {
		return nil, err
	}
	var ns corev1.Namespace
	switch err := c.Get(ctx, client.ObjectKey{Name: namespace}, &ns); {
	case err == nil:
		g.Namespaces = append(g.Namespaces, ns)
	case apierrors.IsForbidden(err):
		g.Namespaces = append(g.Namespaces, corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{corev1.LabelMetadataName: namespace}},
		})
		g.Notes = append(g.Notes, "The labels of namespace "+namespace+" may not be read, so ClusterRetryPolicies are selected by its name alone.")
	default:
		return nil, kube.Explain(err, "read namespace "+namespace)
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return nil, kube.Explain(err, "list pods in namespace "+namespace)
	}
	g.Pods = pods.Items
	return g, g.services(ctx, c, namespace, also)
}

// Cluster collects what concerns all pods.
func Cluster(ctx context.Context, env *kube.Env, c client.Reader) (*Gathered, error) {
	g := &Gathered{World: effective.World{Exempt: env.System}}
	if err := g.policies(ctx, c, ""); err != nil {
		return nil, err
	}
	var namespaces corev1.NamespaceList
	var pods corev1.PodList
	var services corev1.ServiceList
	for what, list := range map[string]client.ObjectList{"namespaces": &namespaces, "pods": &pods, "Services": &services} {
		if err := c.List(ctx, list); err != nil {
			return nil, kube.Explain(err, "list "+what+" of all namespaces, which a ClusterRetryPolicy may concern")
		}
	}
	g.Namespaces, g.Pods, g.Services = namespaces.Items, pods.Items, services.Items
	return g, nil
}

func (g *Gathered) policies(ctx context.Context, c client.Reader, namespace string) error {
	policies, err := kube.Policies(ctx, c, &client.ListOptions{Namespace: namespace})
	if err != nil {
		return err
	}
	for i := range policies {
		switch p := policies[i].Object.(type) {
		case *v1alpha1.RetryPolicy:
			g.RetryPolicies = append(g.RetryPolicies, *p)
		case *v1alpha1.ClusterRetryPolicy:
			g.ClusterRetryPolicies = append(g.ClusterRetryPolicies, *p)
		}
	}
	return nil
}

// services adds the Services that the policies name as they read in a namespace, if they are not there yet.
func (g *Gathered) services(ctx context.Context, c client.Reader, namespace string, also []string) error {
	names := append(slices.Clone(also), g.ServiceNames(namespace)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := g.service(ctx, c, name, slices.Contains(also, name)); err != nil {
			return err
		}
	}
	return nil
}

// ServiceNames lists the Services that the policies name, as they read in a namespace.
func (g *Gathered) ServiceNames(namespace string) []string {
	var names []string
	for i := range g.RetryPolicies {
		src := compile.FromRetryPolicy(&g.RetryPolicies[i])
		names = append(names, compile.Services(&src)...)
	}
	for i := range g.ClusterRetryPolicies {
		src := compile.FromClusterRetryPolicy(&g.ClusterRetryPolicies[i])
		names = append(names, compile.Services(&src)...)
	}
	for i := range names {
		names[i] = strings.Replace(names[i], "*/", namespace+"/", 1) // the caller's own
	}
	return names
}

func (g *Gathered) service(ctx context.Context, c client.Reader, name string, endpoints bool) error {
	namespace, base, _ := strings.Cut(name, "/")
	var svc corev1.Service
	switch err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: base}, &svc); {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		g.Notes = append(g.Notes, fmt.Sprintf("Service %s may not be read, so policies that name it are left out.", name))
		return nil
	case err != nil:
		return kube.Explain(err, "read Service "+name)
	}
	g.Services = append(g.Services, svc)
	if !endpoints {
		return nil
	}
	var list discoveryv1.EndpointSliceList
	err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: base})
	switch {
	case apierrors.IsForbidden(err):
		g.Notes = append(g.Notes, fmt.Sprintf("The endpoints of Service %s may not be read.", name))
		return nil
	case err != nil:
		return kube.Explain(err, "list the endpoints of Service "+name)
	}
	g.EndpointSlices = append(g.EndpointSlices, list.Items...)
	return nil
}
