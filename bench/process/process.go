// Package process reads what processes use, from /proc. It starts and ends none.
package process

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc (USER_HZ).
const tick = 10 * time.Millisecond

// CPU returns the processor time that processes have used.
func CPU(pids ...int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		user, err1 := strconv.ParseInt(f[11], 10, 64)
		system, err2 := strconv.ParseInt(f[12], 10, 64)
		if err1 != nil || err2 != nil {
			return 0, fmt.Errorf("cannot read /proc/%d/stat", pid)
		}
		total += time.Duration(user+system) * tick
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
