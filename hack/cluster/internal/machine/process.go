package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessID names a process for good: numbers are used again, start times are not.
type ProcessID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since boot
}

// Identify finds out when the process started.
func Identify(pid int) (ProcessID, error) {
	s, err := readStat(pid)
	return ProcessID{PID: pid, Start: s.start}, err
}

func readStat(pid int) (processStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, err
	}
	return parseStat(string(b))
}

// Alive reports whether this very process still exists and has not ended.
func (p ProcessID) Alive() bool {
	s, err := readStat(p.PID)
	return err == nil && s.start == p.Start && s.state != "Z" && s.state != "X"
}

// Kill ends the process, and with it, as it is process 1 of its namespace, all below it. It returns
// when they are gone.
func (p ProcessID) Kill(timeout time.Duration) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.Alive() { // checked with the handle open: the number cannot be given away under our feet
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for process %d: %w", p.PID, err)
		}
	}
	return fmt.Errorf("process %d did not end within %s", p.PID, timeout)
}

// MachinePID finds the process 1 of the machine called name among the supervisor's children.
func MachinePID(supervisor int, name string) (int, error) {
	tree, err := processTree()
	if err != nil {
		return 0, err
	}
	for _, pid := range tree[supervisor] {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // ended meanwhile
		}
		args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		if len(args) == 4 && args[1] == MachineCommand && args[3] == name {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("machine %s is not running", name)
}

// Descendants lists the processes below pid.
func Descendants(pid int) ([]int, error) {
	tree, err := processTree()
	if err != nil {
		return nil, err
	}
	var out []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		out = append(out, tree[queue[0]]...)
		queue = append(queue, tree[queue[0]]...)
	}
	return out, nil
}

// processTree maps every process to its children.
func processTree() (map[int][]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	tree := map[int][]int{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		s, err := parseStat(string(b))
		if err != nil {
			return nil, err
		}
		tree[s.parent] = append(tree[s.parent], s.pid)
	}
	return tree, nil
}

// processStat is what we need of /proc/PID/stat.
type processStat struct {
	pid, parent int
	state       string
	start       uint64
}

// parseStat reads a line of /proc/PID/stat (proc(5)): 1 number, 2 name, 3 state, 4 parent, 22 start.
// The name is in parentheses and may itself hold spaces and parentheses.
func parseStat(line string) (processStat, error) {
	number, _, _ := strings.Cut(line, " ")
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	const third = 3
	if len(fields) <= 22-third {
		return processStat{}, fmt.Errorf("malformed process status %q", line)
	}
	pid, err1 := strconv.Atoi(number)
	parent, err2 := strconv.Atoi(fields[4-third])
	start, err3 := strconv.ParseUint(fields[22-third], 10, 64)
	return processStat{pid: pid, parent: parent, state: fields[0], start: start}, errors.Join(err1, err2, err3)
}
