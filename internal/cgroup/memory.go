// Package cgroup reads how much memory the process may use and uses, from control groups of version 2 or 1.
//
// It changes none of them, and does not decide what to do when memory is short.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Where control groups are mounted, and which ones the process is in.
const (
	DefaultRoot = "/sys/fs/cgroup"
	DefaultSelf = "/proc/self/cgroup"
)

// Memory is the account of the process's control group. It is used by one goroutine at a time.
type Memory struct {
	// immutable after Open
	folder string
	files  files
	usage  *os.File // stays open: it is needed when no descriptor is to be had

	text [64]byte
}

// files are the names of a version's files, and of the line of statistics about file pages that were not used lately.
type files struct{ limit, usage, statistics, inactive string }

var (
	version2 = files{"memory.max", "memory.current", "memory.stat", "inactive_file"}
	version1 = files{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"}
)

// statisticsFrom is the share of the limit, in percent, from which it is worth reading what of the usage could be given back.
const statisticsFrom = 75

// ErrNone says that there is no account.
var ErrNone = errors.New("no control group for memory")

// Open finds the account. root and self are DefaultRoot and DefaultSelf in production.
func Open(root, self string) (*Memory, error) {
	groups, err := os.ReadFile(self)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read control groups: %w", err)
	}
	// The process may see the whole tree, or only its own part of it as the root.
	for _, c := range candidates(root, string(groups)) {
		usage, err := os.Open(filepath.Join(c.folder, c.files.usage))
		if err == nil {
			return &Memory{folder: c.folder, files: c.files, usage: usage}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open account of memory: %w", err)
		}
	}
	return nil, ErrNone
}

type candidate struct {
	folder string
	files  files
}

// candidates are the places where the account may be, the most exact first.
func candidates(root, groups string) []candidate {
	own2, own1 := "", ""
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			own2 = parts[2]
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller == "memory" {
				own1 = parts[2]
			}
		}
	}
	// On a hybrid machine version 2 is mounted beside version 1, and has no account of memory unless version 1 lacks it (cgroup_no_v1=memory).
	v1, beside := filepath.Join(root, "memory"), filepath.Join(root, "unified")
	return []candidate{
		{filepath.Join(root, own2), version2}, {root, version2},
		{filepath.Join(v1, own1), version1}, {v1, version1},
		{filepath.Join(beside, own2), version2}, {beside, version2},
	}
}

// Close lets go of the account.
func (m *Memory) Close() error { return m.usage.Close() }

// Limit is what the process may use, in bytes; false when nobody limits it.
func (m *Memory) Limit() (int64, bool) {
	text, err := os.ReadFile(filepath.Join(m.folder, m.files.limit))
	if err != nil {
		return 0, false
	}
	limit, err := number(text)
	// Version 1 says "no limit" by a number that no machine has.
	return limit, err == nil && limit > 0 && limit < math.MaxInt64/2
}

// Usage is what the process uses, in bytes, and what it may use; false when nobody limits it or it is not known. What the kernel would give
// back before it is short, as pages of files that were not used lately, does not count once the usage is near the limit.
func (m *Memory) Usage() (used, limit int64, limited bool) {
	limit, limited = m.Limit()
	if !limited {
		return 0, 0, false
	}
	n, err := m.usage.ReadAt(m.text[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, false
	}
	if used, err = number(m.text[:n]); err != nil {
		return 0, 0, false
	}
	if used > limit/100*statisticsFrom {
		used -= min(used, m.inactive())
	}
	return used, limit, true
}

// inactive is how many bytes of file pages were not used lately, 0 if that is not known.
func (m *Memory) inactive() int64 {
	text, err := os.ReadFile(filepath.Join(m.folder, m.files.statistics))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if name, value, found := bytes.Cut(line, []byte(" ")); found && string(name) == m.files.inactive {
			n, err := number(value)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

func number(text []byte) (int64, error) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0, err
	}
	return int64(min(n, math.MaxInt64)), nil
}
