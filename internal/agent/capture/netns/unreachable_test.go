package netns_test

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestDialHearsOfAnUnreachableAddressAtOnce: the first request may be refused by a router while connect(2) still runs. The kernel does not
// give the connection up for that, and asks again; here nobody answers what it asks then.
func TestDialHearsOfAnUnreachableAddressAtOnce(t *testing.T) {
	netnstest.Privileged(t)
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	cmd := exec.CommandContext(t.Context(), "nsenter", "--net="+world.Path, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(`table inet refuse { chain input { type filter hook input priority 0;
		meta nfproto ipv4 tcp dport 80 limit rate 1/day burst 1 packets reject with icmp host-unreachable;
		meta nfproto ipv6 tcp dport 80 limit rate 1/day burst 1 packets reject with icmpv6 addr-unreachable;
		tcp dport 80 drop; }; }`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c, err := pod.Namespace.Dial(ctx, netip.MustParseAddrPort(to), mark)
		if err == nil {
			_ = c.Close()
		}
		if !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("%s: %v, want unreachable", to, err)
		}
	}
}
