package cgroup_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fairlead.dev/fairlead/internal/cgroup"
)

// tree writes files below a root that looks like /sys/fs/cgroup.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestReadsTheAccount(t *testing.T) {
	const mine = "kubepods/pod1/agent"
	for name, tc := range map[string]struct {
		self    string
		files   map[string]string
		used    int64
		limit   int64
		limited bool
	}{
		"version 2, own root": {self: "0::/\n", files: map[string]string{"memory.max": "1000\n", "memory.current": "600\n"},
			used: 600, limit: 1000, limited: true},
		"version 2, whole tree": {self: "0::/" + mine + "\n", files: map[string]string{
			mine + "/memory.max": "1000\n", mine + "/memory.current": "500\n", "memory.max": "7\n", "memory.current": "6\n"},
			used: 500, limit: 1000, limited: true},
		"version 2, pages of files": {self: "0::/\n", files: map[string]string{"memory.max": "1000\n", "memory.current": "900\n",
			"memory.stat": "anon 5\nfile 300\ninactive_file 250\nactive_file 50\n"}, used: 650, limit: 1000, limited: true},
		"version 2, without limit": {self: "0::/\n", files: map[string]string{"memory.max": "max\n", "memory.current": "600\n"}},
		"version 2, nonsense":      {self: "0::/\n", files: map[string]string{"memory.max": "1000\n", "memory.current": "much\n"}},
		"version 1, own root": {self: "5:cpu,cpuacct:/x\n4:memory:/" + mine + "\n", files: map[string]string{
			"memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "700\n"}, used: 700, limit: 1000, limited: true},
		"version 1, whole tree": {self: "4:memory:/" + mine + "\n0::/\n", files: map[string]string{
			"memory/" + mine + "/memory.limit_in_bytes": "1000\n", "memory/" + mine + "/memory.usage_in_bytes": "800\n",
			"memory/" + mine + "/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n"}, used: 500, limit: 1000, limited: true},
		"version 1, without limit": {files: map[string]string{
			"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "700\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, tc.files)
			self := filepath.Join(t.TempDir(), "cgroup")
			if err := os.WriteFile(self, []byte(tc.self), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := cgroup.Open(root, self)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			for range 2 {
				if used, limit, limited := m.Usage(); used != tc.used || limit != tc.limit || limited != tc.limited {
					t.Errorf("%d of %d, limited %t; want %d of %d, %t", used, limit, limited, tc.used, tc.limit, tc.limited)
				}
			}
		})
	}
}

// As kubelet, containerd and systemd lay the groups of a container out, by the machine's version of control groups, cgroupDriver and the container's
// namespaces (kernel, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/; systemd, docs/CGROUP_DELEGATION.md).
func TestLayoutsOfNodes(t *testing.T) {
	const (
		slice = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0b5e.slice/cri-containerd-4f1c.scope"
		plain = "kubepods/burstable/pod0b5e/4f1c"
		max   = "9223372036854771712\n" // version 1: no limit
	)
	hybrid := "12:memory:/" + plain + "\n11:cpu,cpuacct:/" + plain + "\n1:name=systemd:/" + plain + "\n0::/" + plain + "\n"
	for name, tc := range map[string]struct {
		self        string
		files       map[string]string
		used, limit int64
	}{
		"version 2, cgroupfs, a namespace of its own": {"0::/\n", map[string]string{
			"cgroup.controllers": "cpuset cpu io memory pids\n", "memory.max": "1000\n", "memory.current": "100\n"}, 100, 1000},
		"version 2, systemd, the machine's namespace and its own part of the tree": {"0::/" + slice + "\n", map[string]string{
			"memory.max": "1000\n", "memory.current": "100\n"}, 100, 1000},
		"version 2, systemd, the machine's namespace and the whole tree": {"0::/" + slice + "\n", map[string]string{
			"cgroup.controllers":        "cpuset cpu io memory pids\n", // the root of the tree has no account
			"kubepods.slice/memory.max": "9000\n", "kubepods.slice/memory.current": "8000\n",
			slice + "/memory.max": "1000\n", slice + "/memory.current": "100\n"}, 100, 1000},
		"version 2, in a namespace above its own group": {"0::/../../pod0b5e/4f1c\n", map[string]string{
			"memory.max": "1000\n", "memory.current": "100\n"}, 100, 1000},
		"version 1, cgroupfs, its own part of the trees": {"12:memory:/" + plain + "\n11:cpu,cpuacct:/" + plain + "\n", map[string]string{
			"memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "100\n"}, 100, 1000},
		"hybrid, the whole trees": {hybrid, map[string]string{
			"unified/cgroup.controllers": "hugetlb\n", "unified/" + plain + "/cgroup.procs": "1\n",
			"memory/memory.limit_in_bytes": max, "memory/memory.usage_in_bytes": "8000\n",
			"memory/" + plain + "/memory.limit_in_bytes": "1000\n", "memory/" + plain + "/memory.usage_in_bytes": "100\n"}, 100, 1000},
		"hybrid, its own part of the trees": {hybrid, map[string]string{
			"unified/cgroup.procs": "1\n", "memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "100\n"}, 100, 1000},
		"hybrid, memory in version 2": {"11:cpu,cpuacct:/" + plain + "\n0::/" + plain + "\n", map[string]string{
			"cpu,cpuacct/cpu.shares": "2\n", "unified/" + plain + "/memory.max": "1000\n", "unified/" + plain + "/memory.current": "100\n"}, 100, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			self := filepath.Join(t.TempDir(), "cgroup")
			if err := os.WriteFile(self, []byte(tc.self), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := cgroup.Open(tree(t, tc.files), self)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			if used, limit, limited := m.Usage(); used != tc.used || limit != tc.limit || !limited {
				t.Errorf("%d of %d, limited %t; want %d of %d", used, limit, limited, tc.used, tc.limit)
			}
		})
	}
}

func TestNoAccount(t *testing.T) {
	root := t.TempDir()
	if _, err := cgroup.Open(root, filepath.Join(root, "cgroup")); !errors.Is(err, cgroup.ErrNone) {
		t.Errorf("opened %v, want none", err)
	}
}
