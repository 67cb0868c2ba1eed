package nft_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestADowngradeLeavesNothingOfTheNewerVersion takes over a table that has, beside what this version knows, chains and sets of a later one, which
// refer to each other.
func TestADowngradeLeavesNothingOfTheNewerVersion(t *testing.T) {
	netnstest.Privileged(t)
	for name, newer := range map[string]string{
		"a chain":                   `add chain inet fairlead later { type filter hook output priority 0; tcp dport 80 drop; }`,
		"chains that jump":          `add chain inet fairlead second { drop; }; add chain inet fairlead later { type filter hook output priority 0; jump second; }`,
		"sets and maps":             `add set inet fairlead more { type ipv4_addr; }; add chain inet fairlead second { drop; }; add map inet fairlead where { type inet_service : verdict; elements = { 80 : jump second }; }; add chain inet fairlead later { type filter hook output priority 0; ip daddr @more accept; tcp dport vmap @where; tcp dport vmap { 81 : jump second }; }`,
		"a jump from ours":          `add chain inet fairlead later { drop; }; insert rule inet fairlead capture tcp dport 80 jump later`,
		"a jump from the zone's":    `add chain inet fairlead later { drop; }; insert rule inet fairlead zone tcp dport 80 jump later`,
		"a chain of another shape":  `delete chain inet fairlead own; add chain inet fairlead own { type filter hook output priority 0; tcp dport 80 drop; }`,
		"a set that the agent owns": `add rule inet fairlead bound tcp dport @agent-newer drop`,
	} {
		t.Run(name, func(t *testing.T) {
			pod, out := netnstest.Pair(t, netnstest.Host(t))
			agent(t, pod)
			world(t, out, 80)
			install(t, open(t, pod, options("newer")), intent.Redirect{All: true})
			script(t, pod, newer)
			older := open(t, pod, options("golden"))
			install(t, older, intent.Redirect{Addrs: addrs("10.96.0.10:80", "10.244.1.7:8080", "[fd00::10]:80")})
			sameObjects(t, pod, "services")
			install(t, older, intent.Redirect{All: true})
			expect(t, pod, "10.99.0.1:80", "captured 10.99.0.1:80")
			if err := older.Remove(); err != nil || strings.Contains(pod.Ruleset(t), "fairlead") {
				t.Errorf("removed: %v, left:\n%s", err, pod.Ruleset(t))
			}
		})
	}
}

// sameObjects compares the ruleset with a golden file, in whatever order the kernel lists it.
func sameObjects(t *testing.T, n *netnstest.Net, name string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name+".nft"))
	if err != nil {
		t.Fatal(err)
	}
	lines := func(text string) []string {
		list := strings.Split(text, "\n")
		slices.Sort(list)
		return list
	}
	got := expires.ReplaceAllString(n.Ruleset(t), "expires …")
	if diff := cmp.Diff(lines(string(want)), lines(got)); diff != "" {
		t.Error(diff)
	}
}
