// Command try shows on one machine what a policy does: a shop calls a server of which three answers in ten are errors, without a policy, with a loop
// of its own that calls again, and under a policy by way of fairlead run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"fairlead.dev/fairlead/internal/cli/run"
)

const (
	// reads and orders are how many calls the shop makes of each kind.
	reads  = 300
	orders = 100
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) > 0 && args[0] == "run":
		err = under(args[1:])
	case len(args) == 3 && args[0] == "shop":
		err = shop(os.Stdout, args[1], args[2] == "again")
	case len(args) == 1:
		err = story(os.Stdout, args[0])
	default:
		err = errors.New("usage: try POLICY")
	}
	var exit *run.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.Code)
	case err != nil:
		fmt.Fprintln(os.Stderr, "try:", err)
		os.Exit(1)
	}
}

// under is fairlead run.
func under(args []string) error {
	c := run.New(nil)
	c.SetArgs(args)
	return c.ExecuteContext(context.Background())
}

// scene is one way to make the calls.
type scene struct {
	name    string
	command func(server string) []string
}

// story tells it, with the policy in a file.
func story(w io.Writer, policy string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const name = "http://inventory.warehouse"
	scenes := []scene{
		{"as it is", func(at string) []string { return []string{self, "shop", "http://" + at, "once"} }},
		{"calling again in a loop", func(at string) []string { return []string{self, "shop", "http://" + at, "again"} }},
		{"fairlead run -f " + policy, func(at string) []string {
			return []string{self, "run", "-f", policy, "--capture=Never", "--service", "inventory.warehouse:80=" + at, "--", self, "shop", name, "once"}
		}},
	}
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("A shop makes %d reads and %d orders. Of the server's answers to reads three in ten are errors;", reads, orders)
	p("of orders one in ten is carried out and answered with an error all the same.")
	var all []figures
	for i, s := range scenes {
		p("\n%d. The shop, %s:", i+1, s.name)
		f, err := play(s)
		if err != nil {
			return err
		}
		all = append(all, f)
		p("   %s", &f)
	}
	table(w, scenes, all)
	p("\nThe policy is %s; docs/guides/run.md says how to try one of yours.", policy)
	p("make demo shows the same on a Kubernetes cluster of three nodes (Linux, as root; some minutes the first time).")
	return nil
}

// play runs one scene against a server of its own.
func play(s scene) (figures, error) {
	server, err := listen()
	if err != nil {
		return figures{}, err
	}
	defer server.close()
	argv := s.command(server.at)
	c := exec.Command(argv[0], argv[1:]...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return figures{}, fmt.Errorf("%s: %w", s.name, err)
	}
	f := figures{twice: server.carriedOutTwice()}
	if _, err := fmt.Sscan(string(out), &f.reads, &f.orders); err != nil {
		return f, fmt.Errorf("the shop said %s: %w", strconv.Quote(string(out)), err)
	}
	return f, nil
}

// figures are what came of a scene.
type figures struct {
	// reads and orders are how many were answered well, twice how many orders the server has carried out more than once.
	reads, orders, twice int
}

func (f *figures) String() string {
	return fmt.Sprintf("%d of %d reads and %d of %d orders were answered; %d orders were carried out twice.", f.reads, reads, f.orders, orders, f.twice)
}

func table(w io.Writer, scenes []scene, all []figures) {
	_, _ = fmt.Fprintf(w, "\n   %-42s %12s %12s %12s\n", "", "reads", "orders", "paid twice")
	for i, s := range scenes {
		_, _ = fmt.Fprintf(w, "   %-42s %11d%% %11d%% %12d\n", s.name, 100*all[i].reads/reads, 100*all[i].orders/orders, all[i].twice)
	}
}
