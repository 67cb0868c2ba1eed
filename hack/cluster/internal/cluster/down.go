package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"fairlead.dev/fairlead/hack/cluster/internal/build"
	"fairlead.dev/fairlead/hack/cluster/internal/machine"
)

// downTimeout bounds each step of taking a cluster down.
const downTimeout = 30 * time.Second

// Down takes away all of the cluster, however far it got. One that does not exist is fine.
func (c *Cluster) Down(_ context.Context, progress build.Progress) error {
	unlock, err := c.lock(progress)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := c.load()
	if errors.Is(err, ErrNotFound) {
		progress("cluster %s is not there", c.name)
		return os.RemoveAll(c.dir)
	}
	if err != nil {
		return err
	}
	if err := c.dismantle(s); err != nil {
		return fmt.Errorf("take down cluster %s: %w", c.name, err)
	}
	progress("cluster %s is gone", c.name)
	return os.RemoveAll(c.dir)
}

// dismantle undoes in reverse order what the record says. With the supervisor the kernel ends all
// processes of the cluster, and with them go their mounts, links and rules.
func (c *Cluster) dismantle(s *state) error {
	if s.Supervisor != nil {
		if err := s.Supervisor.Kill(downTimeout); err != nil {
			return err
		}
	}
	p := c.plan(s)
	if err := p.Link().Delete(); err != nil {
		return err
	}
	if err := machine.RemoveCgroup(p.Cgroup(), time.Now().Add(downTimeout)); err != nil {
		return err
	}
	return c.clear()
}

// clear empties the directory but keeps it: its lock is ours.
func (c *Cluster) clear() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == stateFile {
			continue
		}
		if err := os.RemoveAll(c.path(e.Name())); err != nil {
			return err
		}
	}
	// The record goes last: until here, a repetition knows what there is to undo.
	return os.Remove(c.path(stateFile))
}
