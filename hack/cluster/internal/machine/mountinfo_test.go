package machine

import (
	"reflect"
	"testing"
)

func TestParseMounts(t *testing.T) {
	const text = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct
40 27 0:4 net:[4026532] /run/netns/with\040space\134 rw shared:5 - nsfs nsfs rw
broken line
`
	want := []mount{
		{point: "/", fsType: "ext4", options: []string{"rw", "discard"}},
		{point: "/sys/fs/cgroup/cpu", fsType: "cgroup", options: []string{"rw", "cpu", "cpuacct"}},
		{point: `/run/netns/with space\`, fsType: "nsfs", options: []string{"rw"}},
	}
	if got := parseMounts(text); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestControllerOptions(t *testing.T) {
	for name, tc := range map[string]struct{ options, want []string }{
		"a controller":          {[]string{"rw", "memory"}, []string{"memory"}},
		"controllers together":  {[]string{"rw", "cpu", "cpuacct"}, []string{"cpu", "cpuacct"}},
		"a name":                {[]string{"rw", "xattr", "release_agent=/x", "name=systemd"}, []string{"none", "name=systemd"}},
		"version 2 has neither": {[]string{"rw"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := controllerOptions(tc.options); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
