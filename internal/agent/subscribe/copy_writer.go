package subscribe

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// saveInterval is the least time between two writes: many updates in a row cost one.
const saveInterval = time.Second

// copyWriter writes the latest set to disk.
type copyWriter struct {
	path   string
	log    *slog.Logger
	latest atomic.Pointer[set]
	wake   chan struct{} // size 1
}

func newCopyWriter(path string, log *slog.Logger) *copyWriter {
	return &copyWriter{path: path, log: log, wake: make(chan struct{}, 1)}
}

// save has s written soon.
func (s *copyWriter) save(latest *set) {
	if s.path == "" {
		return
	}
	s.latest.Store(latest)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then what is left.
func (s *copyWriter) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			s.write(ctx)
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
			s.write(ctx)
		}
		pause.Reset(saveInterval)
	}
}

func (s *copyWriter) write(ctx context.Context) {
	latest := s.latest.Swap(nil)
	if latest == nil {
		return
	}
	if err := saveCopy(s.path, latest); err != nil {
		s.log.ErrorContext(ctx, "cannot keep a copy of the policy on disk", "file", s.path, "err", err)
	}
}
