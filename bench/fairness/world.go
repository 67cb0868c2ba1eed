package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// parts are the processes of the measurement, by the first argument of the command.
var parts = map[string]func(args []string) error{"part-proxy": serveProxy, "part-server": serveAnswers, "part-flood": runFlood}

// place is where a process runs, as the arguments of a command that starts it there.
type place []string

// The pods and their servers have a core, and the agent has one. The quiet pod and its server go before whatever else runs on theirs, at once, or the
// measurement would be of how the kernel divides that core. So does the agent on its own, where only what else the machine does is left behind.
var (
	quietPlace = place{"chrt", "--fifo", "10", "taskset", "--cpu-list", "0"}
	floodPlace = place{"chrt", "--other", "0", "taskset", "--cpu-list", "0"}
	agentPlace = place{"chrt", "--fifo", "10", "taskset", "--cpu-list", "1"}
)

// command is a command line that runs there.
func (p place) command(args ...string) []string { return slices.Concat(p, args) }

// world is what the measurements happen in.
type world struct {
	procs                    []*exec.Cmd
	quietServer, floodServer netip.AddrPort
	proxy                    struct{ quiet, flood netip.AddrPort }
}

// placed says that this process, which is the quiet pod, is where it belongs.
const placed = "FAIRNESS_PLACED"

// replace puts this process there.
func replace() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := quietPlace.command(append([]string{self}, os.Args[1:]...)...)
	first, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return syscall.Exec(first, command, append(os.Environ(), placed+"=yes"))
}

func newWorld() (*world, error) {
	w := &world{}
	err := w.begin()
	if err != nil {
		w.close()
	}
	return w, err
}

func (w *world) begin() error {
	quiet, err := w.start(quietPlace, "part-server", "-")
	if err != nil {
		return err
	}
	flood, err := w.start(floodPlace, "part-server", "-")
	if err != nil {
		return err
	}
	w.quietServer, w.floodServer = quiet[0], flood[0]
	agent, err := w.start(agentPlace, "part-proxy", w.quietServer.String(), w.floodServer.String())
	if err != nil {
		return err
	}
	if len(agent) != 2 {
		return errors.New("the agent does not listen")
	}
	w.proxy.quiet, w.proxy.flood = agent[0], agent[1]
	return nil
}

// start runs a part, and returns the addresses in the first line that it writes.
func (w *world) start(at place, args ...string) ([]netip.AddrPort, error) {
	cmd, first, err := w.run(at, args...)
	if err != nil {
		return nil, err
	}
	w.procs = append(w.procs, cmd)
	line, err := first.ReadString('\n')
	if err != nil {
		return nil, err
	}
	var all []netip.AddrPort
	for _, s := range strings.Fields(line) {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (w *world) run(at place, args ...string) (*exec.Cmd, *bufio.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	line := at.command(append([]string{self}, args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, bufio.NewReader(out), cmd.Start()
}

// flood has the other pod flood.
func (w *world) flood(f flood, quietRate float64) (ending, error) {
	cmd, out, err := w.run(floodPlace, "part-flood", w.proxy.flood.String(), fmt.Sprint(f.callers), fmt.Sprint(f.rate*quietRate), fmt.Sprint(f.opens))
	if err != nil {
		return nil, err
	}
	if _, err := out.ReadString('\n'); err != nil { // it has begun
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return func() (float64, error) {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return 0, err
		}
		var rate float64
		_, err := fmt.Fscan(out, &rate)
		return rate, errors.Join(err, cmd.Wait())
	}, nil
}

func (w *world) close() {
	for _, cmd := range w.procs {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
