package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
)

// write replaces the chain's rules.
func (t *Table) write(c *nftables.Conn, rules []rule) error {
	chain := t.chain(captureChain)
	c.FlushChain(chain)
	for i, r := range rules {
		exprs, err := r.render(c, t.table, firstAnonymous+uint32(i))
		if err != nil {
			return err
		}
		c.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: exprs, UserData: r.userData()})
	}
	return nil
}

// rules are those of the chain that redirects what r says.
func (t *Table) rules(r intent.Redirect) []rule {
	if r.Empty() {
		return []rule{{comment: "nothing is captured; connections that were go on", match: tracks(), then: verdict(expr.VerdictReturn)}}
	}
	s := t.sets()
	goes := verdict(expr.VerdictReturn)
	list := append(t.quic(r, s),
		rule{comment: "only TCP", match: protocolIsNotTCP(), then: goes},
		rule{comment: "connections of the agent", match: markIs(t.settings.Mark), then: goes},
		rule{comment: "an answer that is not known as one", match: t.fromListener(unix.NFPROTO_IPV4), then: verdict(expr.VerdictDrop)},
		rule{comment: "an answer that is not known as one", match: t.fromListener(unix.NFPROTO_IPV6), then: verdict(expr.VerdictDrop)},
		rule{comment: "connections that were there before", match: isNotRequest(), then: goes})
	if !r.FailClosed {
		list = append(list, rule{comment: "the agent is gone", match: noLease(s.lease), then: goes})
	}
	if t.to.IPv6 {
		list = append(list, rule{comment: "cannot be dialled without knowing the interface", match: inBlock(intent.Block{Prefix: intent.LinkLocal6}), then: goes})
	} else {
		list = append(list, rule{comment: "the agent has no IPv6 here", match: familyIs(unix.NFPROTO_IPV6), then: goes})
	}
	if t.to.NoIPv4 {
		list = append(list, rule{comment: "the agent has no IPv4 here", match: familyIs(unix.NFPROTO_IPV4), then: goes})
	}
	list = append(list, rule{comment: "the pod itself", match: isOwnAddress(), then: goes},
		rule{comment: "bound to an interface", match: endsIn(unix.NFPROTO_IPV4, s.bound4), then: goes},
		rule{comment: "bound to an interface", match: endsIn(unix.NFPROTO_IPV6, s.bound6), then: goes})
	return append(list, t.captures(r, s)...)
}

// unservedComment is on the rules for services without endpoints, which redirect without a lease alone.
const unservedComment = "services without endpoints, and no agent"

func (t *Table) captures(r intent.Redirect, s sets) []rule {
	to := redirectTo(t.to.Port)
	if r.All {
		return []rule{{comment: "everything", then: to}}
	}
	var list []rule
	v4, v6 := byFamily(r.Addrs)
	if len(v4) > 0 {
		list = append(list, rule{comment: "services", match: addressIn(unix.NFPROTO_IPV4, s.addrs4), then: to})
	}
	if len(v6) > 0 {
		list = append(list, rule{comment: "services", match: addressIn(unix.NFPROTO_IPV6, s.addrs6), then: to})
	}
	for _, b := range r.Blocks {
		list = append(list, rule{comment: "block", match: inBlock(b), ports: b.Ports, then: to})
	}
	if len(r.Ports) > 0 {
		list = append(list, rule{comment: "hosts", match: portIn(s.ports), then: to})
	}
	unserved4, unserved6 := byFamily(r.Unserved)
	if len(unserved4) > 0 {
		list = append(list, rule{comment: unservedComment, match: append(addressIn(unix.NFPROTO_IPV4, s.unserved4), noLease(s.lease)...), then: to})
	}
	if len(unserved6) > 0 {
		list = append(list, rule{comment: unservedComment, match: append(addressIn(unix.NFPROTO_IPV6, s.unserved6), noLease(s.lease)...), then: to})
	}
	return list
}

// fromListener matches what the agent sends on a connection that was redirected, if the kernel has forgotten that it was: see Restore.
func (t *Table) fromListener(family byte) []expr.Any {
	listener, from, size := []byte{127, 0, 0, 1}, uint32(source4), uint32(size4)
	if family == unix.NFPROTO_IPV6 {
		listener, from, size = append(make([]byte, size6-1), 1), source6, size6
	}
	return append(familyIs(family), network(reg1, from, size), compare(expr.CmpOpEq, reg1, listener), port(reg1, sourcePort),
		compare(expr.CmpOpEq, reg1, binaryutil.BigEndian.PutUint16(t.to.Port)))
}
