package capture_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// kernel is what a mechanism makes redirect. It outlives agents.
type kernel interface {
	// mechanism makes an agent's mechanism. It is a mechanism.New.
	mechanism(mechanism.Settings) (mechanism.Interface, error)
	// dial connects as a process in a pod does.
	dial(ctx context.Context, pod *netnstest.Net, to netip.AddrPort) (*net.TCPConn, error)
	// left is what is left in a pod of what redirected, "" if nothing is.
	left(t testing.TB, pod *netnstest.Net) string
	// owner names the agent that redirects in a pod, and the port that it redirects to.
	owner(t testing.TB, pod *netnstest.Net) nft.Owner
}

// kernels are what the manager must work with alike.
var kernels = map[string]func() kernel{
	"nft":  func() kernel { return nftKernel{} },
	"hook": func() kernel { return newHookKernel() },
}

// onEach runs a test with every mechanism.
func onEach(t *testing.T, test func(t *testing.T, k kernel)) {
	t.Helper()
	netnstest.Privileged(t)
	for name, k := range kernels {
		t.Run(name, func(t *testing.T) { test(t, k()) })
	}
}

// using has an agent use a kernel's mechanism.
func using(k kernel, change func(*capture.Options)) func(*capture.Options) {
	return func(o *capture.Options) {
		o.Mechanism = k.mechanism
		if change != nil {
			change(o)
		}
	}
}

// nftKernel is the real one.
type nftKernel struct{}

func (nftKernel) mechanism(s mechanism.Settings) (mechanism.Interface, error) { return nft.New(s) }

func (nftKernel) dial(ctx context.Context, pod *netnstest.Net, to netip.AddrPort) (*net.TCPConn, error) {
	return pod.Dial(ctx, to, 0)
}

func (nftKernel) left(t testing.TB, pod *netnstest.Net) string {
	t.Helper()
	return pod.Ruleset(t)
}

func (nftKernel) owner(t testing.TB, pod *netnstest.Net) nft.Owner {
	t.Helper()
	o, _, err := nft.FindOwner(pod.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
