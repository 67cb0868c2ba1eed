package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Saved is a set of resources as an agent keeps it on disk.
type Saved struct {
	Resources []*Resource
	// Generations are those of the resources, in the same order.
	Generations []uint64
}

// EncodeSaved encodes a set of resources for the agent's disk.
func EncodeSaved(s Saved) ([]byte, error) {
	return proto.Marshal(&pb.SavedSet{Resources: each(s.Resources, resourceToProto), Generations: s.Generations})
}

// DecodeSaved reverses EncodeSaved. A set without generations gets zeros.
func DecodeSaved(b []byte) (Saved, error) {
	m := new(pb.SavedSet)
	if err := proto.Unmarshal(b, m); err != nil {
		return Saved{}, fmt.Errorf("decode saved set: %w: %w", ErrMalformed, err)
	}
	n := len(m.GetResources())
	if n > MaxHeld {
		return Saved{}, fmt.Errorf("decode saved set: %w: %d resources", ErrMalformed, n)
	}
	out := Saved{Resources: make([]*Resource, 0, n), Generations: m.GetGenerations()}
	if len(out.Generations) == 0 {
		out.Generations = make([]uint64, n)
	}
	if len(out.Generations) != n {
		return Saved{}, fmt.Errorf("decode saved set: %w: %d generations of %d resources", ErrMalformed, len(out.Generations), n)
	}
	for _, r := range m.GetResources() {
		res, err := resourceFromProto(r)
		if err != nil {
			return Saved{}, fmt.Errorf("decode saved set: %w", err)
		}
		out.Resources = append(out.Resources, res)
	}
	return out, nil
}
