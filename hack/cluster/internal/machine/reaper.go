package machine

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// reaper collects every process that ends below a process 1: its own children, and the orphans
// that the kernel hands to it.
type reaper struct{ signals chan os.Signal }

// newReaper must be made before the first child is started, or the end of one could go unnoticed.
func newReaper() *reaper {
	r := &reaper{signals: make(chan os.Signal, 1)}
	signal.Notify(r.signals, unix.SIGCHLD)
	return r
}

// collect is to be called after each signal. It reports all that have ended, as one signal may
// stand for many.
func (r *reaper) collect(report func(pid int, status unix.WaitStatus)) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		report(pid, status)
	}
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}
