package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// parallel is how many requests are under way at a time when the cluster is filled.
const parallel = 32

// create puts the topology into the cluster.
func (w *topology) create(ctx context.Context, c *cluster) error {
	if err := w.createNamespaces(ctx, c); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, n := range w.nodes {
		g.Go(func() error {
			_, err := c.core.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
			return err
		})
	}
	for _, a := range w.apps {
		g.Go(func() error { return a.create(ctx, c) })
	}
	for _, p := range w.pods {
		g.Go(func() error { return createPod(ctx, c, p) })
	}
	for _, p := range w.policies {
		g.Go(func() error { return c.policies.Create(ctx, p) })
	}
	return g.Wait()
}

func (w *topology) createNamespaces(ctx context.Context, c *cluster) error {
	names := []string{everywhere.Namespace}
	for i := range teams {
		names = append(names, fmt.Sprintf("team-%02d", i))
	}
	for _, name := range names {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := c.core.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) create(ctx context.Context, c *cluster) error {
	if _, err := c.core.CoreV1().Services(a.team).Create(ctx, a.service(), metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := c.core.DiscoveryV1().EndpointSlices(a.team).Create(ctx, a.slice(), metav1.CreateOptions{})
	return err
}

// createPod creates a pod as if a kubelet had started it at once.
func createPod(ctx context.Context, c *cluster, p *corev1.Pod) error {
	pods := c.core.CoreV1().Pods(p.Namespace)
	made, err := pods.Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Status = p.Status
	_, err = pods.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}
