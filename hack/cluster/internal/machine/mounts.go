package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// isolateMounts cuts this mount namespace off from the host's, and lets go of mounts that would
// otherwise be kept alive by our copy: network namespaces that somebody bound to a file, and all
// of /run. It ends with the /proc of the current PID namespace.
func isolateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if m.fsType == "nsfs" || under(m.point, "/run") {
			if err := detach(m.point); err != nil {
				return err
			}
		}
	}
	return remountProc()
}

func remountProc() error {
	if err := detach("/proc"); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// setUpMounts gives a machine its own /proc, /sys, /run and the bound directories, and then shares
// the whole tree within the machine, so that containers may ask for HostToContainer propagation.
func setUpMounts(binds []Bind) error {
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	if err := remountProc(); err != nil {
		return err
	}
	if err := mountSys(hs); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, b := range binds {
		if err := bind(b); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return mountNetns()
}

// mountSys replaces /sys: what it shows of the network belongs to the namespace it was mounted in.
func mountSys(hs []hierarchy) error {
	if err := detach("/sys"); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return mountCgroups(hs)
}

// mountNetns makes /run/netns a shared mount of its own, where the container runtime will keep the
// pods' network namespaces and from where a pod that mounts it sees those of later pods.
func mountNetns() error {
	const dir = "/run/netns"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share %s: %w", dir, err)
	}
	return nil
}

func bind(b Bind) error {
	for _, dir := range []string{b.Source, b.Target} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(b.Source, b.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", b.Source, b.Target, err)
	}
	return nil
}

// detach takes away whatever is mounted at point, however many layers there are.
func detach(point string) error {
	for {
		err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil // not a mount point, or hidden below one that is gone
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
}

func under(path, dir string) bool {
	path = filepath.Clean(path)
	return path == dir || strings.HasPrefix(path, dir+"/")
}
