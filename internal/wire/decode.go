package wire

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Workload decodes a workload.
func (r *Resource) Workload() (*policy.Workload, error) {
	m := new(pb.Workload)
	if err := r.unmarshal(Workload, m); err != nil {
		return nil, err
	}
	if err := r.named(m.GetUid()); err != nil {
		return nil, err
	}
	return &policy.Workload{
		UID: m.GetUid(), Namespace: m.GetNamespace(), Name: m.GetName(), Profile: m.GetProfile(), Zone: m.GetZone(),
		Owner: policy.Owner{Kind: m.GetOwner().GetKind(), Name: m.GetOwner().GetName()},
	}, nil
}

// Profile decodes a profile. Fields this build does not know make it ErrUnsupported: half a policy is never enforced.
func (r *Resource) Profile() (*policy.Profile, error) {
	m := new(pb.Profile)
	if err := r.unmarshal(Profile, m); err != nil {
		return nil, err
	}
	if err := r.named(m.GetName()); err != nil {
		return nil, err
	}
	if field, found := unknown(m.ProtoReflect()); found {
		return nil, fmt.Errorf("decode %s: %w: field %d of %s", r.Ref, ErrUnsupported, field.number, field.message)
	}
	d := new(decoder)
	d.limit("bindings", len(m.GetBindings()), maxBindings)
	if d.err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Ref, d.err)
	}
	p := &policy.Profile{Name: m.GetName(), FailClosed: m.GetFailClosed(), Bindings: each(m.GetBindings(), d.binding)}
	if d.err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Ref, d.err)
	}
	return p, nil
}

// Destination decodes a destination.
func (r *Resource) Destination() (*policy.Destination, error) {
	m := new(pb.Destination)
	if err := r.unmarshal(Destination, m); err != nil {
		return nil, err
	}
	if err := r.named(m.GetName()); err != nil {
		return nil, err
	}
	d := new(decoder)
	for _, n := range []int{len(m.GetClusterIps()), len(m.GetPorts()), len(m.GetHostnames())} {
		d.limit("entries of a destination list", n, maxList)
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Ref, d.err)
	}
	out := &policy.Destination{
		Name: m.GetName(), ClusterIPs: each(m.GetClusterIps(), d.addr), Ports: each(m.GetPorts(), d.destinationPort),
		Hostnames: each(m.GetHostnames(), func(s string) string { return s }), Affinity: d.duration(m.GetAffinity()), LocalOnly: m.GetLocalOnly(),
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Ref, d.err)
	}
	return out, nil
}

func (r *Resource) unmarshal(kind Kind, m proto.Message) error {
	if r.Ref.Kind != kind {
		return fmt.Errorf("decode %s: %w: not a %s", r.Ref, ErrMalformed, kind)
	}
	if err := proto.Unmarshal(r.Payload, m); err != nil {
		return fmt.Errorf("decode %s: %w: %w", r.Ref, ErrMalformed, err)
	}
	return nil
}

func (r *Resource) named(name string) error {
	if name != r.Ref.Name {
		return fmt.Errorf("decode %s: %w: it calls itself %q", r.Ref, ErrMalformed, name)
	}
	return nil
}

type unknownField struct {
	message protoreflect.FullName
	number  protoreflect.FieldNumber
}

// unknown finds a field that this build does not know, at any depth.
func unknown(m protoreflect.Message) (unknownField, bool) {
	if raw := m.GetUnknown(); len(raw) > 0 {
		number, _, _ := protowire.ConsumeTag(raw)
		return unknownField{m.Descriptor().FullName(), number}, true
	}
	var at unknownField
	var found bool
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() == nil {
			return true
		}
		if !fd.IsList() {
			at, found = unknown(v.Message())
			return !found
		}
		for i := range v.List().Len() {
			if at, found = unknown(v.List().Get(i).Message()); found {
				return false
			}
		}
		return true
	})
	return at, found
}

// decoder maps messages to compiled policy and reports.
type decoder struct{ checker }

func dec[P ~uint8, W ~int32](d *decoder, table enum[W], w W) P {
	var v P
	if err := fromWire(table, w, &v); err != nil && d.err == nil {
		d.err = err
	}
	return v
}

func (d *decoder) conditions(list []pb.Condition) policy.Conditions {
	s, err := conditionsFromProto(list)
	if err != nil && d.err == nil {
		d.err = err
	}
	return s
}

func (d *decoder) u16(n uint32) uint16 {
	if n > math.MaxUint16 {
		d.fail("%d does not fit 16 bits", n)
	}
	return uint16(n)
}

func (d *decoder) u8(n uint32) uint8 {
	if n > math.MaxUint8 {
		d.fail("%d does not fit 8 bits", n)
	}
	return uint8(n)
}

func (d *decoder) grpcStatus(n uint32) policy.GRPCStatus { return policy.GRPCStatus(d.u8(n)) }

func (d *decoder) policyID(m *pb.PolicyID) policy.ID {
	return policy.ID{Kind: dec[policy.Kind](d, policyKinds, m.GetKind()), Namespace: m.GetNamespace(), Name: m.GetName()}
}

func (d *decoder) binding(m *pb.Binding) policy.Binding {
	d.limit("merged policies", len(m.GetMerged()), maxList)
	d.limit("rules", len(m.GetRules()), maxRules)
	if d.err != nil {
		return policy.Binding{}
	}
	return policy.Binding{
		Key: m.GetKey(), Policy: d.policyID(m.GetPolicy()), Merged: each(m.GetMerged(), d.policyID), Mode: dec[policy.Mode](d, modes, m.GetMode()),
		To: d.target(m.GetTo()), Base: d.settings(m.GetBase()), Rules: each(m.GetRules(), d.rule), RejectQUIC: m.GetRejectQuic(),
		ForcedBreaker: d.forcedBreaker(m.GetForcedBreaker()), Unchanged: m.GetUnchanged(),
	}
}

func (d *decoder) target(m *pb.Target) policy.Target {
	d.limit("excepted blocks", len(m.GetExcept()), maxList)
	d.limit("ports", len(m.GetPorts()), maxPorts)
	t := policy.Target{
		Kind: dec[policy.TargetKind](d, targetKinds, m.GetKind()), Protocol: dec[policy.Protocol](d, protocols, m.GetProtocol()),
		Service: m.GetService(), Host: m.GetHost(), Except: each(m.GetExcept(), d.prefix), Ports: each(m.GetPorts(), d.u16),
	}
	if m.GetBlock() != nil {
		t.Block = d.prefix(m.GetBlock())
	} else if t.Kind == policy.TargetCIDR {
		d.fail("cidr target without a block")
	}
	if v := m.GetVia(); v != nil {
		t.Via = policy.Via{Host: v.GetHost(), Port: d.u16(v.GetPort()), Credentials: v.GetCredentials()}
	}
	if v := m.GetTls(); v != nil {
		t.TLS = policy.TLS{
			Mode: dec[policy.TLSMode](d, tlsModes, v.GetMode()), ServerName: v.GetServerName(), Port: d.u16(v.GetPort()), Roots: v.GetRoots(),
			Certificate: v.GetCertificate(), Issuer: v.GetIssuer(), PassAfter: d.count(v.GetPassAfter()),
		}
	}
	return t
}

func (d *decoder) prefix(m *pb.Prefix) netip.Prefix {
	a := d.addr(m.GetAddress())
	if m.GetBits() > uint32(a.BitLen()) {
		d.fail("block of %d bits", m.GetBits())
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, int(m.GetBits()))
}

func (d *decoder) rule(m *pb.Rule) policy.Rule {
	d.limit("matches", len(m.GetMatch()), maxList)
	if d.err != nil {
		return policy.Rule{}
	}
	return policy.Rule{
		Name: m.GetName(), Match: each(m.GetMatch(), d.match), Settings: d.settings(m.GetSettings()), OwnBudget: m.GetOwnBudget(), OwnBreaker: m.GetOwnBreaker(),
		OwnRateLimit: m.GetOwnRateLimit(), OwnConcurrency: m.GetOwnConcurrency(),
		OwnAdaptive: m.GetOwnAdaptive(), OwnHedging: m.GetOwnHedging(),
	}
}

func (d *decoder) match(m *pb.RequestMatch) policy.RequestMatch {
	d.limit("methods", len(m.GetMethods()), maxList)
	d.limit("header fields of a match", len(m.GetHeaders()), maxList)
	return policy.RequestMatch{
		Methods:  each(m.GetMethods(), func(s string) string { return s }),
		PathType: dec[policy.PathMatch](d, pathMatches, m.GetPathType()), Path: m.GetPath(), Host: m.GetHost(),
		Headers: each(m.GetHeaders(), d.requestHeader),
	}
}

func (d *decoder) requestHeader(m *pb.RequestHeaderMatch) policy.RequestHeader {
	return policy.RequestHeader{Name: m.GetName(), Type: dec[policy.ValueMatch](d, valueMatches, m.GetType()), Value: m.GetValue()}
}

func (d *decoder) destinationPort(m *pb.DestinationPort) policy.DestinationPort {
	d.limit("endpoints", len(m.GetEndpoints())+len(m.GetDescribed()), maxEndpoints)
	if d.err != nil {
		return policy.DestinationPort{}
	}
	out := policy.DestinationPort{Port: d.u16(m.GetPort()), Name: m.GetName(), Endpoints: policy.Ready(each(m.GetEndpoints(), d.addrPort)...)}
	out.Endpoints = append(out.Endpoints, each(m.GetDescribed(), d.endpoint)...)
	slices.SortStableFunc(out.Endpoints, func(a, b policy.Endpoint) int { return a.Addr.Compare(b.Addr) })
	return out
}

func (d *decoder) endpoint(m *pb.Endpoint) policy.Endpoint {
	d.limit("hints of an endpoint", max(len(m.GetForNodes()), len(m.GetForZones())), maxList)
	if d.err != nil {
		return policy.Endpoint{}
	}
	return policy.Endpoint{
		Addr: d.addrPort(m.GetAddress()), Terminating: m.GetTerminating(), Node: m.GetNode(), ForNodes: m.GetForNodes(), ForZones: m.GetForZones(),
	}
}

func (d *decoder) addr(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		d.fail("address of %d bytes", len(b))
	}
	return a
}

func (d *decoder) addrPort(b []byte) netip.AddrPort {
	if len(b) < 2 {
		d.fail("endpoint of %d bytes", len(b))
		return netip.AddrPort{}
	}
	n := len(b) - 2
	return netip.AddrPortFrom(d.addr(b[:n]), uint16(b[n])|uint16(b[n+1])<<8)
}
