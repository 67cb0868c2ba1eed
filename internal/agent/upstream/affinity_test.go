package upstream

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestRule40_AnEndpointIsKeptForTheTimeout(t *testing.T) {
	const timeout = 10 * time.Second
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	one, two := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[fd00::2]:80")
	a := NewAffinity("pod", "shop/api:80")
	for i, step := range []struct {
		at      int
		family  int
		keep    netip.AddrPort
		timeout time.Duration
		want    netip.AddrPort
	}{
		{at: 0, timeout: timeout},
		{at: 1, keep: one},
		{at: 10, timeout: timeout, want: one},
		{at: 10, family: 1, timeout: timeout},
		{at: 10, keep: one}, // used again
		{at: 11, family: 1, keep: two},
		{at: 19, timeout: timeout, want: one},
		{at: 19, timeout: 5 * time.Second}, // the Service says less now
		{at: 20, timeout: timeout},
		{at: 20, family: 1, timeout: timeout, want: two},
		{at: 21, family: 1, timeout: timeout},
		{at: 22, timeout: 0},
	} {
		if step.keep.IsValid() {
			a.keep(step.family, step.keep, at(step.at), time.Minute)
			continue
		}
		if got := a.endpoint(step.family, at(step.at), step.timeout); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// top returns the endpoint with the highest rank.
func (a *Affinity) top(addrs []netip.AddrPort) (best netip.AddrPort) {
	for _, addr := range addrs {
		if !best.IsValid() || a.rank(addr) > a.rank(best) {
			best = addr
		}
	}
	return best
}

func TestRanksSpreadPodsAndSurviveRestarts(t *testing.T) {
	const pods = 4000
	all := addresses(8)
	chosen := map[netip.AddrPort]int{}
	moved, same := 0, 0
	for i := range pods {
		uid := fmt.Sprintf("pod-%d", i)
		a := NewAffinity(uid, "shop/api:80")
		at := a.top(all)
		chosen[at]++
		if again := NewAffinity(uid, "shop/api:80").top(all); again != at {
			t.Fatalf("%s: %v, and %v after a restart", uid, at, again)
		}
		if at != all[3] && a.top(append(all[:3:3], all[4:]...)) != at {
			moved++
		}
		if NewAffinity(uid, "shop/web:80").top(all) == at {
			same++
		}
	}
	for _, addr := range all {
		if n := chosen[addr]; n < pods/8*8/10 || n > pods/8*12/10 {
			t.Errorf("%d of %d pods are at %v, one of eight", n, pods, addr)
		}
	}
	if moved > 0 {
		t.Errorf("%d pods move when another endpoint leaves", moved)
	}
	if same < pods/8*7/10 || same > pods/8*13/10 {
		t.Errorf("%d of %d pods are at the same place of another Service, one in eight by chance", same, pods)
	}
}
