package nft_test

import (
	"errors"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

var manyThings = intent.Redirect{Addrs: addrs("10.0.0.1:80", "[fd00::1]:80"), Ports: []uint16{80, 443},
	Blocks:   []intent.Block{{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Ports: []uint16{1, 2}}},
	Unserved: addrs("10.0.0.3:80"), FailClosed: true}

// TestTamperingIsNoticed has the pod change the table in every way that nft has.
func TestTamperingIsNoticed(t *testing.T) {
	netnstest.Privileged(t)
	for _, change := range []string{
		"flush chain inet fairlead capture", "flush chain inet fairlead own", "flush chain inet fairlead zone", "flush chain inet fairlead bound",
		"flush set inet fairlead addrs4", "flush set inet fairlead addrs6", "flush set inet fairlead ports",
		"flush set inet fairlead unserved4", "add element inet fairlead unserved6 { fd00::9 . 80 }",
		"delete element inet fairlead ports { 80 }", "add element inet fairlead addrs4 { 10.0.0.9 . 80 }",
		"flush table inet fairlead", "flush ruleset", "delete table inet fairlead",
		"add table inet fairlead { flags dormant; }",
		"insert rule inet fairlead capture accept", "add rule inet fairlead capture drop",
		"add chain inet fairlead capture { policy drop; }",
		"add chain inet fairlead more { type filter hook output priority 0; policy drop; }",
	} {
		t.Run(change, func(t *testing.T) {
			n := netnstest.New(t, netnstest.Host(t))
			table := open(t, n, options("whole"))
			install(t, table, manyThings)
			calm(t, table, "after it was written")
			script(t, n, change)
			if !table.disturbed() {
				t.Error("the change was not noticed")
			}
			if intact, err := table.Intact(); err != nil || intact {
				t.Errorf("intact: %t, %v, want it found damaged", intact, err)
			}
			if !table.disturbed() {
				t.Error("the change is forgotten before the table is written again")
			}
			if err := table.TakeOver(manyThings); err != nil {
				t.Fatal(err)
			}
			if err := table.Renew(); err != nil {
				t.Fatal(err)
			}
			calm(t, table, "after it was written again")
		})
	}
}

// TestAMissingSetIsNoticed takes away a set that no rule asks.
func TestAMissingSetIsNoticed(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	table := open(t, n, options("whole"))
	install(t, table, intent.Redirect{Ports: []uint16{80}})
	script(t, n, "delete set inet fairlead addrs4")
	if intact, err := table.Intact(); err != nil || intact {
		t.Errorf("intact: %t, %v, want it found damaged", intact, err)
	}
}

func calm(t *testing.T, table *table, when string) {
	t.Helper()
	for range 3 {
		if err := table.Renew(); err != nil {
			t.Fatal(err)
		}
		if table.disturbed() {
			t.Errorf("%s: disturbed by nobody", when)
		}
	}
	if intact, err := table.Intact(); err != nil || !intact {
		t.Errorf("%s: intact: %t, %v", when, intact, err)
	}
}

// TestOwnChangesAreNoTampering changes what is redirected, and gives up the lease and takes it again.
func TestOwnChangesAreNoTampering(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	table := open(t, n, options("own"))
	install(t, table, manyThings)
	for what, r := range map[string]intent.Redirect{
		"other addresses": {Addrs: addrs("10.0.0.2:80", "[fd00::1]:80"), Ports: []uint16{80}, Blocks: manyThings.Blocks},
		"other rules":     {All: true, FailClosed: true},
		"nothing":         {},
	} {
		install(t, table, r)
		calm(t, table, what)
		if err := table.Yield(); err != nil {
			t.Fatal(err)
		}
		calm(t, table, what+", without a lease for a moment")
	}
}

// TestRulesOfOthersAreNotOurs: what the pod does with tables of its own is noticed and does no harm.
func TestRulesOfOthersAreNotOurs(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	table := open(t, n, options("quiet"))
	install(t, table, manyThings)
	script(t, n, "add table inet pods; add chain inet pods c { type filter hook output priority 0; }")
	if !table.disturbed() {
		t.Error("the change was not noticed")
	}
	if intact, err := table.Intact(); err != nil || !intact {
		t.Errorf("intact: %t, %v", intact, err)
	}
	calm(t, table, "after a change of another table")
}

// TestTableOfAnotherAgentIsNotRewritten distinguishes an agent that took over from a pod that tampers.
func TestTableOfAnotherAgentIsNotRewritten(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	old, newer := open(t, n, options("old")), open(t, n, options("newer"))
	install(t, old, manyThings)
	install(t, newer, manyThings)
	if _, err := old.Intact(); !errors.Is(err, mechanism.ErrSuperseded) {
		t.Errorf("the old agent looks: %v, want superseded", err)
	}
	if intact, err := newer.Intact(); err != nil || !intact {
		t.Errorf("the newer agent looks: %t, %v", intact, err)
	}
}

// TestTableOfTheFirstVersionIsTakenOver: the zone's rule stays in force, and what redirected is gone.
func TestTableOfTheFirstVersionIsTakenOver(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	script(t, n, `table inet fairlead {
		set agent-first { type inet_service; elements = { 14001 }; }
		set lease { type nf_proto; timeout 3s; }
		set addrs4 { type ipv4_addr . inet_service; }
		set addrs6 { type ipv6_addr . inet_service; }
		set ports { type inet_service; elements = { 80 }; }
		chain output { type nat hook output priority -100; meta nfproto != @lease return; tcp dport @ports redirect to :14001; }
		chain zone { type filter hook output priority raw; meta mark 0x0000fa1e ct original zone set 64030; }
	}`)
	table := open(t, n, options("golden"))
	install(t, table, intent.Redirect{Addrs: addrs("10.96.0.10:80", "10.244.1.7:8080", "[fd00::10]:80")})
	golden(t, n, "services")
}
