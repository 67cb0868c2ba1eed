// Command cluster runs a real Kubernetes, with several nodes, on one Linux machine without a
// container engine; see the usage text.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/build"
	"fairlead.dev/fairlead/hack/cluster/internal/cluster"
	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/nodetools"
)

const usage = `usage: cluster [-name NAME] COMMAND

  up [-nodes N] [-containerd LIST] [-timeout 3m] [DIR...]
                          make the cluster, or verify the one that is there, and give its nodes
                          the images of the main packages; LIST is built (containerd 2 from its
                          Go module, the default) or installed (the distribution's) for each node
                          in turn, the last one also for all further nodes
  down                    take away all of it
  status                  say how it fares
  kubeconfig              print the path of the administrator's kubeconfig
  kubectl ARGS            run kubectl against it
  exec NODE COMMAND ARGS  run a command inside a node's namespaces
  images [-race] DIR...   build the image fairlead.dev/DIR:dev of each main package, with the
                          race detector if so asked, and load them into the nodes if the
                          cluster is there
  binaries                build all programs of the nodes, print the directory of Kubernetes'
  tools                   install what the nodes need of the distribution's
  assets                  build etcd and the programs of Kubernetes, print their directory, which can be
                          KUBEBUILDER_ASSETS of envtest
`

func main() {
	log.SetFlags(log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if exit, ok := err.(*exec.ExitError); ok { // of a command that was run for the user, and has said itself what is wrong
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.Usage = func() { io.WriteString(flags.Output(), usage) }
	name := flags.String("name", cluster.DefaultName, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	command, rest := flags.Arg(0), flags.Args()
	if command == "" {
		flags.Usage()
		return errors.New("a command is missing")
	}
	if command == machine.SuperviseCommand || command == machine.MachineCommand {
		return inside(command, rest[1:])
	}
	c, err := cluster.New(*name)
	if err != nil {
		return err
	}
	return dispatch(ctx, c, command, rest[1:])
}

func dispatch(ctx context.Context, c *cluster.Cluster, command string, args []string) error {
	progress := stopwatch(os.Stderr)
	switch command {
	case "up":
		return up(ctx, c, args, progress)
	case "down":
		return c.Down(ctx, progress)
	case "status":
		return c.Status(ctx, os.Stdout)
	case "kubeconfig":
		if err := c.Find(); err != nil {
			return err
		}
		fmt.Println(c.Kubeconfig())
		return nil
	case "kubectl":
		return c.Kubectl(ctx, args)
	case "exec":
		if len(args) < 2 {
			return errors.New("exec wants a node and a command")
		}
		return c.Exec(ctx, args[0], args[1:])
	case "images":
		return images(ctx, c, args, progress)
	case "binaries":
		if _, err := build.EnsureContainerd(ctx, progress); err != nil {
			return err
		}
		return printKubernetes(ctx, progress)
	case "tools":
		_, err := nodetools.Ensure(ctx, progress)
		return err
	case "assets":
		return printKubernetes(ctx, progress)
	default:
		return fmt.Errorf("unknown command %q\n%s", command, usage)
	}
}

// inside runs the commands by which the program starts itself inside new namespaces, where there is
// neither user nor home.
func inside(command string, args []string) error {
	switch {
	case command == machine.SuperviseCommand && len(args) == 1:
		return machine.Supervise(args[0])
	case command == machine.MachineCommand && len(args) == 2:
		return machine.Init(args[0], args[1])
	default:
		return fmt.Errorf("command %s is not for people", command)
	}
}

func up(ctx context.Context, c *cluster.Cluster, args []string, progress build.Progress) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	nodes := flags.Int("nodes", 3, "number of nodes")
	// It takes seconds on an idle machine; a busy one may need a multiple.
	timeout := flags.Duration("timeout", 3*time.Minute, "how long it may take from the first process to the last check")
	containerd := flags.String("containerd", cluster.Built, "where the nodes' containerds come from")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *nodes < 1 || *nodes > 9 {
		return errors.New("a cluster has from 1 to 9 nodes")
	}
	from, err := cluster.ParseContainerd(*containerd)
	if err != nil {
		return err
	}
	if err := c.Up(ctx, cluster.Want{Nodes: *nodes, Containerd: from, Images: flags.Args(), Timeout: *timeout}, progress); err != nil {
		return err
	}
	progress("export KUBECONFIG=%s", c.Kubeconfig())
	return nil
}

func images(ctx context.Context, c *cluster.Cluster, args []string, progress build.Progress) error {
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	race := flags.Bool("race", false, "with the race detector")
	if err := flags.Parse(args); err != nil {
		return err
	}
	built, err := cluster.BuildImages(ctx, flags.Args(), *race, progress)
	if err != nil {
		return err
	}
	err = c.Load(ctx, built, progress)
	if errors.Is(err, cluster.ErrNotFound) {
		progress("built only: %v", err)
		return nil
	}
	return err
}

func printKubernetes(ctx context.Context, progress build.Progress) error {
	dir, err := build.EnsureKubernetes(ctx, progress)
	if err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}

// stopwatch prints progress with the time since the start.
func stopwatch(w io.Writer) build.Progress {
	start := time.Now()
	var mu sync.Mutex
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "[%5.1fs] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}
