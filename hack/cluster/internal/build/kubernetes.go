// Package build compiles the programs a cluster consists of, once per version, into a cache. It
// must not run them.
package build

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/hack/cluster/internal/paths"
)

const kubernetesCommands = "k8s.io/kubernetes/cmd/"

// Assets are the packages of the programs that controller-runtime's envtest wants (KUBEBUILDER_ASSETS).
func Assets() []string {
	return []string{kubernetesCommands + "kube-apiserver", "fairlead.dev/fairlead/hack/cluster/kube/etcd", kubernetesCommands + "kubectl"}
}

// Kubernetes are those of a whole cluster.
func Kubernetes() []string {
	return append(Assets(), kubernetesCommands+"kube-controller-manager", kubernetesCommands+"kubelet", kubernetesCommands+"kube-scheduler",
		kubernetesCommands+"kube-proxy")
}

// EnsureKubernetes builds those of the programs that the cache lacks and returns the directory of
// all.
func EnsureKubernetes(ctx context.Context, packages []string, progress Progress) (dir string, err error) {
	m, err := newModule("kube")
	if err != nil {
		return "", err
	}
	version, err := m.version(ctx, "k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	flags, err := kubernetesFlags(version)
	if err != nil {
		return "", err
	}
	store, err := m.store("kubernetes", version, recipe{ldflags: flags})
	if err != nil {
		return "", err
	}
	return store.bin(), store.ensure(ctx, packages, progress)
}

// EnsureCoreDNS builds CoreDNS unless the cache has it and returns the program's path.
func EnsureCoreDNS(ctx context.Context, progress Progress) (path string, err error) {
	m, err := newModule("kube")
	if err != nil {
		return "", err
	}
	version, err := m.version(ctx, "github.com/coredns/coredns")
	if err != nil {
		return "", err
	}
	store, err := m.store("coredns", version, recipe{ldflags: "-s -w"})
	if err != nil {
		return "", err
	}
	return store.program("coredns"), store.ensure(ctx, []string{"fairlead.dev/fairlead/hack/cluster/kube/coredns"}, progress)
}

// kubernetesFlags tell the programs their version: without it they report v0.0.0 and refuse to
// work with each other.
func kubernetesFlags(version string) (string, error) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) != 3 {
		return "", fmt.Errorf("malformed version of k8s.io/kubernetes: %q", version)
	}
	flags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
			pkg, version, parts[0], parts[1])
	}
	return flags, nil
}

// newModule finds the nested module that pins the dependencies of programs.
func newModule(name string) (module, error) {
	root, err := paths.Root()
	return module{dir: filepath.Join(root, "hack", "cluster", name)}, err
}
