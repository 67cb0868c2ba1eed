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

// kubernetesPrograms are the names of the programs that are one, see kube/kubernetes.
var kubernetesPrograms = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"}

// EnsureKubernetes builds etcd, Kubernetes' programs and CoreDNS unless the cache has them, and returns the directory of all. It can be
// KUBEBUILDER_ASSETS of controller-runtime's envtest.
func EnsureKubernetes(ctx context.Context, progress Progress) (dir string, err error) {
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
	const own = "fairlead.dev/fairlead/hack/cluster/kube/"
	if err := store.ensure(ctx, []string{own + "kubernetes", own + "coredns"}, progress); err != nil {
		return "", err
	}
	return store.bin(), store.call("kubernetes", kubernetesPrograms)
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
