package build

import "context"

// The programs of containerd, by name; they belong together.
const (
	containerdProgram = "containerd"
	containerdShim    = "containerd-shim-runc-v2"
	containerdClient  = "ctr"
)

// containerdTags leave out what no node here can use.
const containerdTags = "no_btrfs,no_devmapper,no_zfs,no_tracing"

// Containerd is where a containerd's programs are.
type Containerd struct{ Program, Shim, Client string }

// EnsureContainerd builds containerd with its shim and client unless the cache has them.
func EnsureContainerd(ctx context.Context, progress Progress) (Containerd, error) {
	m, err := newModule("containerd")
	if err != nil {
		return Containerd{}, err
	}
	const path = "github.com/containerd/containerd/v2"
	version, err := m.version(ctx, path)
	if err != nil {
		return Containerd{}, err
	}
	store, err := m.store("containerd", version, recipe{tags: containerdTags, ldflags: "-s -w -X " + path + "/version.Version=" + version})
	if err != nil {
		return Containerd{}, err
	}
	var packages []string
	for _, name := range []string{containerdProgram, containerdShim, containerdClient} {
		packages = append(packages, path+"/cmd/"+name)
	}
	if err := store.ensure(ctx, packages, progress); err != nil {
		return Containerd{}, err
	}
	return Containerd{
		Program: store.program(containerdProgram), Shim: store.program(containerdShim), Client: store.program(containerdClient),
	}, nil
}
