package machine

import (
	"slices"
	"testing"
)

// Mounts as systemd makes them (systemd.io/CGROUP_DELEGATION), by the versions of control groups of the host.
func TestHierarchiesOfHosts(t *testing.T) {
	const version1 = `31 30 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
36 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:14 - cgroup cgroup rw,cpu,cpuacct
37 31 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory
`
	v1 := []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"}
	for name, tc := range map[string]struct {
		mounts  string
		points  []string
		unified bool
	}{
		"version 1": {mounts: version1, points: v1},
		"hybrid": {mounts: version1 + "38 31 0:33 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
			points: append(slices.Clone(v1), "/sys/fs/cgroup/unified")},
		"version 2": {mounts: "29 28 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			points: []string{"/sys/fs/cgroup"}, unified: true},
		"version 2 beside nothing, not at the root": {mounts: "38 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			points: []string{"/sys/fs/cgroup/unified"}},
		"elsewhere": {mounts: "29 28 0:25 / /sys/fs/cgroup2 rw - cgroup2 cgroup2 rw\n"},
	} {
		t.Run(name, func(t *testing.T) {
			hs := hierarchiesOf(parseMounts(tc.mounts))
			var points []string
			for _, h := range hs {
				points = append(points, h.point)
			}
			if !slices.Equal(points, tc.points) || unified(hs) != tc.unified {
				t.Errorf("%v, version 2 alone %t; want %v, %t", points, unified(hs), tc.points, tc.unified)
			}
		})
	}
}
