package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/hack/cluster/internal/build"
	"fairlead.dev/fairlead/hack/cluster/internal/nodetools"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// Where a node's containerd comes from.
const (
	Built     = "built"     // version 2, from its Go module
	Installed = "installed" // the distribution's
)

// Want is what a cluster is to be.
type Want struct {
	Nodes int
	// Containerd says for the nodes in turn where their containerd comes from; the last one holds for all further nodes, too.
	Containerd []string
	// Images are the packages whose images the nodes get.
	Images []string
	// Timeout bounds how long it may take from its first process to its last check.
	Timeout time.Duration
}

// ParseContainerd reads a list such as "built,installed".
func ParseContainerd(list string) ([]string, error) {
	out := strings.Split(list, ",")
	for _, from := range out {
		if from != Built && from != Installed {
			return nil, fmt.Errorf("containerd %q: write %s or %s for each node in turn, with commas between; the last one holds for all further nodes",
				from, Built, Installed)
		}
	}
	return out, nil
}

// prepared is what has to be there before a cluster is started.
type prepared struct {
	tools    nodetools.Tools
	bin      string // directory of Kubernetes' programs
	built    build.Containerd
	images   []Image
	runtimes []plan.Runtime
}

// prepare gets everything, at once: while one part is downloaded or linked, another is compiled.
func prepare(ctx context.Context, w Want, progress build.Progress) (*prepared, error) {
	var p prepared
	var system, others []Image
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { p.tools, err = nodetools.Ensure(ctx, progress); return })
	group.Go(func() (err error) {
		if p.bin, err = build.EnsureKubernetes(ctx, progress); err != nil {
			return err
		}
		system, err = systemImages(ctx, p.bin, progress)
		return err
	})
	group.Go(func() (err error) { others, err = BuildImages(ctx, w.Images, false, progress); return })
	if slices.Contains(w.Containerd, Built) {
		group.Go(func() (err error) { p.built, err = build.EnsureContainerd(ctx, progress); return })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	p.images = append(system, others...)
	for _, from := range w.Containerd {
		if from == Built {
			p.runtimes = append(p.runtimes, plan.Runtime{Containerd: p.built.Program, Ctr: p.built.Client, Shim: p.built.Shim})
		} else {
			p.runtimes = append(p.runtimes, plan.Runtime{Containerd: p.tools.Containerd, Ctr: p.tools.Ctr})
		}
	}
	return &p, nil
}
