package nft

import (
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
)

// Feature is something that redirecting uses of the kernel.
type Feature struct {
	// Module is the kernel's module that has it, where it is not built in; For is what it is used for.
	Module, For string
	// Needed: without it nothing is redirected.
	Needed bool
	// Err is why it does not work, or nil.
	Err error
}

// Features finds out what the kernel has of what redirecting uses, by using it in ns. That must be a namespace in which nobody else is
// (netns.Host.Scratch), because what is written there stays there. Modules that are missing are loaded by that, where the kernel finds them.
func Features(ns *netns.Namespace) []Feature {
	t := newTable(ns, mechanism.Settings{Agent: "probe", Mark: 1, Lease: time.Minute}, new(kernel))
	t.to = listener{Port: 1, IPv6: true}
	reject := []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}
	capturing := t.chain(captureChain)
	features := []Feature{
		{Module: "nf_tables", For: "nftables, with sets whose elements expire", Needed: true, Err: t.transact(func(c *nftables.Conn) error {
			c.AddTable(t.table)
			return c.AddSet(t.sets().lease, nil)
		})},
		{Module: "nft_chain_nat", For: "translating addresses", Needed: true, Err: t.using(capturing, nil)},
		{Module: "nft_redir", For: "redirecting connections to the agent", Needed: true, Err: t.using(capturing, redirectTo(1))},
		{Module: "nft_nat", For: "leaving the agent's own connections alone", Needed: true, Err: t.transact(func(c *nftables.Conn) error {
			c.AddTable(t.table)
			c.AddChain(t.chain(ownChain))
			writeOwn(c, t.chain(ownChain), 1)
			return nil
		})},
		{Module: "nft_fib_inet", For: "leaving calls of a pod to itself alone", Needed: true, Err: t.using(capturing, append(isOwnAddress(), verdict(expr.VerdictReturn)...))},
		{Module: "nft_ct", For: "connections that outlive their policy", Needed: true, Err: t.using(capturing, append(tracks(), verdict(expr.VerdictReturn)...))},
		{Module: "nft_reject_inet", For: "udp443: Reject", Err: t.using(capturing, append(isQUIC(), reject...))},
	}
	return append(features, t.optional()...)
}

// optional are the features without which redirecting makes do.
func (t *Table) optional() []Feature {
	zone, bound := t.using(t.chain(zoneChain), nil), t.using(t.chain(boundChain), nil)
	if zone == nil {
		zone = t.replaceRules(zoneChain, zoneRule(1))
	}
	if bound == nil {
		bound = t.replaceRules(boundChain, t.boundRule(unix.NFPROTO_IPV4, 0, nil), t.boundRule(unix.NFPROTO_IPV6, netlink.Acknowledge, nil))
	}
	return []Feature{
		{Module: "nf_conntrack", For: "zones, which keep apart the ports of the agent and of the pod", Err: zone},
		{Module: "nf_nat", For: "sockets that are bound to an interface", Err: bound},
		{Module: "nf_conntrack_netlink", For: "connections of before a restart of the agent", Err: conntrack.ForgetStale(t.ns, 1)},
		{Module: "tcp_diag", For: "finding connections that are older than their policy, and clients that have gone",
			Err: sockdiag.Each(t.ns, sockdiag.Established, 0, func(sockdiag.Socket) {})},
	}
}

// using writes a chain, and a rule with expressions, unless there are none.
func (t *Table) using(chain *nftables.Chain, expressions []expr.Any) error {
	return t.transact(func(c *nftables.Conn) error {
		c.AddTable(t.table)
		c.AddChain(chain)
		if len(expressions) > 0 {
			c.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: expressions})
		}
		return nil
	})
}
