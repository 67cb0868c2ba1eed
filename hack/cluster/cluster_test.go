package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/machine"
)

// TestCluster brings a real cluster up, uses it, breaks it and takes it down.
func TestCluster(t *testing.T) {
	c := newTestCluster(t, "selftest")
	c.run(t, "up")
	processes := c.descendants(t)

	t.Run("second up changes nothing", func(t *testing.T) {
		before := c.supervisor(t)
		c.run(t, "up")
		if after := c.supervisor(t); after != before {
			t.Errorf("supervisor was %v, is %v", before, after)
		}
		c.run(t, "status")
	})
	c.run(t, "images", "testdata/probe")
	c.run(t, "kubectl", "apply", "-f", "testdata/pods.yaml")
	c.run(t, "kubectl", "rollout", "status", "daemonset/probe", "--timeout=60s")
	c.run(t, "kubectl", "wait", "--for=condition=Ready", "pod/third", "--timeout=60s")
	pods := c.podsByNode(t)

	t.Run("pods reach Services by name, in both families, on every node", func(t *testing.T) { testServices(t, c, pods) })
	t.Run("logs", func(t *testing.T) {
		for node, pod := range pods {
			if out := c.run(t, "kubectl", "logs", pod); !strings.Contains(out, "serving as "+pod) {
				t.Errorf("logs of %s on %s: %q", pod, node, out)
			}
		}
	})
	t.Run("read-only root file system", func(t *testing.T) {
		if out, err := c.try(t, "kubectl", "exec", pods["node1"], "--", "/probe", "write", "/file"); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("writing to it: %q, %v", out, err)
		}
	})
	t.Run("a pod sees the network namespaces of later pods", func(t *testing.T) { testPropagation(t, c, pods["node2"]) })
	t.Run("tokens carry the node's name", func(t *testing.T) { testToken(t, c, pods["node2"]) })
	t.Run("a kubelet must not act for another node", func(t *testing.T) {
		out, err := c.try(t, "kubectl", "auth", "can-i", "get", "secrets", "--as=system:node:node1", "--as-group=system:nodes")
		if err == nil || !strings.Contains(err.Error(), "no") {
			t.Errorf("may node1 read all secrets: %q, %v", out, err)
		}
	})
	t.Run("down after a part was killed", func(t *testing.T) {
		processes = append(processes, c.descendants(t)...)
		kill(t, processes[1])                  // something early, a machine or the control plane
		kill(t, processes[len(processes)-1])   // something late, a pod or its shim
		kill(t, processes[len(processes)/2+1]) // and something between
		c.run(t, "down")
		c.requireNothingLeft(t, processes)
	})
}

// podsByNode maps each node to the probe on it.
func (c *testCluster) podsByNode(t *testing.T) map[string]string {
	t.Helper()
	out := c.run(t, "kubectl", "get", "pods", "-l", "app=probe", "-o", `jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name}{"\n"}{end}`)
	pods := map[string]string{}
	for line := range strings.Lines(out) {
		node, pod, _ := strings.Cut(strings.TrimSpace(line), " ")
		pods[node] = pod
	}
	if len(pods) != 3 {
		t.Fatalf("want a probe on each of three nodes, got %v", pods)
	}
	return pods
}

func testServices(t *testing.T, c *testCluster, pods map[string]string) {
	families := strings.Fields(c.run(t, "kubectl", "get", "service", "third", "-o", "jsonpath={.spec.ipFamilies[*]}"))
	if !slices.Contains(families, "IPv4") {
		t.Fatalf("Service has families %v", families)
	}
	for node, pod := range pods {
		for _, family := range families {
			network := map[string]string{"IPv4": "tcp4", "IPv6": "tcp6"}[family]
			out := c.get(t, pod, network, "http://third.default.svc.cluster.local/")
			if !strings.HasPrefix(out, "third ") {
				t.Errorf("from %s over %s: %q", node, family, out)
			}
			jsonpath := fmt.Sprintf("jsonpath={.status.podIPs[%d].ip}", slices.Index(families, family))
			if ip := c.run(t, "kubectl", "get", "pod", pod, "-o", jsonpath); !strings.Contains(out, ip) {
				t.Errorf("the server saw %q instead of the pod's own address %s", out, ip)
			}
		}
	}
}

// get has a pod make a call. Each node's kube-proxy learns of a Service in its own time; until then connections are refused.
func (c *testCluster) get(t *testing.T, pod, network, url string) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		out, err := c.try(t, "kubectl", "exec", pod, "--", "/probe", "get", network, url)
		if err == nil {
			return out
		}
		if !strings.Contains(err.Error()+out, "connection refused") || time.Now().After(end) {
			t.Fatalf("%s from %s: %v\n%s", url, pod, err, out)
		}
	}
}

// testPropagation compares the namespaces a running pod sees before and after another has started.
func testPropagation(t *testing.T, c *testCluster, pod string) {
	seen := func() []string {
		return strings.Fields(c.run(t, "kubectl", "exec", pod, "--", "/probe", "list", "/run/netns"))
	}
	before := seen()
	c.run(t, "kubectl", "run", "later", "--image=fairlead.dev/probe:dev", "--image-pull-policy=Never",
		`--overrides={"spec":{"nodeName":"node2","terminationGracePeriodSeconds":0}}`, "--", "serve")
	c.run(t, "kubectl", "wait", "--for=condition=Ready", "pod/later", "--timeout=60s")
	if after := seen(); len(after) != len(before)+1 {
		t.Errorf("namespaces before %v, after %v", before, after)
	}
	c.run(t, "kubectl", "exec", pod, "--", "/probe", "stat", "/run/containerd/containerd.sock")
}

// testToken checks that the API server can tell on which node the bearer of a token runs.
func testToken(t *testing.T, c *testCluster, pod string) {
	token := c.run(t, "kubectl", "create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name="+pod)
	review := fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":%q}}`, token)
	cmd := c.command(t.Context(), "kubectl", "create", "-o", "json", "-f", "-")
	cmd.Stdin = strings.NewReader(review)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("review: %v\n%s", err, out)
	}
	for _, want := range []string{`"authentication.kubernetes.io/node-name"`, `"node2"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
}

func kill(t *testing.T, p machine.ProcessID) {
	t.Helper()
	if p.Alive() {
		if err := unix.Kill(p.PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDownAfterCrash kills "up" at several points of its way.
func TestDownAfterCrash(t *testing.T) {
	for _, mark := range []string{"programs are built", "machines are running", "API server: healthy"} {
		t.Run(mark, func(t *testing.T) {
			c := newTestCluster(t, "crash")
			c.upUntil(t, mark)
			var processes []machine.ProcessID
			if c.supervisor(t).PID != 0 {
				processes = c.descendants(t)
			}
			c.run(t, "down")
			c.requireNothingLeft(t, processes)
		})
	}
}

// TestUpAfterSupervisorDied makes a new cluster in place of one that broke.
func TestUpAfterSupervisorDied(t *testing.T) {
	c := newTestCluster(t, "revive")
	c.run(t, "up", "-nodes", "1")
	processes := append(c.descendants(t), c.supervisor(t))
	if err := c.supervisor(t).Kill(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if out, err := c.try(t, "status"); err == nil || !strings.Contains(err.Error(), "supervisor is not running") {
		t.Errorf("status of a dead cluster: %q, %v", out, err)
	}
	c.run(t, "up", "-nodes", "1")
	c.run(t, "status")
	c.run(t, "down")
	c.requireNothingLeft(t, processes)
}
