// Package process reads what processes use, from /proc. It starts and ends none.
package process

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc/stat (USER_HZ).
const tick = 10 * time.Millisecond

// CPU returns the processor time that processes have used, by their CPU-time clocks: /proc shows hundredths of a second only.
func CPU(pids ...int) (time.Duration, error) {
	const wholeProcess = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h, without CPUCLOCK_PERTHREAD_MASK
	var total time.Duration
	for _, pid := range pids {
		var used unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|wholeProcess), &used); err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		total += time.Duration(used.Nano())
	}
	return total, nil
}

// Resident returns the resident memory of processes in bytes.
func Resident(pids ...int) (int64, error) {
	var total int64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
		if err != nil {
			return 0, err
		}
		total += pages * int64(os.Getpagesize())
	}
	return total, nil
}

// Family returns pid and its descendants: what some servers do happens in a child.
func Family(pid int) []int {
	all := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return all
	}
	for _, c := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(c); err == nil {
			all = append(all, Family(n)...)
		}
	}
	return all
}

// Machine is what all processes of the machine have used since it started.
type Machine struct {
	// Busy is the time that cores ran processes, not interrupts; Stolen is what the hypervisor gave to others.
	Busy, Stolen time.Duration
	Cores        int
}

// ReadMachine reads the first line of /proc/stat.
func ReadMachine() (Machine, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Machine{}, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	f := strings.Fields(line)
	if len(f) < 9 {
		return Machine{}, fmt.Errorf("cannot read /proc/stat: %q", line)
	}
	m := Machine{Cores: runtime.NumCPU()}
	for i, into := range map[int]*time.Duration{1: &m.Busy, 2: &m.Busy, 3: &m.Busy, 8: &m.Stolen} { // user, nice, system; steal
		ticks, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return Machine{}, fmt.Errorf("cannot read /proc/stat: %w", err)
		}
		*into += time.Duration(ticks) * tick
	}
	return m, nil
}
