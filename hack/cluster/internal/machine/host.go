package machine

import (
	"fmt"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Supervisor is one that was started and waits for its link to the host.
type Supervisor struct {
	ID   ProcessID
	gate *gate
}

// StartSupervisor starts the supervisor, which does nothing before Release.
func StartSupervisor(specFile, logFile string) (*Supervisor, error) {
	out, err := openLog(logFile)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command("/proc/self/exe", SuperviseCommand, specFile)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: supervisorNamespaces, Setsid: true}
	g, release, err := newGate(cmd)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := cmd.Start(); err != nil {
		g.abandon()
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		g.abandon()
		return nil, err
	}
	return &Supervisor{ID: id, gate: g}, cmd.Process.Release()
}

// Release lets the supervisor go on.
func (s *Supervisor) Release() error { return s.gate.open() }

// Abandon makes a supervisor that was not released leave.
func (s *Supervisor) Abandon() { s.gate.abandon() }
