package wire

import (
	"fmt"
	"maps"
	"slices"

	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Hello opens a subscription: the node that the agent runs on, what it holds and what it understands.
type Hello struct {
	Node     string
	Held     map[Ref]Version
	Features Features
	// Version is the agent's own, for people.
	Version string
}

// Fits reports whether h can be sent.
func (h Hello) Fits() bool {
	const perResource = VersionSize + 16 // the version and the framing
	size := 0
	for ref := range h.Held {
		size += len(ref.Name) + perResource
	}
	return len(h.Held) <= MaxHeld && size < MaxMessage/4*3
}

func helloToProto(h Hello) *pb.SubscribeRequest {
	m := &pb.Hello{Node: h.Node, Features: featuresToProto(h.Features), Version: shortText(h.Version, maxVersionText), Held: make([]*pb.Held, 0, len(h.Held))}
	for _, ref := range slices.SortedFunc(maps.Keys(h.Held), Ref.Compare) {
		v := h.Held[ref]
		held := &pb.Held{Ref: refToProto(ref), Version: v[:]}
		if ref.Kind.Feature() == 0 {
			m.Held = append(m.Held, held)
		} else {
			m.HeldLater = append(m.HeldLater, held)
		}
	}
	return &pb.SubscribeRequest{Message: &pb.SubscribeRequest_Hello{Hello: m}}
}

func helloFromProto(m *pb.SubscribeRequest) (Hello, error) {
	h := m.GetHello()
	if h == nil {
		return Hello{}, fmt.Errorf("%w: the first message is not a hello", ErrMalformed)
	}
	held := slices.Concat(h.GetHeld(), h.GetHeldLater())
	if len(held) > MaxHeld {
		return Hello{}, fmt.Errorf("%w: %d resources held, at most %d", ErrMalformed, len(held), MaxHeld)
	}
	if len(h.GetFeatures()) > maxFeatures {
		return Hello{}, fmt.Errorf("%w: %d features, at most %d", ErrMalformed, len(h.GetFeatures()), maxFeatures)
	}
	out := Hello{
		Node: h.GetNode(), Features: featuresFromProto(h.GetFeatures()), Version: shortText(h.GetVersion(), maxVersionText),
		Held: make(map[Ref]Version, len(held)),
	}
	for _, r := range held {
		ref, err := refFromProto(r.GetRef())
		if err != nil {
			return Hello{}, err
		}
		if len(r.GetVersion()) != VersionSize {
			return Hello{}, fmt.Errorf("%w: version of %d bytes", ErrMalformed, len(r.GetVersion()))
		}
		out.Held[ref] = Version(r.GetVersion())
	}
	return out, nil
}
