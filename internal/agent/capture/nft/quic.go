package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
)

// quicCounterName is that of the counter of flows. It is an object of its own, so that what it counts changes no rule.
const quicCounterName = "quic"

func (t *Table) quicCounter() *nftables.CounterObj {
	return &nftables.CounterObj{Table: t.table, Name: quicCounterName}
}

// quic are the rules about UDP to intent.QUICPort: what is rejected, and what is counted. They are in a NAT chain, which is asked about the
// first packet of each flow alone, so that they cost others nothing; a flow that is rejected has no first packet that left, so it is asked
// about again.
func (t *Table) quic(r intent.Redirect, s sets) []rule {
	if !r.MayMeetQUIC() {
		return nil
	}
	reject := []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}
	meant := func(to []expr.Any) []expr.Any {
		match := isQUIC()
		if !r.FailClosed {
			match = append(match, leased(s.lease)...)
		}
		return append(match, to...)
	}
	var list []rule
	if r.RejectQUIC.All {
		list = append(list, rule{comment: "QUIC", match: meant(nil), then: reject})
	}
	for _, b := range r.RejectQUIC.Blocks {
		list = append(list, rule{comment: "QUIC to a block", match: meant(inBlock(b)), then: reject})
	}
	return append(list, rule{comment: "QUIC is counted", match: isQUIC(),
		then: []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: quicCounterName}}})
}

// isQUIC matches UDP to intent.QUICPort on other machines.
func isQUIC() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		compare(expr.CmpOpEq, reg1, []byte{unix.IPPROTO_UDP}),
		destinationPort(reg1),
		compare(expr.CmpOpEq, reg1, binaryutil.BigEndian.PutUint16(intent.QUICPort)),
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		compare(expr.CmpOpNeq, reg1, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func leased(lease *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Lookup{SourceRegister: reg1, SetName: lease.Name, SetID: lease.ID},
	}
}

// QUIC implements mechanism.Attachment.
func (t *Table) QUIC() (uint64, error) {
	c, err := connect(t.ns)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.CloseLasting() }()
	found, err := c.GetObject(t.quicCounter())
	if errors.Is(err, unix.ENOENT) {
		return 0, nil // of a table that an older agent wrote
	}
	if err != nil {
		return 0, fmt.Errorf("read counter: %w", err)
	}
	counter, ok := found.(*nftables.CounterObj)
	if !ok {
		return 0, fmt.Errorf("read counter: it is a %T", found)
	}
	return counter.Packets, nil
}
