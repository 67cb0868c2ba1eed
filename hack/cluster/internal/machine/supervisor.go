package machine

import (
	"fmt"
	"log"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Commands are the program's own subcommands by which it starts itself inside new namespaces.
const (
	SuperviseCommand = "supervise" // SuperviseCommand SPECFILE
	MachineCommand   = "machine"   // MachineCommand SPECFILE NAME
)

// supervisorNamespaces are the supervisor's own. The network namespace holds the bridge only, so
// that the host's has no more of a cluster than one link.
const supervisorNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET

const machineNamespaces = supervisorNamespaces | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// Supervise is the supervisor: process 1 above all machines. A machine that is killed is a node that
// failed, and the others go on. One that gives up by itself could not be set up, and then the
// supervisor ends too, and with it the cluster.
func Supervise(specFile string) error {
	if err := awaitGate(); err != nil {
		return err
	}
	spec, err := ReadSpec(specFile)
	if err != nil {
		return err
	}
	if err := isolateMounts(); err != nil {
		return err
	}
	if err := setUpSwitch(spec.Uplink); err != nil {
		return err
	}
	ends := newReaper()
	machines := map[int]*Machine{}
	for i := range spec.Machines {
		m := &spec.Machines[i]
		pid, err := startMachine(specFile, m)
		if err != nil {
			return fmt.Errorf("start machine %s: %w", m.Name, err)
		}
		machines[pid] = m
	}
	log.Printf("%d machines are running", len(machines))
	return watch(ends, machines)
}

// watch returns when a machine has given up.
func watch(ends *reaper, machines map[int]*Machine) error {
	var failed error
	for failed == nil {
		<-ends.signals
		ends.collect(func(pid int, status unix.WaitStatus) {
			m, ours := machines[pid]
			if !ours {
				return
			}
			log.Printf("machine %s ended: %s", m.Name, describe(status))
			if status.Exited() {
				failed = fmt.Errorf("machine %s gave up; read %s", m.Name, m.Log)
			}
		})
	}
	return failed
}

// startMachine clones a machine's first process, connects its network and lets it run.
func startMachine(specFile string, m *Machine) (pid int, err error) {
	out, err := openLog(m.Log)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	cmd := exec.Command("/proc/self/exe", MachineCommand, specFile, m.Name)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: machineNamespaces, Setsid: true}
	g, release, err := newGate(cmd)
	if err != nil {
		return 0, err
	}
	defer release()
	if err := cmd.Start(); err != nil {
		g.abandon()
		return 0, err
	}
	if err := connect(m, cmd.Process.Pid); err != nil {
		g.abandon()
		return 0, err
	}
	return cmd.Process.Pid, g.open()
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
