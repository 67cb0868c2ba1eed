package doctor

import (
	"context"
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// kernel checks that the kernels of nodes have what capturing pods uses.
func (k *checker) kernel(context.Context) {
	var whole, unable sets
	lacks := map[string]*lack{}
	var order []string
	for _, a := range k.states() {
		of := &a.node.Value.Kernel
		if of.Problem != "" {
			unable.add(of.Problem, a.on())
			continue
		}
		complete := true
		for i := range of.Features {
			f := &of.Features[i]
			if f.Works {
				continue
			}
			complete = false
			if lacks[f.Module] == nil {
				lacks[f.Module] = &lack{KernelFeature: f}
				order = append(order, f.Module)
			}
			lacks[f.Module].nodes = append(lacks[f.Module].nodes, a.on())
		}
		if complete {
			whole.add("Linux "+of.Release+modulesOf(of), a.on())
		}
	}
	for _, why := range unable.keys {
		k.add(Unknown, remedy{"give the agent the capabilities that it is installed with, NET_ADMIN and SYS_ADMIN", pageCapture},
			"%s: what the kernel has could not be found out: %s", onNodes(unable.of[why]), why)
	}
	for _, module := range order {
		lacks[module].report(k)
	}
	for _, key := range whole.keys {
		k.ok("%s: %s, which has all that capturing pods uses", onNodes(whole.of[key]), key)
	}
}

// lack is something that the kernels of some nodes do not have.
type lack struct {
	*liveapi.KernelFeature
	nodes []string
}

func (l *lack) report(k *checker) {
	do := fmt.Sprintf("modprobe %s on the node, and write the name into /etc/modules-load.d/fairlead.conf; if there is no such module, run a kernel that has it", l.Module)
	if l.Needed {
		k.add(Problem, remedy{do, pageLimits}, "%s: the kernel does not do what module %s does (%s), so no pod is captured there: %s", onNodes(l.nodes), l.Module, l.For, l.Problem)
		return
	}
	k.add(Warning, remedy{do, pageLimits}, "%s: the kernel does not do what module %s does, which is used for %s: %s", onNodes(l.nodes), l.Module, l.For, l.Problem)
}

// modulesOf says which of the modules are loaded, and that the others are built in.
func modulesOf(of *liveapi.Kernel) string {
	var loaded []string
	for _, f := range of.Features {
		if f.Loaded {
			loaded = append(loaded, f.Module)
		}
	}
	switch built := len(of.Features) - len(loaded); {
	case len(loaded) == 0:
		return " with everything built in"
	case built == 0:
		return " with modules " + strings.Join(loaded, ", ")
	default:
		return fmt.Sprintf(" with modules %s, and %s built in", strings.Join(loaded, ", "), output.Count(built, "other", "others"))
	}
}

// runtime checks that agents can ask the container runtime where pods are.
func (k *checker) runtime(context.Context) {
	var well sets
	b := bounded{k: k}
	for _, a := range k.states() {
		r := &a.node.Value.Runtime
		if r.Problem != "" {
			b.add(Problem, remedy{"see that the container runtime runs on the node (crictl info), and that --cri-socket (the chart's agent.criSocket) is where it listens", pageLimits},
				"node %s: the agent cannot ask the container runtime at %s for pods, so new ones are not captured: %s", a.on(), r.Socket, r.Problem)
			continue
		}
		well.add(fmt.Sprintf("pods are found by asking %s %s at %s (CRI; NRI is not used)", r.Name, r.Version, r.Socket), a.on())
	}
	b.end(Problem, "node", "nodes")
	for _, key := range well.keys {
		k.ok("%s: %s", onNodes(well.of[key]), key)
	}
}
