package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// parts are the processes of the measurement, by the first argument of the command.
var parts = map[string]func(args []string) error{"part-proxy": serveProxy, "part-server": serveAnswers, "part-flood": runFlood}

// place is where a part runs: a core, and how nice it is to others in the kernel's eyes, so that neither others on the machine nor the flood by itself,
// but only what happens within the agent, holds up the quiet pod.
type place struct {
	core, nice string
	realTime   bool // nobody else has the core meanwhile, but for the twentieth that the kernel keeps for others
}

var quietPlace, floodPlace, agentPlace = place{"0", "-19", false}, place{"0", "-9", false}, place{"1", "-19", true}

// command runs a program there. Its session has a group of its own (sched_autogroup), which is as nice as the program.
func (p place) command(args ...string) []string {
	const script = "echo \"$1\" 2>/dev/null >/proc/self/autogroup; renice -n \"$1\" $$ >/dev/null; core=$2; shift 2; exec taskset -c $core \"$@\""
	if p.realTime {
		args = append([]string{"chrt", "-f", "1"}, args...)
	}
	return append([]string{"setsid", "sh", "-c", script, "sh", p.nice, p.core}, args...)
}

// world is what the measurements happen in.
type world struct {
	procs                    []*exec.Cmd
	quietServer, floodServer netip.AddrPort
	proxy                    struct{ quiet, flood netip.AddrPort }
}

// placed says that this process is where the quiet pod is.
const placed = "FAIRNESS_PLACED"

// replace puts this process where the quiet pod is to be.
func replace() error {
	setsid, err := exec.LookPath("setsid")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(setsid, quietPlace.command(append([]string{self}, os.Args[1:]...)...), append(os.Environ(), placed+"=yes"))
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
	cmd := exec.Command("setsid", at.command(append([]string{self}, args...)...)[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, bufio.NewReader(out), cmd.Start()
}

// flood has the other pod flood, until stop, which returns its calls per second.
func (w *world) flood(f flood, quietRate float64) (stop func() (float64, error), err error) {
	cmd, out, err := w.run(floodPlace, "part-flood", w.proxy.flood.String(), fmt.Sprint(f.conns), fmt.Sprint(f.rate*quietRate), fmt.Sprint(f.fresh))
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
