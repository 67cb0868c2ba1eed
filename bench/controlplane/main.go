// Command controlplane measures how the manager fares with many nodes: how long a change of policy takes to reach every agent, what
// the manager needs for it, and how much it writes. See docs/benchmarks.md for how to read it.
//
// The API server with its etcd and the manager are the real programs, in processes of their own. The agents are the real client of
// the agents' protocol, all of them in this process, each with a token of its own bound to a pod on its node; in place of a data
// plane they have something that notes when policy came into force. Nodes and pods are objects that nothing runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"fairlead.dev/fairlead/bench/report"
)

// options are what is measured, and with what.
type options struct {
	assets  string // directory of etcd and kube-apiserver
	manager string // the manager's binary
	config  string // directory of the manifests
	nodes   []int
	edits   int
	steady  time.Duration
	full    bool
	json    bool
	// profiles is the directory that gets the manager's profiles; "" for none.
	profiles string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	discard := slog.DiscardHandler
	log.SetLogger(logr.FromSlogHandler(discard))
	klog.SetSlogLogger(slog.New(discard))
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	out := report.New(report.Options{JSON: o.json})
	for _, n := range o.nodes {
		if err := measure(ctx, o, n, out); err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
	}
	return out.Finish()
}

func parse(args []string) (*options, error) {
	o := &options{}
	var nodes string
	fs := flag.NewFlagSet("controlplane", flag.ExitOnError)
	fs.StringVar(&o.assets, "assets", os.Getenv("KUBEBUILDER_ASSETS"), "directory of etcd and kube-apiserver (make kube-assets)")
	fs.StringVar(&o.manager, "manager", "bin/manager", "the manager's binary")
	fs.StringVar(&o.config, "config", "config", "directory of the manifests")
	fs.StringVar(&nodes, "nodes", "200", "numbers of nodes to measure with, in order, separated by commas")
	fs.IntVar(&o.edits, "edits", 20, "edits of a policy, of each kind")
	fs.DurationVar(&o.steady, "steady", 15*time.Second, "how long to watch while only traffic is reported")
	fs.BoolVar(&o.full, "full", false, "also measure a cluster-wide policy, pods coming and going, and a crash of the manager")
	fs.StringVar(&o.profiles, "profiles", "", "write processor profiles of the manager and the agents, of edits and of the steady state, and the manager's heap profile to this directory")
	fs.BoolVar(&o.json, "json", false, "print JSON lines only")
	_ = fs.Parse(args)
	if o.assets == "" {
		return nil, errors.New("set KUBEBUILDER_ASSETS or -assets to the directory of etcd and kube-apiserver (make kube-assets)")
	}
	for _, s := range strings.Split(nodes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxNodes {
			return nil, fmt.Errorf("-nodes %s: write numbers from 1 to %d", nodes, maxNodes)
		}
		o.nodes = append(o.nodes, n)
	}
	return o, nil
}
