package build

import (
	"strings"
	"testing"
)

func TestKubernetesFlags(t *testing.T) {
	flags, err := kubernetesFlags("v1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.37.2 ",
		"-X k8s.io/component-base/version.gitMajor=1 ",
		"-X k8s.io/client-go/pkg/version.gitMinor=37 ",
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("no %q in %q", want, flags)
		}
	}
	if flags, err := kubernetesFlags("main"); err == nil {
		t.Errorf("flags of a malformed version: %q", flags)
	}
}
