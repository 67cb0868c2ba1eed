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

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	port = 14001
	mark = 0xfa1e
)

// tableOptions say how a table of a test redirects.
type tableOptions struct {
	Owner string
	Port  uint16
	IPv6  bool
	// NoIPv4: it does not listen there.
	NoIPv4 bool
	Lease  time.Duration
}

func options(owner string) tableOptions {
	return tableOptions{Owner: owner, Port: port, IPv6: true, Lease: 3 * time.Second}
}

// table is an attachment that redirects to one listener.
type table struct {
	mechanism.Attachment
	to mechanism.Intent
}

func open(t testing.TB, n *netnstest.Net, o tableOptions) *table {
	t.Helper()
	m, err := nft.New(mechanism.Settings{Agent: o.Owner, Mark: mark, Lease: o.Lease})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Attach(n.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return &table{Attachment: a, to: mechanism.Intent{Port: o.Port, IPv6: o.IPv6, NoIPv4: o.NoIPv4}}
}

func (t *table) wanted(r intent.Redirect) mechanism.Intent {
	i := t.to
	i.Redirect = r
	return i
}

func (t *table) Install(r intent.Redirect) error  { return t.Attachment.Install(t.wanted(r)) }
func (t *table) TakeOver(r intent.Redirect) error { return t.Attachment.TakeOver(t.wanted(r)) }

func (t *table) Renew() error {
	_, err := t.Attachment.Renew(mechanism.Connection{})
	return err
}

// disturbed reports whether a renewal reports changes; one that fails does.
func (t *table) disturbed() bool {
	h, err := t.Attachment.Renew(mechanism.Connection{})
	return err != nil || h.Disturbed
}

// forgotten reports whether a renewal reports that a connection is not known any more.
func (t *table) forgotten(tb testing.TB, c mechanism.Connection) bool {
	tb.Helper()
	h, err := t.Attachment.Renew(c)
	if err != nil {
		tb.Fatal(err)
	}
	return h.Forgotten
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
		redirect intent.Redirect
		noIPv6   bool
		noIPv4   bool
	}{
		"nothing":  {},
		"services": {redirect: intent.Redirect{Addrs: addrs("10.96.0.10:80", "10.244.1.7:8080", "[fd00::10]:80", "10.96.0.10:80")}},
		"hosts":    {redirect: intent.Redirect{Ports: []uint16{443, 80, 80}}},
		"all":      {redirect: intent.Redirect{All: true, Ports: []uint16{80}}},
		"closed":   {redirect: intent.Redirect{Ports: []uint16{80}, FailClosed: true}},
		"unserved": {redirect: intent.Redirect{Addrs: addrs("10.96.0.10:80"), Unserved: addrs("10.96.0.11:80", "[fd00::11]:80"), FailClosed: true}},
		"quic":     {redirect: intent.Redirect{Ports: []uint16{443}, RejectQUIC: intent.QUIC{All: true, Blocks: []intent.Block{{}}}}},
		"quic to blocks": {redirect: intent.Redirect{All: true, FailClosed: true, RejectQUIC: intent.QUIC{
			Blocks: []intent.Block{{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Except: prefixes("203.0.113.7/32")}}}}},
		"no IPv6": {redirect: intent.Redirect{Ports: []uint16{80}}, noIPv6: true},
		"no IPv4": {redirect: intent.Redirect{Ports: []uint16{80}}, noIPv4: true},
		"blocks": {redirect: intent.Redirect{Blocks: []intent.Block{
			{Prefix: netip.MustParsePrefix("203.0.113.9/24"), Except: prefixes("203.0.113.7/32", "203.0.113.64/26"), Ports: []uint16{5432}},
			{Prefix: netip.MustParsePrefix("2001:db8::/33"), Except: prefixes("2001:db8:1::/48"), Ports: []uint16{443, 80}},
			{Prefix: netip.MustParsePrefix("198.51.100.1/32")},
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Ports: []uint16{9000}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			n := netnstest.New(t, netnstest.Host(t))
			o := options("golden")
			o.IPv6, o.NoIPv4 = !tc.noIPv6, tc.noIPv4
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

// expires is what differs from one listing of a ruleset to the next.
var expires = regexp.MustCompile(`expires [0-9a-z]+`)

func golden(t *testing.T, n *netnstest.Net, name string) {
	t.Helper()
	got := expires.ReplaceAllString(n.Ruleset(t), "expires …")
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
