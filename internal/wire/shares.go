package wire

import (
	"fmt"
	"math"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

const (
	// MaxDemands bounds what one message says of limits that the cluster shares.
	MaxDemands = 256
	// MaxLimits bounds the limits that an agent has demands of at a time.
	MaxLimits = 1024
	// maxShare bounds rates and bursts. It is more than the API allows, per the shortest time.
	maxShare = 1e12
)

// Demands say what calls have come to limits that the cluster shares; the rules are in proto/distribution.proto.
type Demands struct {
	Demands []Demand
	// Sequence is that of the last Grants obeyed.
	Sequence uint64
}

// Demand is about one limit.
type Demand struct {
	// Limit is its number on the stream.
	Limit uint32
	// Name is set the first time.
	Name policy.LimitName
	// Rate is how many calls have come in a second.
	Rate float64
	// Serial is that of the Grant that the agent goes by; 0: it goes by Share.
	Serial uint64
	Share  policy.Share
	// Left: it goes by none any more.
	Left bool
}

// Grants give nodes their shares.
type Grants struct {
	Sequence uint64
	Grants   []Grant
}

// Grant is what an agent goes by from now on.
type Grant struct {
	Limit  uint32
	Serial uint64
	Share  policy.Share
}

func demandsToProto(d Demands) *pb.SubscribeRequest {
	m := &pb.Demands{Sequence: d.Sequence, Demands: each(d.Demands, func(d Demand) *pb.Demand {
		out := &pb.Demand{Limit: d.Limit, Rate: d.Rate, Serial: d.Serial, Left: d.Left}
		if d.Name != (policy.LimitName{}) {
			out.Name = &pb.LimitName{Limit: d.Name.Limit, Destination: d.Name.Destination}
		}
		if d.Serial == 0 {
			out.Share = shareToProto(d.Share)
		}
		return out
	})}
	return &pb.SubscribeRequest{Message: &pb.SubscribeRequest_Demands{Demands: m}}
}

func demandsFromProto(m *pb.Demands) (Demands, error) {
	if len(m.GetDemands()) > MaxDemands {
		return Demands{}, fmt.Errorf("%w: %d demands, at most %d", ErrMalformed, len(m.GetDemands()), MaxDemands)
	}
	var c checker
	out := Demands{Sequence: m.GetSequence(), Demands: make([]Demand, 0, len(m.GetDemands()))}
	for _, d := range m.GetDemands() {
		name := policy.LimitName{Limit: d.GetName().GetLimit(), Destination: d.GetName().GetDestination()}
		c.limit("bytes in the name of a limit", max(len(name.Limit), len(name.Destination)), MaxName)
		out.Demands = append(out.Demands, Demand{
			Limit: d.GetLimit(), Name: name, Rate: c.amount("demand", d.GetRate()), Serial: d.GetSerial(), Share: c.share(d.GetShare()), Left: d.GetLeft(),
		})
	}
	return out, c.err
}

func grantsToProto(g *Grants) *pb.Grants {
	if g == nil {
		return nil
	}
	return &pb.Grants{Sequence: g.Sequence, Grants: each(g.Grants, func(g Grant) *pb.Grant {
		return &pb.Grant{Limit: g.Limit, Serial: g.Serial, Share: shareToProto(g.Share)}
	})}
}

func grantsFromProto(m *pb.Grants) (*Grants, error) {
	if m == nil {
		return nil, nil
	}
	if len(m.GetGrants()) > MaxDemands {
		return nil, fmt.Errorf("%w: %d grants, at most %d", ErrMalformed, len(m.GetGrants()), MaxDemands)
	}
	var c checker
	out := &Grants{Sequence: m.GetSequence(), Grants: make([]Grant, 0, len(m.GetGrants()))}
	for _, g := range m.GetGrants() {
		out.Grants = append(out.Grants, Grant{Limit: g.GetLimit(), Serial: g.GetSerial(), Share: c.share(g.GetShare())})
	}
	return out, c.err
}

func shareToProto(s policy.Share) *pb.Share { return &pb.Share{Rate: s.Rate, Burst: s.Burst} }

func (c *checker) share(m *pb.Share) policy.Share {
	return policy.Share{Rate: c.amount("rate", m.GetRate()), Burst: c.amount("burst", m.GetBurst())}
}

// amount returns f if it is a number from 0 to maxShare; else it fails and returns 0.
func (c *checker) amount(what string, f float64) float64 {
	if !(f >= 0 && f <= maxShare) || math.Signbit(f) { // NaN is neither
		c.fail("%s of %v, not from 0 to %v", what, f, maxShare)
		return 0
	}
	return f
}
