package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The chains of the table, in the order in which a packet that leaves the pod passes them.
const (
	zoneChain    = "zone"
	ownChain     = "own"
	captureChain = "capture"
	boundChain   = "bound"
)

// The kernel asks one NAT chain after the other about the first packet of a connection until one of them has decided where it goes;
// behind that one nobody is asked. So the chain that leaves the agent's connections alone comes before all others, and the chain that
// redirects comes right behind those of others, which are at -100: what another proxy in the pod takes is its own, and what that
// proxy sends is captured.
const (
	beforeOthers = -199 // right behind connection tracking (-200), the first that the kernel allows
	behindOthers = -99
)

// chains are all of them.
func (t *Table) chains() []*nftables.Chain {
	return []*nftables.Chain{t.chain(zoneChain), t.chain(ownChain), t.chain(captureChain), t.chain(boundChain)}
}

func (t *Table) chain(name string) *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	c := &nftables.Chain{Table: t.table, Name: name, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput, Policy: &policy}
	switch name {
	case zoneChain: // asked before the kernel tracks a packet
		c.Type, c.Priority = nftables.ChainTypeFilter, nftables.ChainPriorityRaw
	case ownChain:
		c.Priority = nftables.ChainPriorityRef(beforeOthers)
	case captureChain:
		c.Priority = nftables.ChainPriorityRef(behindOthers)
	case boundChain:
		c.Hooknum, c.Priority = nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource
	}
	return c
}

// writeOwn replaces the rules that leave the agent's own connections alone: a translation to where the packet goes anyhow changes nothing
// and ends the chain. Without it another proxy's rules in the pod would send them to that proxy, which would send
// them back to the agent, in a circle that ends when the descriptors do.
func writeOwn(c *nftables.Conn, chain *nftables.Chain, mark uint32) {
	c.FlushChain(chain)
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		exprs := append(markIs(mark), familyIs(family)...)
		exprs = append(exprs, destination(family, reg1),
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(family), RegAddrMin: reg1, RegAddrMax: reg1})
		own := rule{comment: "connections of the agent"}
		c.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: exprs, UserData: own.userData()})
	}
}
