package machine

import (
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// restartDelay is how long a machine waits before it starts a program again that has ended.
const restartDelay = time.Second

// pollInterval is how often something is looked at that cannot be waited for.
const pollInterval = 20 * time.Millisecond

// cgroupReady in the environment marks the second stage of Init.
const cgroupReady = "FAIRLEAD_MACHINE_STAGE=2"

// Init is a machine's process 1: it prepares what the machine sees and keeps its programs running.
// It does not return while the machine lives.
func Init(specFile, name string) error {
	spec, err := ReadSpec(specFile)
	if err != nil {
		return err
	}
	m, err := spec.Machine(name)
	if err != nil {
		return err
	}
	if os.Getenv("FAIRLEAD_MACHINE_STAGE") == "" {
		return enterCgroupNamespace(m)
	}
	if err := awaitGate(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(m.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := setUpMounts(m.Binds); err != nil {
		return err
	}
	if err := setUpNetwork(m); err != nil {
		return err
	}
	log.Printf("machine %s is set up", m.Name)
	return keepRunning(m.Processes)
}

// enterCgroupNamespace makes the machine's cgroup the root of what it sees. Unsharing concerns one
// thread only, so the program then replaces itself: what it becomes has that thread alone.
func enterCgroupNamespace(m *Machine) error {
	runtime.LockOSThread()
	if err := joinCgroup(m.Cgroup); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make cgroup namespace: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), cgroupReady))
}

// keepRunning starts the programs, each once what it needs is there, and starts each again when it
// ends.
func keepRunning(programs []Process) error {
	ends := newReaper()
	running := map[int]Process{}
	due := make(chan Process, len(programs))
	for _, p := range programs {
		go func() { // ends with the machine at the latest
			awaitEndpoint(p.Needs)
			due <- p
		}()
	}
	ended := func(pid int, status unix.WaitStatus) {
		p, ours := running[pid]
		if !ours {
			return
		}
		delete(running, pid)
		log.Printf("%s ended: %s; starting it again in %s, see %s", p.Name, describe(status), restartDelay, p.Log)
		time.AfterFunc(restartDelay, func() { due <- p })
	}
	for {
		select {
		case <-ends.signals:
			ends.collect(ended)
		case p := <-due:
			pid, err := startProcess(p)
			if err != nil {
				return err
			}
			running[pid] = p
		}
	}
}

// awaitEndpoint returns when e accepts a connection.
func awaitEndpoint(e Endpoint) {
	if e.Network == "" {
		return
	}
	for {
		conn, err := net.DialTimeout(e.Network, e.Address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		pauseFor(pollInterval)
	}
}

func startProcess(p Process) (int, error) {
	out, err := openLog(p.Log)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	proc, err := os.StartProcess(p.Args[0], p.Args, &os.ProcAttr{
		Dir:   "/",
		Files: []*os.File{null, out, out},
		Sys:   &unix.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Name, err)
	}
	pid := proc.Pid
	return pid, proc.Release()
}
