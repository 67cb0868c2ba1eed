package wire

import (
	"fmt"
	"math"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// maxTime is the last time that travels, in seconds since 1970.
const maxTime = math.MaxUint32

// MaxBreakers bounds how many breakers one message is about.
const MaxBreakers = 512

// breakerViews and breakerOrders are never written to.
var (
	breakerViews = enum[pb.BreakerView]{
		policy.BreakerIdle:     pb.BreakerView_BREAKER_VIEW_IDLE,
		policy.BreakerGood:     pb.BreakerView_BREAKER_VIEW_GOOD,
		policy.BreakerFailing:  pb.BreakerView_BREAKER_VIEW_FAILING,
		policy.BreakerOpened:   pb.BreakerView_BREAKER_VIEW_OPENED,
		policy.BreakerWaiting:  pb.BreakerView_BREAKER_VIEW_WAITING,
		policy.BreakerProbing:  pb.BreakerView_BREAKER_VIEW_PROBING,
		policy.BreakerHeld:     pb.BreakerView_BREAKER_VIEW_HELD,
		policy.BreakerRefusing: pb.BreakerView_BREAKER_VIEW_REFUSING,
	}
	breakerOrders = enum[pb.BreakerOrder]{
		policy.BreakerClose: pb.BreakerOrder_BREAKER_ORDER_CLOSE,
		policy.BreakerOpen:  pb.BreakerOrder_BREAKER_ORDER_OPEN,
		policy.BreakerProbe: pb.BreakerOrder_BREAKER_ORDER_PROBE,
	}
)

func breakerReportsToProto(list []policy.BreakerReport) (*pb.SubscribeRequest, error) {
	e := new(translator)
	e.limit("breakers", len(list), MaxBreakers)
	m := &pb.BreakerReports{Reports: each(list, func(r policy.BreakerReport) *pb.BreakerReport {
		return &pb.BreakerReport{Key: breakerKeyToProto(r.Key), View: enc(e, breakerViews, r.View), Number: r.Number}
	})}
	return &pb.SubscribeRequest{Message: &pb.SubscribeRequest_Breakers{Breakers: m}}, e.err
}

// breakerReportsFromProto leaves out what a newer agent says that this build does not know.
func breakerReportsFromProto(m *pb.BreakerReports) ([]policy.BreakerReport, error) {
	if len(m.GetReports()) > MaxBreakers {
		return nil, fmt.Errorf("%w: reports of %d breakers, at most %d", ErrMalformed, len(m.GetReports()), MaxBreakers)
	}
	out := make([]policy.BreakerReport, 0, len(m.GetReports()))
	for _, r := range m.GetReports() {
		k, err := breakerKeyFromProto(r.GetKey())
		if err != nil {
			return nil, err
		}
		report := policy.BreakerReport{Key: k, Number: r.GetNumber()}
		if fromWire(breakerViews, r.GetView(), &report.View) == nil {
			out = append(out, report)
		}
	}
	return out, nil
}

func breakerVerdictsToProto(list []policy.BreakerVerdict) *pb.BreakerVerdicts {
	return &pb.BreakerVerdicts{Verdicts: each(list, func(v policy.BreakerVerdict) *pb.BreakerVerdict {
		order, _ := toWire(breakerOrders, v.Order)
		return &pb.BreakerVerdict{Key: breakerKeyToProto(v.Key), Number: v.Number, Order: order, For: int64(v.For), Hold: int64(v.Hold)}
	})}
}

func breakerVerdictsFromProto(m *pb.BreakerVerdicts) ([]policy.BreakerVerdict, error) {
	d := new(decoder)
	d.limit("breakers", len(m.GetVerdicts()), MaxBreakers)
	if d.err != nil {
		return nil, d.err
	}
	out := each(m.GetVerdicts(), func(v *pb.BreakerVerdict) policy.BreakerVerdict {
		k, err := breakerKeyFromProto(v.GetKey())
		if err != nil && d.err == nil {
			d.err = err
		}
		return policy.BreakerVerdict{
			Key: k, Number: v.GetNumber(), Order: dec[policy.BreakerOrder](d, breakerOrders, v.GetOrder()),
			For: d.duration(v.GetFor()), Hold: d.duration(v.GetHold()),
		}
	})
	return out, d.err
}

func breakerKeyToProto(k policy.BreakerKey) *pb.BreakerKey {
	return &pb.BreakerKey{Binding: k.Binding, Destination: k.Destination, Rule: k.Rule, Opaque: k.Opaque}
}

func breakerKeyFromProto(m *pb.BreakerKey) (policy.BreakerKey, error) {
	k := policy.BreakerKey{Binding: m.GetBinding(), Destination: m.GetDestination(), Rule: m.GetRule(), Opaque: m.GetOpaque()}
	if k.Binding == "" || k.Destination == "" || max(len(k.Binding), len(k.Destination), len(k.Rule)) > MaxName {
		return policy.BreakerKey{}, fmt.Errorf("%w: a breaker with names of %d, %d and %d bytes", ErrMalformed, len(k.Binding), len(k.Destination), len(k.Rule))
	}
	return k, nil
}

func (e *translator) forcedBreaker(f policy.ForcedBreaker) *pb.ForcedBreaker {
	if !f.Set() {
		return nil
	}
	return &pb.ForcedBreaker{Open: f.Open, Until: between(&e.checker, "time", f.Until, maxTime)}
}

func (d *decoder) forcedBreaker(m *pb.ForcedBreaker) policy.ForcedBreaker {
	if m == nil {
		return policy.ForcedBreaker{}
	}
	return policy.ForcedBreaker{Open: m.GetOpen(), Until: between(&d.checker, "time", m.GetUntil(), maxTime)}
}
