package nft

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// oldKernel is one that cannot update the time of an element in place.
func oldKernel() *kernel {
	return &kernel{known: true}
}

// attach makes a table of an agent's on a kernel of which so much is known.
func attach(t *testing.T, n *netnstest.Net, k *kernel, lease time.Duration) *Table {
	t.Helper()
	table := newTable(n.Namespace, mechanism.Settings{Agent: "a", Mark: 1, Lease: lease}, k)
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func redirected(r intent.Redirect) mechanism.Intent {
	return mechanism.Intent{Redirect: r, Port: 14001}
}

func renew(t *testing.T, table *Table) mechanism.Health {
	t.Helper()
	h, err := table.Renew(mechanism.Connection{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestRenewalOnAnOldKernelHasNoGap calls all the time while the lease is removed and added.
func TestRenewalOnAnOldKernelHasNoGap(t *testing.T) {
	netnstest.Privileged(t)
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	world.Serve(t, netip.MustParseAddrPort("0.0.0.0:80"), "direct")
	pod.Serve(t, netip.MustParseAddrPort("127.0.0.1:14001"), "captured")
	table := attach(t, pod, oldKernel(), 200*time.Millisecond)
	if err := table.Install(redirected(intent.Redirect{Ports: []uint16{80}})); err != nil {
		t.Fatal(err)
	}
	renew(t, table)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for range 500 {
			if got, err := pod.Call(t, netip.MustParseAddrPort("10.99.0.1:80")); err != nil || got != "captured" {
				t.Errorf("call: %q, %v", got, err)
				return
			}
		}
	})
	renewals := 0
	for open := true; open; renewals++ {
		select {
		case <-done:
			open = false
		default:
			renew(t, table)
		}
	}
	wg.Wait()
	if renewals < 10 {
		t.Errorf("only %d renewals", renewals)
	}
	if renew(t, table).Disturbed {
		t.Error("renewals are taken for changes of somebody else's")
	}
}

// TestFailureTellsNothingOfTheKernel has the first lease of an agent fail because the table is not there.
func TestFailureTellsNothingOfTheKernel(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	k := new(kernel)
	table := attach(t, n, k, 3*time.Second)
	if _, err := table.Renew(mechanism.Connection{}); err == nil {
		t.Fatal("renewed the lease of a table that is not there")
	}
	if k.known {
		t.Fatal("a failure was taken for an old kernel, for good")
	}
	if err := table.Install(redirected(intent.Redirect{All: true})); err != nil {
		t.Fatal(err)
	}
	if renew(t, table); !k.known {
		t.Error("nothing was found out about the kernel")
	}
}

func TestKernelIsAskedOnce(t *testing.T) {
	netnstest.Privileged(t)
	k := new(kernel)
	for range 2 {
		n := netnstest.New(t, netnstest.Host(t))
		table := attach(t, n, k, 3*time.Second)
		if err := table.Install(redirected(intent.Redirect{All: true})); err != nil {
			t.Fatal(err)
		}
		renew(t, table)
		left, err := table.lease.left()
		if err != nil || left < 2*time.Second {
			t.Errorf("%s left of the lease, %v", left, err)
		}
		if strings.Count(n.Ruleset(t), "expires") != 2 {
			t.Errorf("not one element per family:\n%s", n.Ruleset(t))
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(element(0, nil).Data)
	f.Add(addElements(time.Second, time.Second).Data)
	f.Add(zoneRule(1).Data)
	f.Add((&Table{to: listener{Port: 1}}).boundRule(2, 0, remembering(2)).Data)
	f.Fuzz(func(t *testing.T, answer []byte) {
		if left, _ := expiration(answer); left < 0 {
			t.Errorf("%s left", left)
		}
		_, _ = generation(answer)
		_, _ = describeChain(answer)
		if table, chain, err := parseNATOutput(answer); err == nil && chain == "" && table != (tableKey{}) {
			t.Errorf("a table %s without a chain", table)
		}
		_, _, _ = parseForeignRule(answer)
		_ = eachKey(answer, func([]byte) {})
	})
}
