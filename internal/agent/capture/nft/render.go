package nft

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
)

// Registers. A 16 byte register can be used as four of 4 bytes; concatenated keys are built in those.
const (
	reg1     = unix.NFT_REG_1
	reg2     = unix.NFT_REG_2
	reg32of0 = unix.NFT_REG32_00
	reg32of1 = unix.NFT_REG32_01
)

// Offsets and sizes of addresses in the network header, of ports in the transport header.
const (
	source4, destination4, size4   = 12, 16, 4
	source6, destination6, size6   = 8, 24, 16
	sourcePort, toPort, sizeOfPort = 0, 2, 2
)

// rule is one rule to be.
type rule struct {
	comment string // for a person reading the table
	match   []expr.Any
	ports   []uint16 // destination ports, any if empty
	then    []expr.Any
}

func (r rule) userData() []byte {
	return userdata.AppendString(nil, userdata.TypeComment, r.comment)
}

// render returns the rule's expressions, having added the set they look into, if any, with the given id.
func (r rule) render(c *nftables.Conn, table *nftables.Table, id uint32) ([]expr.Any, error) {
	exprs := slices.Clone(r.match)
	switch len(r.ports) {
	case 0:
	case 1:
		exprs = append(exprs, destinationPort(reg1), compare(expr.CmpOpEq, reg1, binaryutil.BigEndian.PutUint16(r.ports[0])))
	default:
		set := &nftables.Set{Table: table, ID: id, Name: "__set%d", Anonymous: true, Constant: true, KeyType: nftables.TypeInetService}
		if err := c.AddSet(set, elements(portKeys(r.ports))); err != nil {
			return nil, err
		}
		exprs = append(exprs, portIn(set)...)
	}
	return append(exprs, r.then...), nil
}

func verdict(kind expr.VerdictKind) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind}}
}

func compare(op expr.CmpOp, register uint32, data []byte) *expr.Cmp {
	return &expr.Cmp{Op: op, Register: register, Data: data}
}

func markIs(mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		compare(expr.CmpOpEq, reg1, binaryutil.NativeEndian.PutUint32(mark)),
	}
}

func protocolIsNotTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		compare(expr.CmpOpNeq, reg1, []byte{unix.IPPROTO_TCP}),
	}
}

// isNotRequest matches segments that do not ask for a connection. A flow that was there before the kernel began to track
// connections looks new to it with any segment; redirecting that would break the flow.
func isNotRequest() []expr.Any {
	const finSynRstAck, syn = 0x17, 0x02
	return []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 1, Mask: []byte{finSynRstAck}, Xor: []byte{0}},
		compare(expr.CmpOpNeq, reg1, []byte{syn}),
	}
}

func familyIs(family byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		compare(expr.CmpOpEq, reg1, []byte{family}),
	}
}

func noLease(lease *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Lookup{SourceRegister: reg1, SetName: lease.Name, SetID: lease.ID, Invert: true},
	}
}

// isOwnAddress matches what the pod calls on itself: 127.0.0.0/8, ::1 and the addresses of its interfaces.
func isOwnAddress() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		compare(expr.CmpOpEq, reg1, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func destination(family byte, register uint32) *expr.Payload {
	if family == unix.NFPROTO_IPV6 {
		return network(register, destination6, size6)
	}
	return network(register, destination4, size4)
}

func network(register, offset, size uint32) *expr.Payload {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}
}

func destinationPort(register uint32) *expr.Payload {
	return port(register, toPort)
}

func port(register, offset uint32) *expr.Payload {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: sizeOfPort}
}

func in(register uint32, set *nftables.Set) *expr.Lookup {
	return &expr.Lookup{SourceRegister: register, SetName: set.Name, SetID: set.ID}
}

// addressIn matches destinations whose address and port are in set.
func addressIn(family byte, set *nftables.Set) []expr.Any {
	port := uint32(reg32of1)
	if family == unix.NFPROTO_IPV6 {
		port = reg2 // the address fills the whole of the first register
	}
	return append(familyIs(family), destination(family, reg32of0), destinationPort(port), in(reg32of0, set))
}

func portIn(set *nftables.Set) []expr.Any {
	return []expr.Any{destinationPort(reg1), in(reg1, set)}
}

// inBlock matches destinations in the block and in none of its exceptions, on any port.
func inBlock(b intent.Block) []expr.Any {
	family := familyOf(b.Prefix)
	exprs := append(familyIs(family), destination(family, reg1))
	exprs = append(exprs, masked(expr.CmpOpEq, b.Prefix)...)
	for _, e := range b.Except {
		exprs = append(exprs, masked(expr.CmpOpNeq, e)...)
	}
	return exprs
}

// masked compares the address in register 1 with a prefix, leaving the register as it is.
func masked(op expr.CmpOp, p netip.Prefix) []expr.Any {
	address := p.Addr().AsSlice()
	if p.Bits() == len(address)*8 {
		return []expr.Any{compare(op, reg1, address)}
	}
	mask := make([]byte, len(address))
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg2, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))},
		compare(op, reg2, address),
	}
}

func redirectTo(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Redir{RegisterProtoMin: reg1},
	}
}

// tracks matches nothing that has a consequence, but as long as it is there the kernel tracks the namespace's connections, and
// so goes on translating those that were redirected.
func tracks() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg1},
		compare(expr.CmpOpEq, reg1, binaryutil.NativeEndian.PutUint32(expr.CtStateBitINVALID)),
	}
}

func familyOf(p netip.Prefix) byte {
	if p.Addr().Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}
