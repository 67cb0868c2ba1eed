package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// Check is one thing that must hold for a cluster to be healthy.
type Check struct {
	Name string
	Log  string // file to read when it fails
	run  func(ctx context.Context) error
}

// Finding is the outcome of a check.
type Finding struct {
	Check
	Err error
}

// apiCheck is the name of the check after which the API server can be used.
const apiCheck = "API server"

// checks lists all, in the order in which they come true.
func (c *Cluster) checks(s *state, api *client) []Check {
	p := c.plan(s)
	control := p.NodeAddress(1)
	out := []Check{
		{Name: "machines", Log: p.SupervisorLog(), run: func(context.Context) error { return machinesRun(s) }},
		{Name: apiCheck, Log: p.Log(1, "kube-apiserver"), run: func(ctx context.Context) error { return api.get(ctx, "/readyz", nil) }},
		{Name: "controller manager", Log: p.Log(1, "kube-controller-manager"), run: func(ctx context.Context) error {
			return api.healthy(ctx, "https://"+hostPort(control, 10257)+"/healthz")
		}},
		{Name: "scheduler", Log: p.Log(1, "kube-scheduler"), run: func(ctx context.Context) error {
			return api.healthy(ctx, "https://"+hostPort(control, 10259)+"/healthz")
		}},
	}
	for k := 1; k <= s.Nodes; k++ {
		address := p.NodeAddress(k)
		out = append(out,
			Check{Name: plan.NodeName(k), Log: p.Log(k, "kubelet"), run: func(ctx context.Context) error {
				return nodeReady(ctx, api, plan.NodeName(k))
			}},
			Check{Name: plan.NodeName(k) + " proxy", Log: p.Log(k, "kube-proxy"), run: func(ctx context.Context) error {
				return api.healthy(ctx, "http://"+hostPort(address, 10256)+"/healthz")
			}})
	}
	return append(out, Check{Name: "DNS", Log: p.Log(1, "kubelet"), run: func(ctx context.Context) error { return dnsReady(ctx, api) }})
}

func hostPort(a netip.Addr, port int) string { return net.JoinHostPort(a.String(), strconv.Itoa(port)) }

// machinesRun fails while a machine is missing.
func machinesRun(s *state) error {
	for k := 1; k <= s.Nodes; k++ {
		if _, err := machinePID(s, k); err != nil {
			return err
		}
	}
	return nil
}

// errGone says of a process that it will not come back by itself.
var errGone = errors.New("is not running")

type nodeObject struct {
	Spec struct {
		PodCIDR string `json:"podCIDR"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type    string `json:"type"`
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"conditions"`
	} `json:"status"`
}

func nodeReady(ctx context.Context, api *client, name string) error {
	var node nodeObject
	if err := api.get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != "Ready" {
			continue
		}
		if condition.Status != "True" {
			return fmt.Errorf("not ready: %s", strings.TrimSpace(condition.Message))
		}
		return nil
	}
	return errors.New("has not reported yet")
}

func dnsReady(ctx context.Context, api *client) error {
	var deployment struct {
		Status struct {
			AvailableReplicas int `json:"availableReplicas"`
		} `json:"status"`
	}
	if err := api.get(ctx, "/apis/apps/v1/namespaces/kube-system/deployments/coredns", &deployment); err != nil {
		return err
	}
	if deployment.Status.AvailableReplicas == 0 {
		return errors.New("no replica of CoreDNS is available")
	}
	return nil
}

// findings runs every check once.
func findings(ctx context.Context, checks []Check) []Finding {
	out := make([]Finding, len(checks))
	for i, check := range checks {
		out[i] = Finding{Check: check, Err: check.run(ctx)}
	}
	return out
}

// await repeats a check until it succeeds. It gives up at the context's end, or when the supervisor
// is gone, and then says where to look.
func (c *Cluster) await(ctx context.Context, s *state, check Check) error {
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for {
		err := check.run(ctx)
		if err == nil {
			return nil
		}
		if !s.Supervisor.Alive() {
			return fmt.Errorf("the supervisor %w; read %s", errGone, c.plan(s).SupervisorLog())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not become healthy: %w; read %s", check.Name, err, check.Log)
		case <-retry.C:
		}
	}
}
