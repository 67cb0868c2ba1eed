package gather

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// Files are the flags of a command that reads files.
type Files struct {
	Names     []string
	Recursive bool
	Kustomize string
}

// AddTo adds the flags to a command.
func (f *Files) AddTo(cmd *cobra.Command, use string) {
	cmd.Flags().StringSliceVarP(&f.Names, "filename", "f", nil, use)
	cmd.Flags().BoolVarP(&f.Recursive, "recursive", "R", false, "With -f and a directory: read the directories below it too")
	cmd.Flags().StringVarP(&f.Kustomize, "kustomize", "k", "", "A kustomization directory to read")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
}

// Given reports whether there are any.
func (f *Files) Given() bool { return len(f.Names) > 0 || f.Kustomize != "" }

// Objects reads the objects in the files, in their order. Objects of a kind that has namespaces and that name none get the namespace of the
// flags.
func (f *Files) Objects(env *kube.Env) ([]*unstructured.Unstructured, error) {
	namespace, err := env.Namespace()
	if err != nil {
		return nil, err
	}
	names := slices.Clone(f.Names)
	// Local: files are read as they are, and no API server is asked what they mean.
	b := resource.NewLocalBuilder().Unstructured().Flatten().ContinueOnError()
	if i := slices.Index(names, "-"); i >= 0 {
		names = slices.Delete(names, i, i+1)
		b = b.Stream(env.In, "standard input")
	}
	infos, err := b.FilenameParam(false, &resource.FilenameOptions{Filenames: names, Recursive: f.Recursive, Kustomize: f.Kustomize}).Do().Infos()
	if err != nil {
		return nil, fmt.Errorf("read files: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, info := range infos {
		u, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		if u.GetNamespace() == "" && !clusterwide[u.GetKind()] {
			u.SetNamespace(namespace)
		}
		out = append(out, u)
	}
	return out, nil
}

// clusterwide are the kinds of objects without a namespace that commands read from files.
var clusterwide = map[string]bool{"Namespace": true, v1alpha1.ClusterRetryPolicyKind: true, "CustomResourceDefinition": true, "ClusterRole": true,
	"ClusterRoleBinding": true, "GatewayClass": true, "PersistentVolume": true, "PriorityClass": true, "StorageClass": true, "Node": true}

// As converts an object. Fields that there are not are errors, as when it is applied.
func As[T any](u *unstructured.Unstructured) (T, error) {
	var out T
	text, err := u.MarshalJSON()
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&out)
	}
	if err != nil {
		return out, fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return out, nil
}

// World collects what files say decides which policies are in force. Objects of other kinds are left aside.
func World(env *kube.Env, objects []*unstructured.Unstructured) (*Gathered, error) {
	g := &Gathered{World: effective.World{Exempt: env.System}}
	for _, u := range objects {
		if err := g.add(u); err != nil {
			return nil, err
		}
	}
	for i := range g.RetryPolicies { // their namespaces need not be in files
		g.ensureNamespace(g.RetryPolicies[i].Namespace)
	}
	for i := range g.Pods {
		g.ensureNamespace(g.Pods[i].Namespace)
	}
	return g, nil
}

// UnknownLabels is a sentence about a namespace that is in no file, where its labels decide which policies select its pods; otherwise empty.
func (g *Gathered) UnknownLabels(namespace string) string {
	made := slices.ContainsFunc(g.Namespaces, func(n corev1.Namespace) bool { return n.Name == namespace && n.UID == madeUp })
	if !made || !slices.ContainsFunc(g.ClusterRetryPolicies, func(p v1alpha1.ClusterRetryPolicy) bool { return p.Spec.NamespaceSelector != nil }) {
		return ""
	}
	return "The files have no Namespace " + namespace + ", so ClusterRetryPolicies are selected by its name alone: give the one with its labels too."
}

func (g *Gathered) add(u *unstructured.Unstructured) error {
	gk := u.GroupVersionKind().GroupKind()
	switch gk.Group + "/" + gk.Kind {
	case v1alpha1.GroupName + "/" + v1alpha1.RetryPolicyKind:
		return appendAs(&g.RetryPolicies, u)
	case v1alpha1.GroupName + "/" + v1alpha1.ClusterRetryPolicyKind:
		return appendAs(&g.ClusterRetryPolicies, u)
	case "/Pod":
		return appendAs(&g.Pods, u)
	case "/Service":
		return appendAs(&g.Services, u)
	case "/Namespace":
		return appendAs(&g.Namespaces, u)
	case discoveryv1.GroupName + "/EndpointSlice":
		return appendAs(&g.EndpointSlices, u)
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job":
		return g.addTemplate(u, "spec", "template")
	case "batch/CronJob":
		return g.addTemplate(u, "spec", "jobTemplate", "spec", "template")
	}
	return nil
}

// addTemplate adds a pod as a workload makes it, by the workload's name.
func (g *Gathered) addTemplate(u *unstructured.Unstructured, at ...string) error {
	template, found, err := unstructured.NestedMap(u.Object, at...)
	if err != nil || !found {
		return err
	}
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &pod); err != nil {
		return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
	}
	pod.Namespace, pod.Name = u.GetNamespace(), u.GetName()
	g.Pods = append(g.Pods, pod)
	return nil
}

func appendAs[T any](list *[]T, u *unstructured.Unstructured) error {
	v, err := As[T](u)
	if err == nil {
		*list = append(*list, v)
	}
	return err
}

func (g *Gathered) ensureNamespace(name string) {
	for i := range g.Namespaces {
		if g.Namespaces[i].Name == name {
			return
		}
	}
	ns := corev1.Namespace{}
	ns.Name, ns.UID, ns.Labels = name, madeUp, map[string]string{corev1.LabelMetadataName: name}
	g.Namespaces = append(g.Namespaces, ns)
}

// madeUp is the UID of namespaces that are in no file.
const madeUp = "in no file"
