package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/build"
	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// Up makes the cluster, or verifies the one that is there.
func (c *Cluster) Up(ctx context.Context, w Want, progress build.Progress) error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root: it makes network namespaces and mounts")
	}
	if err := checkPlace(c.dir); err != nil {
		return err
	}
	unlock, err := c.lock(progress)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := c.load()
	if err == nil && old.Complete && old.Supervisor.Alive() {
		return c.verify(ctx, old, w, progress)
	}
	if err == nil {
		progress("removing what is left of an earlier run")
		if err := c.dismantle(old); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	return c.create(ctx, w, progress)
}

// checkPlace refuses directories that machines do not see, having their own in their place.
func checkPlace(dir string) error {
	for _, hidden := range []string{"/run", "/sys", "/proc", "/var/lib", "/var/log"} {
		if strings.HasPrefix(dir, hidden+"/") {
			return fmt.Errorf("%s lies below %s, which nodes replace by their own; set XDG_STATE_HOME and XDG_CACHE_HOME", dir, hidden)
		}
	}
	return nil
}

// verify gives an existing cluster a moment to prove itself healthy, and its nodes the images they lack.
func (c *Cluster) verify(ctx context.Context, s *state, w Want, progress build.Progress) error {
	images, err := BuildImages(ctx, w.Images, false, progress)
	if err != nil {
		return err
	}
	api, err := c.client(s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, check := range c.checks(s, api) {
		if err := c.await(ctx, s, check); err != nil {
			return fmt.Errorf("cluster %s exists but is not healthy: %w", c.name, err)
		}
	}
	progress("cluster %s is up already and healthy", c.name)
	return c.importNew(ctx, s, images, progress)
}

func (c *Cluster) create(ctx context.Context, w Want, progress build.Progress) error {
	ready, err := prepare(ctx, w, progress)
	if err != nil {
		return err
	}
	s := &state{Nodes: w.Nodes, Bin: ready.bin, Runtimes: ready.runtimes}
	if err := checkPlace(s.Bin); err != nil {
		return err
	}
	if err := c.allocate(ctx, s); err != nil {
		return err
	}
	p := c.plan(s)
	progress("programs are built; network %s", p.Network.Range4())
	if err := p.Write(plan.Options{CNIBin: ready.tools.CNIBin, Snapshotter: snapshotter(c.dir)}); err != nil {
		return err
	}
	if err := c.start(s); err != nil {
		return err
	}
	progress("machines are running; logs are in %s", p.LogDir())
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	if err := c.makeHealthy(ctx, s, ready.images, progress); err != nil {
		return err
	}
	s.Complete = true
	return c.save(s)
}

// snapshotter chooses how containerd stacks layers: overlayfs cannot have its upper directory on
// another overlayfs, which is what we find inside most containers.
func snapshotter(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil && fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}

// start runs the supervisor: first recorded, then connected, then released.
func (c *Cluster) start(s *state) error {
	p := c.plan(s)
	supervisor, err := machine.StartSupervisor(p.SpecFile(), p.SupervisorLog())
	if err != nil {
		return err
	}
	s.Supervisor = &supervisor.ID
	err = c.save(s)
	if err == nil {
		err = p.Link().Connect(supervisor.ID.PID)
	}
	if err != nil {
		supervisor.Abandon()
		return err
	}
	return supervisor.Release()
}

// makeHealthy brings a started cluster to health.
func (c *Cluster) makeHealthy(ctx context.Context, s *state, images []Image, progress build.Progress) error {
	api, err := c.client(s)
	if err != nil {
		return err
	}
	loaded := make(chan error, 1)
	go func() { loaded <- c.importImages(ctx, s, images) }()
	checks := c.checks(s, api)
	var booted error
	for _, check := range checks {
		if err := c.await(ctx, s, check); err != nil {
			booted = err
			break
		}
		progress("%s: healthy", check.Name)
		if check.Name == apiCheck {
			if booted = c.bootstrap(ctx, s, api); booted != nil {
				break
			}
		}
	}
	return errors.Join(booted, <-loaded)
}

// bootstrap applies the manifests a cluster starts with.
func (c *Cluster) bootstrap(ctx context.Context, s *state, api *client) error {
	p := c.plan(s)
	if err := runTied(c.kubectl(ctx, s, "apply", "--server-side", "-f", p.Bootstrap())); err != nil {
		return err
	}
	for k := 1; k <= s.Nodes; k++ {
		registered := Check{Name: plan.NodeName(k), Log: p.Log(k, "kubelet"), run: func(ctx context.Context) error {
			return api.patch(ctx, "/api/v1/nodes/"+plan.NodeName(k), p.NodePatch(k))
		}}
		if err := c.await(ctx, s, registered); err != nil {
			return err
		}
	}
	return nil
}
