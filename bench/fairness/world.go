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

// The cores of the pods and their servers, and of the agent.
const podCore, agentCore = "0", "1"

// world is what the measurements happen in.
type world struct {
	procs                    []*exec.Cmd
	quietServer, floodServer netip.AddrPort
	proxy                    struct{ quiet, flood netip.AddrPort }
}

// placed says that this process, which is the quiet pod, is on its core.
const placed = "FAIRNESS_PLACED"

// replace puts this process there.
func replace() error {
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(taskset, append([]string{"taskset", "-c", podCore, self}, os.Args[1:]...), append(os.Environ(), placed+"=yes"))
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
	quiet, err := w.start(podCore, "part-server", "-")
	if err != nil {
		return err
	}
	flood, err := w.start(podCore, "part-server", "-")
	if err != nil {
		return err
	}
	w.quietServer, w.floodServer = quiet[0], flood[0]
	agent, err := w.start(agentCore, "part-proxy", w.quietServer.String(), w.floodServer.String())
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
func (w *world) start(core string, args ...string) ([]netip.AddrPort, error) {
	cmd, first, err := w.run(core, args...)
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

func (w *world) run(core string, args ...string) (*exec.Cmd, *bufio.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("taskset", append([]string{"-c", core, self}, args...)...)
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
	cmd, out, err := w.run(podCore, "part-flood", w.proxy.flood.String(), fmt.Sprint(f.conns), fmt.Sprint(f.rate*quietRate), fmt.Sprint(f.fresh))
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
