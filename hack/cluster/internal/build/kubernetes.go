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

// kubernetesPackages maps each program to the package it is built from.
var kubernetesPackages = map[string]string{
	"etcd":                    "go.etcd.io/etcd/server/v3",
	"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
	"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
	"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
	"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
	"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
	"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
}

// Assets are the programs that controller-runtime's envtest wants (KUBEBUILDER_ASSETS).
func Assets() []string { return []string{"kube-apiserver", "etcd", "kubectl"} }

// Kubernetes are the programs of a whole cluster, those of Assets first.
func Kubernetes() []string {
	return append(Assets(), "kube-controller-manager", "kubelet", "kube-scheduler", "kube-proxy")
}

// EnsureKubernetes builds those of the programs that the cache lacks and returns the directory of
// all.
func EnsureKubernetes(ctx context.Context, programs []string, progress Progress) (dir string, err error) {
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
	store, err := m.store("kubernetes", version, flags)
	if err != nil {
		return "", err
	}
	for _, name := range programs {
		if err := store.ensure(ctx, name, kubernetesPackages[name], progress); err != nil {
			return "", err
		}
	}
	return store.bin(), nil
}

// EnsureCoreDNS builds CoreDNS unless the cache has it and returns the program's path.
func EnsureCoreDNS(ctx context.Context, progress Progress) (path string, err error) {
	m, err := newModule("coredns")
	if err != nil {
		return "", err
	}
	version, err := m.version(ctx, "github.com/coredns/coredns")
	if err != nil {
		return "", err
	}
	store, err := m.store("coredns", version, "-s -w")
	if err != nil {
		return "", err
	}
	if err := store.ensure(ctx, "coredns", ".", progress); err != nil {
		return "", err
	}
	return filepath.Join(store.bin(), "coredns"), nil
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

// newModule finds the nested module that pins a program's dependencies.
func newModule(name string) (module, error) {
	root, err := paths.Root()
	return module{dir: filepath.Join(root, "hack", "cluster", name)}, err
}
