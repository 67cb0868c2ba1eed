// Package nodetools finds the programs that a node needs and that are not ours to build, and
// installs them from the distribution where it can. It must not start anything of what it installs.
package nodetools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// cniDirs are where distributions keep the CNI plugins.
var cniDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// tools maps what must exist to the Debian package that has it.
var tools = []struct{ program, pkg string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"runc", "runc"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"mount", "mount"},
}

const cniPackage = "containernetworking-plugins"

// Tools are where the found programs are.
type Tools struct {
	Containerd, Ctr string
	CNIBin          string // folder of the CNI plugins
}

// Ensure finds all tools, installing the missing ones on Debian and its kin when root.
func Ensure(ctx context.Context, progress func(format string, args ...any)) (Tools, error) {
	if missing := missingPackages(); len(missing) > 0 {
		if os.Geteuid() != 0 || !hasApt() {
			return Tools{}, fmt.Errorf("install these first (Debian's names): %s", strings.Join(missing, " "))
		}
		progress("installing %s", strings.Join(missing, " "))
		if err := aptInstall(ctx, missing); err != nil {
			return Tools{}, err
		}
	}
	if missing := missingPackages(); len(missing) > 0 {
		return Tools{}, fmt.Errorf("still missing after the installation: %s", strings.Join(missing, " "))
	}
	containerd, err := exec.LookPath("containerd")
	if err != nil {
		return Tools{}, err
	}
	ctr, err := exec.LookPath("ctr")
	return Tools{Containerd: containerd, Ctr: ctr, CNIBin: cniDir()}, err
}

func missingPackages() []string {
	var out []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil && !slices.Contains(out, t.pkg) {
			out = append(out, t.pkg)
		}
	}
	if cniDir() == "" {
		out = append(out, cniPackage)
	}
	return out
}

// cniDir is the first directory that has the plugins we use.
func cniDir() string {
	for _, dir := range cniDirs {
		complete := true
		for _, plugin := range []string{"ptp", "host-local", "portmap", "loopback"} {
			if _, err := os.Stat(filepath.Join(dir, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return dir
		}
	}
	return ""
}

func hasApt() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil
}

// aptInstall installs packages without letting them start services: Debian's policy layer asks
// /usr/sbin/policy-rc.d, and exit status 101 forbids.
func aptInstall(ctx context.Context, packages []string) error {
	restore, err := forbidServices("/usr/sbin/policy-rc.d")
	if err != nil {
		return err
	}
	defer restore()
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// forbidServices puts a policy in place unless there is one already, which is then respected.
func forbidServices(policy string) (restore func(), err error) {
	f, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid services to start: %w", err)
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	return func() { os.Remove(policy) }, errors.Join(err, f.Close())
}
