package cgroup

import (
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
)

// OpenOwn opens the account of this process, or returns nil if there is none to be had.
func OpenOwn(log *slog.Logger) *Memory {
	memory, err := Open(DefaultRoot, DefaultSelf)
	if err != nil && !errors.Is(err, ErrNone) {
		log.Warn("the use of memory cannot be read; only running out of it counts", "err", err)
	}
	return memory
}

// LimitHeap has the garbage collector keep the heap of this process below a share of the memory that it may use, in percent, unless GOMEMLIMIT
// says otherwise.
func (m *Memory) LimitHeap(percent int64, log *slog.Logger) {
	limit, limited := m.Limit()
	if _, set := os.LookupEnv("GOMEMLIMIT"); set || !limited {
		return
	}
	debug.SetMemoryLimit(limit / 100 * percent)
	log.Info("memory is limited", "limit", limit, "heap", limit/100*percent)
}
