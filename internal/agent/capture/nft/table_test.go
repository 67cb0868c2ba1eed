package nft_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	port = 14001
	mark = 0xfa1e
)

func options(owner string) nft.Options {
	return nft.Options{Owner: owner, Port: port, IPv6: true, Mark: mark, Lease: 3 * time.Second}
}

func open(t testing.TB, n *netnstest.Net, o nft.Options) *nft.Table {
	t.Helper()
	table, err := new(nft.Kernel).Open(n.Namespace, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func addrs(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestGoldenRules(t *testing.T) {
	netnstest.Privileged(t)
	for name, tc := range map[string]struct {
		redirect nft.Redirect
		noIPv6   bool
	}{
		"nothing":  {},
		"services": {redirect: nft.Redirect{Addrs: addrs("10.96.0.10:80", "10.244.1.7:8080", "[fd00::10]:80", "10.96.0.10:80")}},
		"hosts":    {redirect: nft.Redirect{Ports: []uint16{443, 80, 80}}},
		"all":      {redirect: nft.Redirect{All: true, Ports: []uint16{80}}},
		"closed":   {redirect: nft.Redirect{Ports: []uint16{80}, FailClosed: true}},
		"no IPv6":  {redirect: nft.Redirect{Ports: []uint16{80}}, noIPv6: true},
		"blocks": {redirect: nft.Redirect{Blocks: []nft.Block{
			{Prefix: netip.MustParsePrefix("203.0.113.9/24"), Except: prefixes("203.0.113.7/32", "203.0.113.64/26"), Ports: []uint16{5432}},
			{Prefix: netip.MustParsePrefix("2001:db8::/33"), Except: prefixes("2001:db8:1::/48"), Ports: []uint16{443, 80}},
			{Prefix: netip.MustParsePrefix("198.51.100.1/32")},
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Ports: []uint16{9000}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			n := netnstest.New(t, netnstest.Host(t))
			o := options("golden")
			o.IPv6 = !tc.noIPv6
			table := open(t, n, o)
			if err := table.Install(tc.redirect); err != nil {
				t.Fatal(err)
			}
			if err := table.Renew(); err != nil {
				t.Fatal(err)
			}
			golden(t, n, filepath.Base(t.Name()))
		})
	}
}

func golden(t *testing.T, n *netnstest.Net, name string) {
	t.Helper()
	got := regexp.MustCompile(`expires [0-9a-z]+`).ReplaceAllString(n.Ruleset(t), "expires …")
	file := filepath.Join("testdata", name+".nft")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
