package pods

import (
	"strings"
	"testing"
)

func FuzzNetnsName(f *testing.F) {
	for _, seed := range []string{
		`{"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/var/run/netns/cni-1"}]}}}`,
		`{"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/run/netns/.."}]}}}`,
		`{"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/run/netns/"}]}}}`,
		`{"runtimeSpec":{}}`, `[]`, ``,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, info string) {
		name, err := netnsName([]byte(info))
		if (err == nil) == (name == "") {
			t.Fatalf("name %q with error %v", name, err)
		}
		if strings.Contains(name, "/") || name == "." || name == ".." {
			t.Fatalf("name %q leads out of the folder", name)
		}
	})
}
