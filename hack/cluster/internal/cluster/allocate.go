package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// allocate finds an address range that nobody on this host uses, records it and takes it, by making
// the link with its addresses.
func (c *Cluster) allocate(ctx context.Context, s *state) error {
	unlock, err := lockAddresses(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s.DualStack = hasIPv6()
	if s.Index, err = freeIndex(s.DualStack); err != nil {
		return err
	}
	if err := c.save(s); err != nil {
		return err
	}
	return c.plan(s).Link().Create()
}

func freeIndex(dualStack bool) (int, error) {
	for i := range plan.MaxIndex {
		free := true
		for _, r := range (plan.Network{Index: i, DualStack: dualStack}).Ranges() {
			taken, err := machine.RangeTaken(r)
			if err != nil {
				return 0, err
			}
			free = free && !taken
		}
		if free {
			return i, nil
		}
	}
	return 0, fmt.Errorf("all %d address ranges for clusters overlap with routes of this host", plan.MaxIndex)
}

// hasIPv6 reports whether the host's network namespace, and with it any new one, can have IPv6.
func hasIPv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

// lockAddresses serialises all users of this network namespace, whatever their state directory: an
// abstract socket belongs to the namespace and goes with the process that bound it.
func lockAddresses(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		l, err := net.Listen("unix", "@fairlead.dev/cluster-addresses")
		if err == nil {
			return func() { l.Close() }, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("lock address ranges: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("another run keeps the address ranges locked")
		case <-retry.C:
		}
	}
}
