package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/doctor"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// gatherer gathers an archive.
type gatherer struct {
	*archive
	env    *kube.Env
	client client.Client
	redact *redactor
	limits limits
}

// objects gathers what the API server has, and what doctor finds.
func (g *gatherer) objects(ctx context.Context, a *ask.Asker) {
	g.policies(ctx)
	g.events(ctx)
	g.nodes(ctx)
	var deployments appsv1.DeploymentList
	g.list(ctx, "fairlead/deployments.json", &deployments, client.InNamespace(g.env.System))
	var sets appsv1.DaemonSetList
	g.list(ctx, "fairlead/daemonsets.json", &sets, client.InNamespace(g.env.System))
	var pods corev1.PodList
	g.list(ctx, "fairlead/pods.json", &pods, client.InNamespace(g.env.System))
	g.addValue("doctor.json", "kubectl fairlead doctor", doctor.Check(ctx, doctor.Options{Env: g.env, Client: g.client, Ask: a, Agents: g.limits.agents}), nil)
}

// list gathers objects of fairlead's own namespace.
func (g *gatherer) list(ctx context.Context, name string, list client.ObjectList, options ...client.ListOption) {
	if err := g.client.List(ctx, list, options...); err != nil {
		g.miss(name, err)
		return
	}
	all, err := g.plain(list)
	g.addValue(name, "the API server", all, err)
}

// plain returns the objects of a list as JSON has them, without what is not to leave the cluster.
func (g *gatherer) plain(list client.ObjectList) ([]any, error) {
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	all := make([]any, 0, len(items))
	for _, o := range items {
		text, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return nil, err
		}
		all = append(all, strip(v, ""))
	}
	return all, nil
}

// known reports whether an annotation is one of Kubernetes or fairlead, which have no secrets: what others hold nobody knows.
func known(annotation string) bool {
	domain, _, ok := strings.Cut(annotation, "/")
	for _, of := range []string{"kubernetes.io", "k8s.io", "fairlead.dev"} {
		if ok && (domain == of || strings.HasSuffix(domain, "."+of)) {
			return true
		}
	}
	return false
}

// strip removes values of header fields, bodies, environment variables, annotations that are not known, and what repeats an object as it was written, from
// a value of JSON. under is the field that has it.
func strip(v any, under string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = strip(v[i], under)
		}
	case map[string]any:
		delete(v, "managedFields")
		for key, of := range v {
			switch {
			case key == "kubectl.kubernetes.io/last-applied-configuration":
				delete(v, key)
			case under == "annotations" && !known(key):
				v[key] = removed
			case key == "body" && under == "response", key == "value" && (strings.Contains(strings.ToLower(under), "header") || under == "env"):
				v[key] = removed
			default:
				v[key] = strip(of, key)
			}
		}
		return v
	}
	return v
}

// policies gathers all policies with their status.
func (g *gatherer) policies(ctx context.Context) {
	for kind, list := range map[string]client.ObjectList{"retrypolicies": &v1alpha1.RetryPolicyList{}, "clusterretrypolicies": &v1alpha1.ClusterRetryPolicyList{}} {
		if err := g.client.List(ctx, list); err != nil {
			g.miss("policies/"+kind+".yaml", err)
			continue
		}
		items, err := g.plain(list)
		if err == nil {
			var text []byte
			if text, err = yaml.Marshal(items); err == nil {
				g.add("policies/"+kind+".yaml", "the API server", text)
				continue
			}
		}
		g.miss("policies/"+kind+".yaml", err)
	}
}

// events gathers the Events about policies, and those of fairlead's own namespace.
func (g *gatherer) events(ctx context.Context) {
	var own, all corev1.EventList
	if err := g.client.List(ctx, &own, client.InNamespace(g.env.System)); err != nil {
		g.miss("events/fairlead.json", err)
	} else {
		items, err := g.plain(&own)
		g.addValue("events/fairlead.json", "the API server", items, err)
	}
	err := g.client.List(ctx, &all)
	if err != nil { // who may not see those of all namespaces may see those of one
		namespace, wrong := g.env.Namespace()
		if wrong == nil {
			g.miss("events/policies.json of other namespaces than "+namespace, err)
			err = g.client.List(ctx, &all, client.InNamespace(namespace))
		}
	}
	if err != nil {
		g.miss("events/policies.json", err)
		return
	}
	var of corev1.EventList
	for i := range all.Items {
		if k := all.Items[i].InvolvedObject.Kind; k == v1alpha1.RetryPolicyKind || k == v1alpha1.ClusterRetryPolicyKind {
			of.Items = append(of.Items, all.Items[i])
		}
	}
	items, err := g.plain(&of)
	g.addValue("events/policies.json", "the API server", items, err)
}

// node is what is gathered of a node.
type node struct {
	Name        string                `json:"name"`
	Zone        string                `json:"zone,omitempty"`
	Info        corev1.NodeSystemInfo `json:"info"`
	Conditions  map[string]string     `json:"conditions"`
	Allocatable corev1.ResourceList   `json:"allocatable"`
	Taints      []corev1.Taint        `json:"taints,omitempty"`
}

// nodes gathers the facts of nodes that matter: kernels, runtimes, versions, and how they fare.
func (g *gatherer) nodes(ctx context.Context) {
	var list corev1.NodeList
	if err := g.client.List(ctx, &list); err != nil {
		g.miss("nodes.json", err)
		return
	}
	all := make([]node, len(list.Items))
	for i := range list.Items {
		n := &list.Items[i]
		g.redact.node(n.Name) // which has no field that says so
		info := n.Status.NodeInfo
		info.MachineID, info.SystemUUID, info.BootID = "", "", ""
		all[i] = node{Name: n.Name, Zone: n.Labels[corev1.LabelTopologyZone], Info: info, Allocatable: n.Status.Allocatable, Taints: n.Spec.Taints, Conditions: map[string]string{}}
		for _, c := range n.Status.Conditions {
			all[i].Conditions[string(c.Type)] = fmt.Sprintf("%s (%s)", c.Status, c.Reason)
		}
	}
	g.addValue("nodes.json", "the API server", all, nil)
}
