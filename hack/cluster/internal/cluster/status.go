package cluster

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// Status writes what is there and how it fares, and returns an error unless all is well.
func (c *Cluster) Status(ctx context.Context, w io.Writer) error {
	s, err := c.load()
	if err != nil {
		return err
	}
	if s.Supervisor == nil || !s.Supervisor.Alive() {
		return fmt.Errorf("cluster %s is incomplete: its supervisor %w; cluster-down clears up, cluster-up makes it anew", c.name, errGone)
	}
	api, err := c.client(s)
	if err != nil {
		return err
	}
	p := c.plan(s)
	fmt.Fprintf(w, "cluster %s: %s, network %s, logs in %s\n", c.name, p.Server(), p.Network.Range4(), p.LogDir())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var bad []string
	for _, f := range findings(ctx, c.checks(s, api)) {
		verdict := "healthy"
		if f.Err != nil {
			bad = append(bad, f.Name)
			verdict = fmt.Sprintf("FAILED: %v; read %s", f.Err, f.Log)
		}
		fmt.Fprintf(table, "  %s\t%s\n", f.Name, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(bad) > 0 {
		return fmt.Errorf("cluster %s is not healthy: %s", c.name, strings.Join(bad, ", "))
	}
	return nil
}

// Exec runs a command inside all namespaces of a node, with our input and output.
func (c *Cluster) Exec(ctx context.Context, node string, args []string) error {
	s, err := c.load()
	if err != nil {
		return err
	}
	for k := 1; k <= s.Nodes; k++ {
		if plan.NodeName(k) != node {
			continue
		}
		return runAttached(c.inNode(ctx, s, k, args...))
	}
	return fmt.Errorf("cluster %s has no node %q", c.name, node)
}

// Kubectl runs kubectl against the cluster, with our input and output.
func (c *Cluster) Kubectl(ctx context.Context, args []string) error {
	s, err := c.load()
	if err != nil {
		return err
	}
	return runAttached(c.kubectl(ctx, s, args...))
}
