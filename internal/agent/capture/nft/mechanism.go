package nft

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"syscall"

	"github.com/google/nftables"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// Mechanism redirects by nftables. Each namespace has a lease of its own.
type Mechanism struct {
	// immutable after New
	settings mechanism.Settings
	kernel   *kernel
}

var (
	_ mechanism.New        = New
	_ mechanism.Interface  = (*Mechanism)(nil)
	_ mechanism.Attachment = (*Table)(nil)
)

// New makes the mechanism. It is a mechanism.New.
func New(s mechanism.Settings) (mechanism.Interface, error) {
	if s.Agent == "" || s.Mark == 0 || s.Lease <= 0 {
		return nil, errors.New("nft: agent, mark and lease are required")
	}
	return &Mechanism{settings: s, kernel: new(kernel)}, nil
}

// Attach implements mechanism.Interface.
func (m *Mechanism) Attach(ns *netns.Namespace) (mechanism.Attachment, error) {
	return newTable(ns, m.settings, m.kernel), nil
}

// Heartbeat implements mechanism.Interface: tables have leases of their own.
func (m *Mechanism) Heartbeat() mechanism.Heartbeat { return mechanism.Heartbeat{} }

func newTable(ns *netns.Namespace, s mechanism.Settings, k *kernel) *Table {
	return &Table{ns: ns, settings: s, table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet},
		lease: newLease(ns, s.Lease, k), seed: maphash.MakeSeed()}
}

// Original implements mechanism.Attachment.
func (t *Table) Original(conn syscall.Conn, at netip.AddrPort) (netip.AddrPort, error) {
	return conntrack.OriginalDestination(conn, at)
}

// ClientSocket implements mechanism.Attachment. Packets are translated on their way, so the client's socket still has the original
// addresses.
func (t *Table) ClientSocket(c mechanism.Connection) (local, remote netip.AddrPort) {
	return c.From, c.To
}
