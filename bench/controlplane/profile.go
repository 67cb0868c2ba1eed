package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// profileCPU has the manager's processor profiled for a time and written to a file of that name, if profiles are wanted. What it returns
// waits for the file.
func (s *scenario) profileCPU(ctx context.Context, name string, d time.Duration) func() error {
	if s.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { // the caller waits for it
		done <- s.saveProfile(ctx, fmt.Sprintf("profile?seconds=%d", max(1, int(d.Seconds()))), name)
	}()
	return func() error { return <-done }
}

// saveProfile writes one of the manager's profiles to a file, if profiles are wanted.
func (s *scenario) saveProfile(ctx context.Context, kind, name string) error {
	if s.profiles == "" {
		return nil
	}
	body, err := get(ctx, "http://"+s.manager.profiles+"/debug/pprof/"+kind)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.profiles, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.profiles, fmt.Sprintf("%s-%d.pprof", name, len(s.topology.nodes))), body, 0o600)
}
