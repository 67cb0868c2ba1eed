package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profileCPU has the manager's processor profiled for a time and written to a file of that name, if profiles are wanted, and what the agents
// use of it until what it returns is called, which waits for the files.
func (s *scenario) profileCPU(ctx context.Context, name string, d time.Duration) func() error {
	if s.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { // the caller waits for it
		done <- s.saveProfile(ctx, fmt.Sprintf("profile?seconds=%d", max(1, int(d.Seconds()))), name)
	}()
	agents, err := os.Create(s.profileFile(name + "-agents"))
	if err == nil {
		err = pprof.StartCPUProfile(agents)
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(err, agents.Close(), <-done)
	}
}

func (s *scenario) profileFile(name string) string {
	return filepath.Join(s.profiles, fmt.Sprintf("%s-%d.pprof", name, len(s.topology.nodes)))
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
	return os.WriteFile(s.profileFile(name), body, 0o600)
}
