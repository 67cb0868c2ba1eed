package main

import (
	"fmt"
	"os"
	"slices"

	"fairlead.dev/fairlead/bench/blocks"
	"fairlead.dev/fairlead/bench/report"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// blocksBench names the measure, and withBlock begins the names of its candidates: fairlead under a policy with one block.
	blocksBench = "http1-blocks"
	withBlock   = "fairlead + "
	// blockArgument begins the argument that has a process of fairlead know such a policy.
	blockArgument = "block:"
	// blockPort is the first port that they listen on.
	blockPort = 15030
	// haproxyWithBlocks is haproxy with what it has of the blocks, which is compared with fairlead under all of them.
	haproxyWithBlocks, haproxyBlocksPort = "haproxy + its blocks", 15029
)

// blockPlans lists the candidates of a run that measures blocks: haproxy as it is elsewhere and with blocks of its own, and fairlead under each policy.
func blockPlans(w *world, self string) ([]plan, error) {
	all := []plan{
		{"haproxy", 15003, []string{"haproxy", "-db", "-f", "haproxy.cfg"}, 0},
		{haproxyWithBlocks, haproxyBlocksPort, []string{"haproxy", "-db", "-f", "haproxy-blocks.cfg"}, 0},
	}
	for i, b := range blocks.All() {
		port := blockPort + i
		all = append(all, plan{withBlock + b.Name, port, []string{self, "part-fairlead", fmt.Sprint(port), blockArgument + b.Name}, 0})
	}
	return all, writeConfigs(w, map[string]string{
		"haproxy.cfg": proxyConfig(haproxyConfig, 15003, 1), "haproxy-blocks.cfg": proxyConfig(haproxyBlocksConfig, haproxyBlocksPort, 1),
	})
}

// blockPolicy is the policy with the block of this name, for what is called.
func blockPolicy(name string) (*policy.Snapshot, error) {
	all := blocks.All()
	i := slices.IndexFunc(all, func(b blocks.Block) bool { return b.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no block %s", name)
	}
	to := policy.Target{Kind: policy.TargetService, Service: upstreamService, Ports: []uint16{plainFront.port}}
	return snapshotOf(&policy.Profile{Name: "bench", Bindings: []policy.Binding{all[i].Binding(to)}})
}

// blockCalls measures calls of HTTP/1.1 on kept-alive connections.
func (c *conductor) blockCalls(cand *candidate) error {
	_, err := c.faultless(cand, blocksBench, keepalive)
	return err
}

// blockTable prints what each block costs, as docs/benchmarks.md shows it.
func (c *conductor) blockTable() error {
	const cpu = "cpu_us_per_request"
	t := report.Table{
		Bench: blocksBench, Prefix: withBlock, Baseline: blocks.Nothing, Against: "haproxy",
		Metric: cpu, Unit: "µs", Beside: "allocs_per_request",
	}
	fmt.Println()
	return c.out.Markdown(os.Stdout, t)
}
