package nft_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// Where pods are captured, as the other tests of this package do, the kernel has what is needed for that.
func TestTheKernelHasWhatRedirectingNeeds(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	before := netnstest.HostRuleset(t)
	ns, err := host.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range nft.Features(ns) {
		if f.Module == "" || f.For == "" || seen[f.Module] {
			t.Errorf("%+v is not one feature with a name and a use", f)
		}
		seen[f.Module] = true
		if f.Needed && f.Err != nil {
			t.Errorf("%s (%s): %v", f.Module, f.For, f.Err)
		}
		if f.Err != nil {
			t.Logf("this kernel lacks %s (%s): %v", f.Module, f.For, f.Err)
		}
	}
	if err := ns.Close(); err != nil {
		t.Error(err)
	}
	if after := netnstest.HostRuleset(t); after != before {
		t.Errorf("the process's own namespace has changed:\n%s", after)
	}
}

// What the kernel refuses is said of each feature, and by the kernel's own error.
func TestAFeatureThatDoesNotWorkSaysWhy(t *testing.T) {
	netnstest.Privileged(t)
	ns, err := netnstest.Host(t).Scratch()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Close(); err != nil { // nothing can be done in it any more
		t.Fatal(err)
	}
	for _, f := range nft.Features(ns) {
		if !errors.Is(f.Err, os.ErrClosed) && !errors.Is(f.Err, unix.EBADF) {
			t.Errorf("%s: %v", f.Module, f.Err)
		}
	}
}
