package wire

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Saved is a set of resources as an agent keeps it on disk.
type Saved struct {
	Resources []*Resource
	// Generations are those of the resources, in the same order.
	Generations []uint64
}

// EncodeSaved encodes a set of resources for the agent's disk. It leaves out what is secret.
func EncodeSaved(s Saved) ([]byte, error) {
	m := &pb.SavedSet{}
	for i, r := range s.Resources {
		switch {
		case r.Ref.Kind.Secret():
		case r.Ref.Kind.Feature() != 0:
			m.Later = append(m.Later, resourceToProto(r))
		default:
			m.Resources = append(m.Resources, resourceToProto(r))
			if len(s.Generations) > 0 {
				m.Generations = append(m.Generations, s.Generations[i])
			}
		}
	}
	return proto.Marshal(m)
}

// DecodeSaved reverses EncodeSaved. A set without generations gets zeros.
func DecodeSaved(b []byte) (Saved, error) {
	m := new(pb.SavedSet)
	if err := proto.Unmarshal(b, m); err != nil {
		return Saved{}, fmt.Errorf("decode saved set: %w: %w", ErrMalformed, err)
	}
	n := len(m.GetResources())
	if n+len(m.GetLater()) > MaxHeld {
		return Saved{}, fmt.Errorf("decode saved set: %w: %d resources", ErrMalformed, n+len(m.GetLater()))
	}
	out := Saved{Resources: make([]*Resource, 0, n), Generations: m.GetGenerations()}
	if len(out.Generations) == 0 {
		out.Generations = make([]uint64, n)
	}
	if len(out.Generations) != n {
		return Saved{}, fmt.Errorf("decode saved set: %w: %d generations of %d resources", ErrMalformed, len(out.Generations), n)
	}
	out.Generations = append(out.Generations, make([]uint64, len(m.GetLater()))...)
	for _, r := range slices.Concat(m.GetResources(), m.GetLater()) {
		res, err := resourceFromProto(r)
		if err != nil {
			return Saved{}, fmt.Errorf("decode saved set: %w", err)
		}
		if res.Ref.Kind.Secret() {
			return Saved{}, fmt.Errorf("decode saved set: %w: a secret", ErrMalformed)
		}
		out.Resources = append(out.Resources, res)
	}
	return out, nil
}
