// Command dataplane measures what a proxied call costs, for fairlead and for what users compare it with, in one interleaved
// run: see docs/benchmarks.md for how to read it. It needs root, haproxy, nginx, nft and two cores.
//
// The program plays every part: started plainly it makes a network namespace and runs itself in it as the conductor, which
// starts the upstream and the proxies as processes of their own. Load and upstream share a core, the proxy under test has
// another, and every candidate is reached through the same nftables redirect.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "part-upstream":
			return serveUpstream(args[1])
		case "part-nethttp":
			return serveNetHTTP(args[1])
		case "part-fairlead":
			return serveFairlead(args[1], args[2])
		}
	}
	o, inside := parseOptions(args)
	if !inside {
		return enter(args)
	}
	return conduct(o)
}

// enter runs the program again as the conductor in a network namespace of its own: the host's rules stay untouched.
func enter(args []string) error {
	for _, tool := range []string{"nft", "ip", "taskset", "haproxy", "nginx"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed (hack/bench-deps.sh installs what the benchmarks need)", tool)
		}
	}
	cmd := exec.Command("/proc/self/exe", append([]string{"-inside"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}
