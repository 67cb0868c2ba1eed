package kube

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The names that fairlead's own objects have.
const (
	managerName = "fairlead-manager"
	agentName   = "fairlead-agent"
	// nameLabel is the label by which their pods are found.
	nameLabel = "app.kubernetes.io/name"
)

// Component is one of fairlead's programs in the cluster.
type Component struct {
	Image   string `json:"image"`
	Desired int32  `json:"desired"`
	Ready   int32  `json:"ready"`
	// Updated is how many are of the version that is wanted.
	Updated int32 `json:"updated"`
}

// Whole reports whether all are ready, and of one version.
func (c *Component) Whole() bool { return c.Ready >= c.Desired && c.Updated >= c.Desired }

// String says how many are ready.
func (c *Component) String() string {
	s := fmt.Sprintf("%d of %d ready", c.Ready, c.Desired)
	if c.Updated < c.Desired {
		s += fmt.Sprintf(", %d of %d updated", c.Updated, c.Desired)
	}
	return s
}

// Components are fairlead's programs in the cluster.
type Components struct {
	Namespace string    `json:"namespace"`
	Manager   Component `json:"manager"`
	Agents    Component `json:"agents"`
	// Docs is the address of the docs, as who installed fairlead says by DocsAnnotation. It is not checked.
	Docs string `json:"docs,omitempty"`
}

// DocsAnnotation of the manager's Deployment says where the docs are that findings lead to. The chart writes it (docsURL).
const DocsAnnotation = "policy.fairlead.dev/docs-url"

// Components reads how many managers and agents there are, and of which image.
func (e *Env) Components(ctx context.Context, c client.Reader) (*Components, error) {
	out := &Components{Namespace: e.System}
	var d appsv1.Deployment
	if err := c.Get(ctx, client.ObjectKey{Namespace: e.System, Name: managerName}, &d); err != nil {
		return nil, e.notInstalled(err, "the manager")
	}
	out.Docs = d.Annotations[DocsAnnotation]
	out.Manager = Component{Image: image(&d.Spec.Template.Spec), Desired: 1, Ready: d.Status.ReadyReplicas, Updated: d.Status.UpdatedReplicas}
	if d.Spec.Replicas != nil {
		out.Manager.Desired = *d.Spec.Replicas
	}
	var s appsv1.DaemonSet
	if err := c.Get(ctx, client.ObjectKey{Namespace: e.System, Name: agentName}, &s); err != nil {
		return nil, e.notInstalled(err, "the agents")
	}
	out.Agents = Component{
		Image: image(&s.Spec.Template.Spec), Desired: s.Status.DesiredNumberScheduled, Ready: s.Status.NumberReady, Updated: s.Status.UpdatedNumberScheduled,
	}
	return out, nil
}

func (e *Env) notInstalled(err error, what string) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s of fairlead cannot be found in namespace %s: say where fairlead is with --fairlead-namespace", what, e.System)
	}
	return Explain(err, "look for "+what+" in namespace "+e.System)
}

// image is that of the first container.
func image(p *corev1.PodSpec) string {
	if len(p.Containers) == 0 {
		return ""
	}
	return p.Containers[0].Image
}

// ManagerPods returns the pods of the manager, by name.
func (e *Env) ManagerPods(ctx context.Context, c client.Reader) ([]corev1.Pod, error) {
	return e.systemPods(ctx, c, managerName)
}

// AgentPods returns the pods of the agents, by name.
func (e *Env) AgentPods(ctx context.Context, c client.Reader) ([]corev1.Pod, error) {
	return e.systemPods(ctx, c, agentName)
}

func (e *Env) systemPods(ctx context.Context, c client.Reader, name string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(e.System), client.MatchingLabels{nameLabel: name}); err != nil {
		return nil, Explain(err, "list pods in namespace "+e.System)
	}
	return pods.Items, nil
}
