package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/internal/agent"
	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/cgroup"
)

// TestThePodOutlivesTheDrain: a kubelet that kills the agent while it drains cuts what it was to serve to the end.
func TestThePodOutlivesTheDrain(t *testing.T) {
	text, err := os.ReadFile("../../config/agent/daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.DaemonSet
	if err := yaml.UnmarshalStrict(text, &set); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	drain := fs.Duration("drain", 0, "")
	for _, arg := range pod.Containers[0].Args {
		if strings.HasPrefix(arg, "--drain=") {
			if err := fs.Parse([]string{arg}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Connections that were cut are waited for a little, and the agent says how many there were.
	const margin = 30 * time.Second
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if *drain == 0 || grace < *drain+margin {
		t.Errorf("the pod has %s to end, the agent drains for %s", grace, *drain)
	}
	for _, v := range pod.Containers[0].Env {
		if v.Name == "GOMEMLIMIT" {
			t.Error("GOMEMLIMIT is set: it would not follow the limit of memory")
		}
	}
}

// TestTheAgentGoesByItsMemory: an agent that does not know what it may use lets connections in until it is killed.
func TestTheAgentGoesByItsMemory(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"memory.max": "1000000000\n", "memory.current": "1\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	memory, err := cgroup.Open(root, filepath.Join(root, "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }()
	t.Setenv("GOMEMLIMIT", "off") // the test's own heap stays as it is
	o := agent.Options{Log: slog.New(slog.DiscardHandler)}
	goBy(memory, &o)
	if o.Memory != capture.Memory(memory) {
		t.Errorf("the agent goes by %v", o.Memory)
	}
}

// TestADrainOfNothingIsRefused: whoever writes it wants a short one, and must not get the long default.
func TestADrainOfNothingIsRefused(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, drain := range []string{"0", "-1s"} {
		if err := run(ctx, []string{"--node-name=n", "--drain=" + drain, "--cri-socket=/nowhere"}); err == nil || !strings.Contains(err.Error(), "drain") {
			t.Errorf("--drain=%s: %v, want it refused", drain, err)
		}
	}
}
