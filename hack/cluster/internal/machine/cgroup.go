package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchy is one mounted tree of cgroups: one per controller in version 1, one for all in version 2.
type hierarchy struct {
	point   string
	v2      bool
	options []string
}

// hierarchies lists what is mounted below /sys/fs/cgroup.
func hierarchies() ([]hierarchy, error) {
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	out := hierarchiesOf(mounts)
	if len(out) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted at %s", cgroupRoot)
	}
	return out, nil
}

func hierarchiesOf(mounts []mount) (out []hierarchy) {
	for _, m := range mounts {
		if under(m.point, cgroupRoot) && (m.fsType == "cgroup" || m.fsType == "cgroup2") {
			out = append(out, hierarchy{point: m.point, v2: m.fsType == "cgroup2", options: controllerOptions(m.options)})
		}
	}
	return out
}

// controllerOptions keeps the options that name a version 1 hierarchy: its controllers or its name.
func controllerOptions(options []string) []string {
	var out []string
	for _, o := range options {
		switch {
		case o == "rw" || o == "ro" || o == "xattr" || o == "noprefix" || o == "clone_children" || strings.HasPrefix(o, "release_agent="):
		case strings.HasPrefix(o, "name="):
			out = append(out, "none", o)
		default:
			out = append(out, o)
		}
	}
	return out
}

// unified reports whether version 2 is the only hierarchy.
func unified(hs []hierarchy) bool { return len(hs) == 1 && hs[0].v2 && hs[0].point == cgroupRoot }

// joinCgroup moves this process into the cgroup at path in every hierarchy, making it if needed.
func joinCgroup(path string) error {
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hs {
		if err := makeCgroup(h, path, unified(hs)); err != nil {
			return fmt.Errorf("make cgroup %s in %s: %w", path, h.point, err)
		}
		if err := enterCgroup(filepath.Join(h.point, path)); err != nil {
			return err
		}
	}
	return nil
}

func enterCgroup(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
		return fmt.Errorf("enter cgroup: %w", err)
	}
	return nil
}

// makeCgroup creates the directories of path one by one, so that each can be given what it needs.
func makeCgroup(h hierarchy, path string, enable bool) error {
	dir := h.point
	for part := range strings.SplitSeq(path, "/") {
		if enable {
			if err := enableControllers(dir); err != nil {
				return err
			}
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if slices.Contains(h.options, "cpuset") {
			if err := inheritCpuset(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// inheritCpuset copies processors and memory nodes from the parent. In version 1 a new cpuset is
// empty and refuses processes until it has both.
func inheritCpuset(dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// enableControllers hands every controller of a version 2 cgroup on to its children.
func enableControllers(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(b)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
			return fmt.Errorf("enable cgroup controller %s: %w", c, err)
		}
	}
	return nil
}

// mountCgroups shows the hierarchies inside a machine, with its own cgroup as their root.
func mountCgroups(hs []hierarchy) error {
	if unified(hs) {
		return mountUnified()
	}
	if err := unix.Mount("tmpfs", cgroupRoot, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", cgroupRoot, err)
	}
	for _, h := range hs {
		if err := os.MkdirAll(h.point, 0o755); err != nil {
			return err
		}
		fsType := "cgroup"
		if h.v2 {
			fsType = "cgroup2"
		}
		if err := unix.Mount(fsType, h.point, fsType, 0, strings.Join(h.options, ",")); err != nil {
			return fmt.Errorf("mount %s: %w", h.point, err)
		}
		if err := linkControllers(h); err != nil {
			return err
		}
	}
	return nil
}

// linkControllers makes the usual links, as cpu -> cpu,cpuacct, for controllers that share a hierarchy.
func linkControllers(h hierarchy) error {
	base := filepath.Base(h.point)
	if h.v2 || !strings.Contains(base, ",") {
		return nil
	}
	for c := range strings.SplitSeq(base, ",") {
		if err := os.Symlink(base, filepath.Join(cgroupRoot, c)); err != nil {
			return err
		}
	}
	return nil
}

// mountUnified mounts version 2 and frees the machine's root of processes: a cgroup that hands
// controllers on may hold none ("no internal processes", Documentation/admin-guide/cgroup-v2.rst).
func mountUnified() error {
	if err := unix.Mount("cgroup2", cgroupRoot, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "nsdelegate"); err != nil {
		return fmt.Errorf("mount %s: %w", cgroupRoot, err)
	}
	leaf := filepath.Join(cgroupRoot, "init")
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := enterCgroup(leaf); err != nil {
		return err
	}
	return enableControllers(cgroupRoot)
}

// RemoveCgroup removes the cgroup at path and all below it from every hierarchy. Processes that
// were just killed may still be leaving, so it keeps trying until the deadline.
func RemoveCgroup(path string, deadline time.Time) error {
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hs {
		for {
			err := removeTree(filepath.Join(h.point, path))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("remove cgroup: %w", err)
			}
			pauseFor(pollInterval)
		}
	}
	return nil
}

// CgroupExists reports whether any hierarchy has a cgroup at path.
func CgroupExists(path string) (bool, error) {
	hs, err := hierarchies()
	if err != nil {
		return false, err
	}
	for _, h := range hs {
		if _, err := os.Stat(filepath.Join(h.point, path)); err == nil {
			return true, nil
		}
	}
	return false, nil
}

// removeTree removes directories from the leaves up; a cgroup's files go with its directory.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}

func pauseFor(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}
