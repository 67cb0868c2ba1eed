package nft_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// objects is the ruleset with the numbers of its objects, which count up with every one that is made.
func objects(t *testing.T, n *netnstest.Net) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "-j", "-a", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	return string(out)
}

func TestRule38_ApplyingTwiceIsNoChange(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	table := open(t, n, options("twice"))
	first := intent.Redirect{Addrs: addrs("10.0.0.1:80", "10.0.0.2:80"), Ports: []uint16{80, 443}, FailClosed: true}
	if err := table.Install(first); err != nil {
		t.Fatal(err)
	}
	before := objects(t, n)
	again := intent.Redirect{Addrs: addrs("10.0.0.2:80", "10.0.0.1:80", "10.0.0.1:80"), Ports: []uint16{443, 80}, FailClosed: true}
	if err := table.Install(again); err != nil {
		t.Fatal(err)
	}
	if after := objects(t, n); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
}

func TestNewAgentTakesOver(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	if _, ok, err := nft.FindOwner(n.Namespace); ok || err != nil {
		t.Fatalf("owner of nothing: %v, %v", ok, err)
	}
	old, newer := open(t, n, options("old")), open(t, n, options("newer"))
	install(t, old, intent.Redirect{Addrs: addrs("10.0.0.1:80")})
	owner, ok, err := nft.FindOwner(n.Namespace)
	if want := (nft.Owner{Name: "old", Port: port}); err != nil || !ok || owner != want {
		t.Fatalf("owner %v, %v, %v, want %v", owner, ok, err, want)
	}
	install(t, newer, intent.Redirect{Addrs: addrs("10.0.0.2:80")})
	taken := n.Ruleset(t)
	for what, err := range map[string]error{
		"install": old.Install(intent.Redirect{Addrs: addrs("10.0.0.3:80")}),
		"remove":  old.Remove(),
	} {
		if !errors.Is(err, mechanism.ErrSuperseded) {
			t.Errorf("%s by the old agent: %v, want superseded", what, err)
		}
	}
	if now := n.Ruleset(t); mask(now) != mask(taken) {
		t.Errorf("the old agent changed\n%s\nto\n%s", taken, now)
	}
	if err := old.TakeOver(intent.Redirect{}); err != nil { // deliberately
		t.Error(err)
	}
	if err := newer.Remove(); !errors.Is(err, mechanism.ErrSuperseded) {
		t.Errorf("remove by the one that lost it: %v, want superseded", err)
	}
	if err := old.Remove(); err != nil {
		t.Error(err)
	}
}

func mask(ruleset string) string {
	var kept []string
	for line := range strings.Lines(ruleset) {
		if !strings.Contains(line, "expires") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestTakesOverATableOfAnotherShape(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	script := `table inet fairlead {
		set agent-ancient { type inet_service; elements = { 9 } }
		set addrs4 { type ipv4_addr; elements = { 10.0.0.1 } }
		chain output { type nat hook output priority -100; ip daddr @addrs4 tcp dport 1-65535 redirect to :9; }
		chain more { type filter hook output priority 0; }
	}`
	cmd := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	table := open(t, n, options("modern"))
	install(t, table, intent.Redirect{Addrs: addrs("10.0.0.2:80")})
	if got := n.Ruleset(t); !strings.Contains(got, "10.0.0.2 . 80") || strings.Contains(got, "ancient") {
		t.Errorf("after taking over:\n%s", got)
	}
}

func TestTableThatThePodHasTamperedWith(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	tamper := func() {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft",
			"add chain inet fairlead mine; add rule inet fairlead mine tcp dport @agent-victim accept").CombinedOutput()
		if err != nil {
			t.Fatalf("nft: %v\n%s", err, out)
		}
	}
	table := open(t, n, options("victim"))
	install(t, table, intent.Redirect{Addrs: addrs("10.0.0.1:80")})
	tamper()
	if err := table.TakeOver(intent.Redirect{Addrs: addrs("10.0.0.2:80")}); err != nil {
		t.Fatal(err)
	}
	if got := n.Ruleset(t); !strings.Contains(got, "10.0.0.2 . 80") || strings.Contains(got, "mine") {
		t.Errorf("after taking over:\n%s", got)
	}
	tamper()
	if err := table.Remove(); err != nil {
		t.Fatal(err)
	}
	if left := n.Ruleset(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestTableTakenAwayIsWrittenAgain(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	table := open(t, n, options("again"))
	install(t, table, intent.Redirect{Addrs: addrs("10.0.0.1:80")})
	if out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+n.Path, "nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	err := table.Renew()
	if err == nil || errors.Is(err, mechanism.ErrSuperseded) {
		t.Fatalf("renewal without table: %v", err)
	}
	if err := table.TakeOver(intent.Redirect{Addrs: addrs("10.0.0.1:80")}); err != nil {
		t.Fatal(err)
	}
	if got := n.Ruleset(t); !strings.Contains(got, "10.0.0.1 . 80") {
		t.Errorf("after installing again:\n%s", got)
	}
}

func TestManyAddresses(t *testing.T) {
	netnstest.Privileged(t)
	n := netnstest.New(t, netnstest.Host(t))
	table := open(t, n, options("many"))
	var r intent.Redirect
	for i := range 20000 {
		r.Addrs = append(r.Addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80))
	}
	install(t, table, r)
	r.Addrs = r.Addrs[1:]
	install(t, table, r)
	got := n.Ruleset(t)
	if strings.Contains(got, "10.1.0.0 . 80") || strings.Count(got, " . 80") != 19999 {
		t.Errorf("%d addresses are installed, want 19999", strings.Count(got, " . 80"))
	}
}

func TestMostExceptionsFitARule(t *testing.T) {
	netnstest.Privileged(t)
	b := intent.Block{Prefix: netip.MustParsePrefix("2001:db8::/32"), Ports: []uint16{80, 443}}
	for i := range intent.MaxExcepts {
		b.Except = append(b.Except, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/47", i*2)))
	}
	table := open(t, netnstest.New(t, netnstest.Host(t)), options("holes"))
	install(t, table, intent.Redirect{Blocks: []intent.Block{b}})
}

// TestTheMostThatMayBeSaid installs a Redirect at all its bounds.
func TestTheMostThatMayBeSaid(t *testing.T) {
	netnstest.Privileged(t)
	var r intent.Redirect
	for i := range intent.MaxAddrs {
		a := netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)})
		r.Addrs = append(r.Addrs, netip.AddrPortFrom(a, 80))
	}
	for i := range intent.MaxBlocks {
		b := intent.Block{Prefix: netip.MustParsePrefix("2001::/16"), Ports: []uint16{80, 443}}
		for k := range intent.MaxExcepts {
			b.Except = append(b.Except, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 4: byte(i >> 8), 5: byte(i), 7: byte(k)}), 64))
		}
		r.Blocks = append(r.Blocks, b)
	}
	table := open(t, netnstest.New(t, netnstest.Host(t)), options("most"))
	install(t, table, r)
	if err := table.StopRedirect(); err != nil {
		t.Error(err)
	}
}
